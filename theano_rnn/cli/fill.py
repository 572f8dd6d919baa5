"""``fill``: predict the missing words of sentences."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from theano_rnn.cli.machine import prepare_machine
from theano_rnn.cli.options import Parser, add_flags, sections_from
from theano_rnn.settings.base import UserError
from theano_rnn.settings.machine import MachineConfig
from theano_rnn.settings.text import COLUMN_HELP


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Predict missing words. Each input line has one or more blanks, written ___. Prints the likeliest "
        "words for each blank, one per line: probability TAB word, with an empty line after each blank.",
        epilog=f'examples:\n  echo "It is a truth ___ acknowledged." | {prog} runs/fill.safetensors\n'
        f"  {prog} runs/fill.safetensors questions.txt --num-words 1\n"
        "train the model with: train.py --task fill --checkpoint runs/fill.safetensors",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a model trained with --task fill")
    parser.add_argument("file", nargs="?", default="-", metavar="FILE",
                        help="lines of text with blanks (default: standard input)")  # fmt: skip
    parser.add_argument("--column", metavar="NAME", help=COLUMN_HELP)
    parser.add_argument("--num-words", type=int, default=5, metavar="N",
                        help="number of words to print for each blank (default: %(default)s)")  # fmt: skip
    add_flags(parser, "this machine", MachineConfig)
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    if args.num_words < 1:
        raise UserError(f"--num-words must be at least 1, got {args.num_words}")
    machine = prepare_machine(sections_from(vars(args), {"machine": MachineConfig})["machine"])
    from theano_rnn.cli.model_loading import open_model
    from theano_rnn.tasks.blanks import fill, read_blanks
    from theano_rnn.text.reading import read_sentences

    trained = open_model(args.checkpoint, machine, task="fill")
    vocabulary, model = trained.checkpoint.vocabulary, trained.model
    predict = None
    text = dataclasses.replace(vocabulary.text, sentences="line")
    for line in read_sentences(args.file, text, column=args.column):
        for tokens, places in read_blanks(line, vocabulary.text):
            predict = predict or trained.function("predict")
            for best in fill(predict, model.initial_state, vocabulary, tokens, places, num_words=args.num_words,
                             dtype=model.config.dtype):  # fmt: skip
                print("".join(f"{p:.6f}\t{word}\n" for word, p in best), flush=True)
    return 0
