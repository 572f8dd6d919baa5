"""``rescore``: n-best lists ranked anew by a model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from theano_rnn.cli.machine import prepare_machine
from theano_rnn.cli.options import Parser, add_flags, sections_from
from theano_rnn.config import MachineConfig, MixtureConfig, RescoringConfig, UserError


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
    from theano_rnn.cli.trained import mixed, opened
    from theano_rnn.nbest import lists
    from theano_rnn.rescoring import measured, tuned

    scorer, _ = mixed(opened(args.checkpoint, machine), config, machine)
    weight, word_bonus = config.weight, config.word_bonus
    if config.tune is not None and config.references is not None:
        references = [line.strip() for line in lines_of(config.references)]
        development = list(measured(lists(lines_of(config.tune), config.tune), scorer))
        if len(references) != len(development):
            raise UserError(f"{config.references} must have a line for each list of {config.tune}: {len(development)}, "
                            f"got {len(references)}")  # fmt: skip
        weight, word_bonus, error_rate = tuned(development, references, config.metric)
        unit = {"exact": "lists with a wrong hypothesis first", "wer": "word error rate"}[config.metric]
        print(f"weight {weight:g}, word bonus {word_bonus:g}: {unit} {100 * error_rate:.1f} % on {config.tune}",
              file=sys.stderr)  # fmt: skip
    for group in measured(lists(lines_of(args.file), args.file), scorer):
        for entry, score, log_probability in group.ranked(weight, word_bonus):
            print(entry.line(score, log_probability=log_probability))
    return 0


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
