"""``rescore``: reorder n-best lists with the log-probabilities of a model."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from theano_rnn.cli.console import advise
from theano_rnn.cli.files import CHECKPOINT_HELP
from theano_rnn.cli.machine import prepare_machine
from theano_rnn.cli.options import Parser, add_flags, sections_from
from theano_rnn.scoring.bleu import check_sacrebleu
from theano_rnn.settings.base import UserError
from theano_rnn.settings.machine import MachineConfig
from theano_rnn.settings.use import MixtureConfig, RescoringConfig
from theano_rnn.text.file_formats import conversion
from theano_rnn.text.normalizing import BYTE_ORDER_MARK

if TYPE_CHECKING:
    from theano_rnn.scoring.nbest import NBestEntry


METRIC_NAMES = {"exact": "lists with a wrong best hypothesis", "wer": "word error rate", "bleu": "BLEU"}


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Reorder the hypotheses of n-best lists by score + weight * log-probability + word bonus * words. "
        "Reads lines of the form `id ||| hypothesis ||| features ||| score` (Moses) or id TAB hypothesis TAB score. "
        "Writes the same format with the new scores, the best hypothesis of each list first.",
        epilog=f"examples:\n  {prog} runs/model.safetensors lists.txt --weight 0.5 --word-bonus 1 > ranked.txt\n"
        f"  {prog} runs/model.safetensors lists.txt --tune dev-lists.txt --references dev.txt > ranked.txt",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=CHECKPOINT_HELP)
    parser.add_argument("file", nargs="?", default="-", metavar="NBEST", help="n-best lists (default: standard input)")
    add_flags(parser, "ranking", RescoringConfig, exclude=MixtureConfig)
    add_flags(parser, "mixtures of models", RescoringConfig, only=MixtureConfig)
    add_flags(parser, "this machine", MachineConfig)
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    sections = sections_from(vars(args), {"machine": MachineConfig, "rescoring": RescoringConfig})
    config: RescoringConfig = sections["rescoring"]
    for path in (args.file, config.tune, config.references):
        if path not in (None, "-"):
            with open(path, "rb"):  # report a wrong name before anything is compiled
                pass
    if config.tune is not None and config.metric == "bleu":
        check_sacrebleu()
    machine = prepare_machine(sections["machine"])
    from theano_rnn.cli.model_loading import open_language_model, open_mixture
    from theano_rnn.scoring.rescoring import score_lists, tune_weights

    model = open_language_model(args.checkpoint, machine)
    lists = read_nbest(args.file)
    weight, word_bonus = config.weight, config.word_bonus
    if config.tune is None or config.references is None:
        scorer, _ = open_mixture(model, config, machine)
    else:
        tuning, references = list(read_nbest(config.tune)), [line.strip() for line in read_lines(config.references)]
        if len(references) != len(tuning):
            raise UserError(f"{config.references} must have one line for each list of {config.tune}: {len(tuning)}, "
                            f"got {len(references)}")  # fmt: skip
        scorer, _ = open_mixture(model, config, machine)
        scored = list(score_lists(tuning, scorer))
        weight, word_bonus, *values = tune_weights(scored, references, config.metric)
        after, before = (f"{value:.2f}" if config.metric == "bleu" else f"{100 * value:.1f} %" for value in values)
        found = f"{METRIC_NAMES[config.metric]} {after} on {config.tune}, {before} before rescoring"
        advise([f"weight {weight:g}, word bonus {word_bonus:g}: {found}"])
    for scored_list in score_lists(lists, scorer):
        for entry, score, log_probability in scored_list.ranked(weight, word_bonus):
            print(entry.format(score, log_probability=log_probability))
    return 0


def read_nbest(path: str) -> Iterator[list[NBestEntry]]:
    """Returns the lists of a file. Reads the first one now, to report bad input before anything is compiled."""
    from theano_rnn.scoring.nbest import read_lists

    lists = read_lists(read_lines(path), path)
    first = next(lists, None)
    if first is None:
        raise UserError(f"{path} contains no n-best lists")
    return itertools.chain([first], lists)


def read_lines(path: str) -> Iterator[str]:
    """Yield the lines of a UTF-8 file, or of standard input if `path` is "-", without byte order marks before them."""
    number = 0
    try:
        if path == "-":
            for number, line in enumerate(sys.stdin, 1):  # noqa: B007 - for the message
                yield line.lstrip(BYTE_ORDER_MARK)
            return
        with open(path, encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, 1):  # noqa: B007
                yield line.lstrip(BYTE_ORDER_MARK)
    except UnicodeDecodeError:
        what = "standard input" if path == "-" else path
        raise UserError(f"{what} is not UTF-8 text (after line {number}): {conversion('CP1252', what)} if it is "
                        "Western European text of Windows (CP1252) or Latin-1") from None  # fmt: skip
