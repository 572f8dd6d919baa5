"""``import``: make a checkpoint from a PyTorch model.

The module's name is a Python keyword, because commands are imported by their names.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from theano_rnn.cli.console import advise
from theano_rnn.cli.files import check_output
from theano_rnn.cli.options import Parser
from theano_rnn.engine.aesara_flags import disable_c_compiler
from theano_rnn.tasks.text_task import UNITS


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Make a checkpoint from the state_dict of a PyTorch model. The safetensors file must use the "
        "tensor names of PyTorch's example word_language_model: encoder.weight, rnn.weight_ih_l0, ..., decoder.bias. "
        "Files written by the command export contain their words; for a model that the example has trained, give its "
        "corpus with --words. The checkpoint can score, generate, serve, and start a new training with --init-from. It "
        "has no optimizer state, so it cannot be resumed.",
        epilog=f"examples:\n  {prog} runs/model.pytorch.safetensors --output runs/back.safetensors\n"
        f"  {prog} model.safetensors --words data/wikitext-2 --output runs/wikitext.safetensors\n"
        f"  {prog} tuned.safetensors --like runs/model.safetensors --output runs/tuned.safetensors",
    )
    parser.add_argument("file", metavar="FILE", help="a safetensors file, written in PyTorch with "
                        "safetensors.torch.save_model(model, path)")  # fmt: skip
    parser.add_argument("--output", required=True, metavar="CHECKPOINT", help="checkpoint to write")
    words = parser.add_mutually_exclusive_group()
    words.add_argument("--words", metavar="PATH", help="the words of the model: the folder with the train.txt, "
                       "valid.txt and test.txt that PyTorch's example was trained on, or a file with one word per "
                       "line, in the order of the rows of the embedding")  # fmt: skip
    words.add_argument("--like", metavar="CHECKPOINT", help="take vocabulary and settings from this checkpoint; its "
                       "vocabulary must have the same words in the same order (default: from FILE)")  # fmt: skip
    parser.add_argument("--cell", choices=("tanh", "relu", "gru", "lstm"), help="the recurrent cell (default: found "
                        "from the shapes of the tensors; required for tanh and relu)")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace an existing checkpoint")
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    output = Path(args.output)
    check_output(output, [args.file, *filter(None, [args.like, args.words])], is_forced=args.force)
    disable_c_compiler()
    from theano_rnn.exchange.state_dict_files import has_words, import_state_dict
    from theano_rnn.exchange.word_lists import read_words
    from theano_rnn.learning.atomic_files import lock
    from theano_rnn.learning.checkpoint import load, save

    words = None if args.words is None else read_words(args.words)
    checkpoint = import_state_dict(args.file, like=load(args.like) if args.like else None, words=words, cell=args.cell)
    if args.like is not None and not has_words(args.file):
        advise([f"{args.file} does not contain its words, so nothing shows whether they have the order of {args.like}. "
                "If the perplexity of a text is far too high, the order differs"])  # fmt: skip
    vocabulary = checkpoint.vocabulary
    if words is not None and not {"<unk>", "<UNK>"} & {*words}:
        advise(["the model has no <unk>: words that it does not know have probability 0"])
    with lock(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        save(output, checkpoint)
    print(f"wrote {output}, {len(vocabulary):,} {UNITS[vocabulary.text.unit]}; next: theano-rnn score {output} TEXT, "
          f"or continue training with theano-rnn train --init-from {output}")  # fmt: skip
    return 0
