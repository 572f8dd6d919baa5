"""``rescore``: n-best lists ranked anew by a model."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from theano_rnn.cli.machine import prepare_machine
from theano_rnn.cli.options import Parser, add_flags, sections_from
from theano_rnn.settings.base import UserError
from theano_rnn.settings.machine import MachineConfig
from theano_rnn.settings.use import MixtureConfig, RescoringConfig

if TYPE_CHECKING:
    from theano_rnn.scoring.nbest import Entry


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Rank the hypotheses of n-best lists anew: score + weight * log-probability + word bonus * words. "
        "Reads `id ||| hypothesis ||| features ||| score` (Moses) or id TAB hypothesis TAB score, and writes the same "
        "with the new scores, the best of each list first.",
        epilog=f"examples:\n  {prog} runs/model.safetensors lists.txt --weight 0.5 --word-bonus 1 > ranked.txt\n"
        f"  {prog} runs/model.safetensors lists.txt --tune dev-lists.txt --references dev.txt > ranked.txt",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a trained model")
    parser.add_argument("file", nargs="?", default="-", metavar="NBEST", help="lists (default: standard input)")
    add_flags(parser, "how hypotheses are ranked", RescoringConfig, but=MixtureConfig)
    add_flags(parser, "more models", RescoringConfig, only=MixtureConfig)
    add_flags(parser, "this machine", MachineConfig)
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    sections = sections_from(vars(args), {"machine": MachineConfig, "rescoring": RescoringConfig})
    config: RescoringConfig = sections["rescoring"]
    for path in (args.file, config.tune, config.references):
        if path not in (None, "-"):
            with open(path, "rb"):  # a wrong name is said before anything is compiled
                pass
    machine = prepare_machine(sections["machine"])
    from theano_rnn.cli.model_loading import mixed, open_language_model
    from theano_rnn.scoring.rescoring import measured, tuned

    model = open_language_model(args.checkpoint, machine)
    groups = read(args.file)
    weight, word_bonus = config.weight, config.word_bonus
    if config.tune is None or config.references is None:
        scorer, _ = mixed(model, config, machine)
    else:
        known, references = list(read(config.tune)), [line.strip() for line in lines_of(config.references)]
        if len(references) != len(known):
            raise UserError(f"{config.references} must have a line for each list of {config.tune}: {len(known)}, "
                            f"got {len(references)}")  # fmt: skip
        scorer, _ = mixed(model, config, machine)
        weight, word_bonus, error_rate = tuned(list(measured(known, scorer)), references, config.metric)
        unit = {"exact": "lists with a wrong hypothesis first", "wer": "word error rate"}[config.metric]
        print(f"weight {weight:g}, word bonus {word_bonus:g}: {unit} {100 * error_rate:.1f} % on {config.tune}",
              file=sys.stderr)  # fmt: skip
    for group in measured(groups, scorer):
        for entry, score, log_probability in group.ranked(weight, word_bonus):
            print(entry.line(score, log_probability=log_probability))
    return 0


def read(path: str) -> Iterator[list[Entry]]:
    """The lists of a file; one that holds none is said at once, before anything is compiled."""
    from theano_rnn.scoring.nbest import lists

    groups = lists(lines_of(path), path)
    first = next(groups, None)
    if first is None:
        raise UserError(f"{path} holds no lists")
    return itertools.chain([first], groups)


def lines_of(path: str) -> Iterator[str]:
    """The lines of a UTF-8 file, of standard input for -."""
    number = 0
    try:
        if path == "-":
            for number, line in enumerate(sys.stdin, 1):  # noqa: B007 - for the message
                yield line
            return
        with open(path, encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, 1):  # noqa: B007
                yield line
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text, after line {number}") from None
