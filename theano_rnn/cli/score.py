"""``score``: log-probabilities and perplexity of text under one or more models."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from theano_rnn.cli.console import advise
from theano_rnn.cli.files import DEFAULT_CHECKPOINT_HELP, choose_checkpoint
from theano_rnn.cli.machine import prepare_machine
from theano_rnn.cli.options import Parser, add_flags, sections_from
from theano_rnn.settings.base import UserError
from theano_rnn.settings.machine import MachineConfig
from theano_rnn.settings.strict_json import to_json
from theano_rnn.settings.use import AdaptationConfig, ScoringConfig

if TYPE_CHECKING:
    from theano_rnn.language_model import LanguageModel
    from theano_rnn.scoring.sentences import Scorer, SentenceScore
    from theano_rnn.text.sources import Source
    from theano_rnn.text.vocabulary import Vocabulary

MANY_UNKNOWN = 0.1  # of the tokens of a text: said where no total is printed that would tell


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Score text with a trained model. Prints one line per sentence: log-probability in nats TAB number "
        "of tokens (including the end of the sentence) TAB perplexity TAB sentence. Each sentence is scored "
        "independently of the others.",
        epilog=f'examples:\n  echo "It is a truth." | {prog} runs/model.safetensors\n'
        f"  {prog} runs/model.safetensors book.txt --summary\n"
        f"  {prog} runs/model.safetensors book.txt --stream    perplexity as in publications\n"
        f"  {prog} a.safetensors book.txt --stream --interpolate b.safetensors --fit-weights held-out.txt\n"
        f"  {prog} runs/model.safetensors book.txt --stream --cache-size 1000",
    )
    parser.add_argument("checkpoint", nargs="?", metavar="CHECKPOINT", help=DEFAULT_CHECKPOINT_HELP)
    parser.add_argument("file", nargs="?", default="-", metavar="FILE",
                        help="a text file or a table (.csv, .tsv, .jsonl, see --column), also compressed (.gz, .bz2, "
                        ".xz; default: standard input)")  # fmt: skip
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--per-token", action="store_true", help="print one line per token: log-probability TAB token, "
                        "with an empty line after each sentence")  # fmt: skip
    output.add_argument("--summary", action="store_true", help="print one JSON object for the whole text, the sum of "
                        "its sentences")  # fmt: skip
    parser.add_argument("--stream", action="store_true", help="print one JSON object for the whole text, scored as one "
                        "stream: each sentence starts from the state of the previous one, and ends of sentences count "
                        "as tokens (</s>)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object per sentence, with its tokens if "
                        "--per-token is given")  # fmt: skip
    add_flags(parser, "scoring", ScoringConfig)
    add_flags(parser, "adapting the model to the text (needs --stream)", AdaptationConfig)
    add_flags(parser, "this machine", MachineConfig)
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    kinds = {"machine": MachineConfig, "scoring": ScoringConfig, "adaptation": AdaptationConfig}
    sections = sections_from(vars(args), kinds)
    scoring, adaptation = sections["scoring"], sections["adaptation"]
    if adaptation.is_adaptive and not args.stream:
        raise UserError(
            "--cache-size and --dynamic need --stream, because the model adapts to the text that it has "
            "read: add --stream"
        )
    if scoring.columns is not None and not args.stream:
        raise UserError("--columns needs --stream: without it each sentence is scored alone")
    if (scoring.columns or 1) > 1 and adaptation.is_adaptive:
        raise UserError(
            "--columns must be 1 with --cache-size or --dynamic, because the model adapts to the text "
            "that it has read: leave --columns out"
        )
    if args.stream and args.per_token:
        raise UserError("--per-token cannot be used with --stream, which prints one JSON object: leave one out")
    if args.json and (args.summary or args.stream):
        raise UserError("--json is for sentences; --summary and --stream always print JSON: leave --json out")
    if adaptation.is_adaptive and scoring.interpolate:
        raise UserError("--interpolate cannot be used with --cache-size or --dynamic: leave one of them out")
    if adaptation.dynamic != "no" and scoring.exclude_unknown:
        raise UserError("--exclude-unknown cannot be used with --dynamic, which learns from all words: leave one out")
    args.checkpoint = choose_checkpoint(args.checkpoint)
    machine = prepare_machine(sections["machine"])
    from theano_rnn.cli.model_loading import open_language_model, open_mixture
    from theano_rnn.text.advice import guessed_column
    from theano_rnn.text.sources import Source
    from theano_rnn.text.vocabulary import UNK

    model = open_language_model(args.checkpoint, machine, sentences=scoring.sentences)
    path = Path(args.file)
    if args.file != "-" and (path.is_file() or path.is_dir() or not path.exists()):  # a pipe can be read only once
        with Source(args.file, scoring.column):  # report a wrong name before anything is compiled
            pass
    if args.stream:
        if is_table(args.file):
            with Source(args.file, scoring.column) as source:
                read_text(source, model.vocabulary)
                advise(guessed_column(source))
        print(to_json(stream_summary(model, args.file, scoring, adaptation, machine)))
        return 0
    with Source(args.file, scoring.column) as source:
        sentences = read_text(source, model.vocabulary)
        advise(guessed_column(source))
        scorer, weights = open_mixture(model, scoring, machine)
        scores = scorer.sentences(sentences)
        if args.summary:
            mixture = {} if weights is None else {"weights": weights}
            print(to_json(summarize(scores, source, model.vocabulary, scoring) | mixture))
            return 0
        num_words = num_unknown = 0
        for score in scores:
            print_score(score, model.vocabulary, scoring, per_token=args.per_token, as_json=args.json)
            num_words += len(score.ids) - 1
            num_unknown += int((score.ids == model.vocabulary.unk_id).sum())
        if num_unknown > MANY_UNKNOWN * num_words and not scoring.exclude_unknown:
            advise([
                f"{num_unknown:,} of {num_words:,} tokens are not in the model's vocabulary and count as {UNK}, which "
                "is easier to predict than they are: --exclude-unknown leaves them out"
            ])  # fmt: skip
    return 0


def is_table(path: str) -> bool:
    """Returns whether a file, not a pipe, is named like a table."""
    from theano_rnn.text.file_formats import format_of

    return Path(path).is_file() and format_of(path, b"").table is not None


def read_text(source: Source, vocabulary: Vocabulary) -> Iterator[str]:
    """Returns the sentences of a text. Reads the first one now, to report bad input before anything is compiled."""
    from theano_rnn.text.reading import sentences_of

    sentences = sentences_of(source.blocks(vocabulary.text), vocabulary.text)
    return itertools.chain([next(sentences)], sentences)


def stream_summary(
    model: LanguageModel, path: str, scoring: ScoringConfig, adaptation: AdaptationConfig, machine: MachineConfig
) -> dict[str, Any]:
    """Score a text as one stream. Returns its totals as plain values for JSON, with the weights of a mixture."""
    from theano_rnn.cli.console import Bar, reading_progress
    from theano_rnn.cli.model_loading import open_mixture
    from theano_rnn.scoring.texts import stream_totals

    mixture: dict[str, Any] = {}

    def scorer() -> Scorer:
        mixture_scorer, weights = open_mixture(model, scoring, machine)
        mixture.update({} if weights is None else {"weights": weights})
        return mixture_scorer

    bars: list[Bar] = []

    def on_batch(tokens: int, total: int) -> None:
        if not bars:  # not earlier: tokenizing and compiling have their own progress display
            bars.append(Bar("scoring", unit=" tokens", delay=2.0, unit_scale=True))
        bars[0].to(tokens, total)

    progress, close = reading_progress("splitting text into tokens")
    try:
        totals = stream_totals(
            path, model, column=scoring.column, scorer=scorer, adaptation=adaptation,
            exclude_unknown=scoring.exclude_unknown, columns=scoring.columns, progress=progress, on_batch=on_batch,
        )  # fmt: skip
    finally:
        close()
        for bar in bars:
            bar.close()
    return totals.summary(scoring.log_base) | mixture


def summarize(
    scores: Iterator[SentenceScore], source: Source, vocabulary: Vocabulary, scoring: ScoringConfig
) -> dict[str, Any]:
    """Returns totals over all sentences of a text as plain values for JSON; ends of sentences count as tokens."""
    from theano_rnn.scoring.sentences import Totals

    totals = Totals()
    for score in scores:
        counted = score.without(vocabulary.unk_id) if scoring.exclude_unknown else score
        totals.nats -= counted.total
        totals.tokens += len(counted.ids)
        totals.read += len(score.ids)
        totals.unknown += int((score.ids == vocabulary.unk_id).sum())
        totals.sentences += 1
    totals.words, totals.characters = source.count(vocabulary.text)
    return totals.summary(scoring.log_base)


def print_score(
    score: SentenceScore, vocabulary: Vocabulary, scoring: ScoringConfig, *, per_token: bool, as_json: bool
) -> None:
    """Print the score of a sentence to standard output."""
    from theano_rnn.learning.measures import perplexity
    from theano_rnn.scoring.sentences import nats_per_unit

    unit = nats_per_unit(scoring.log_base)
    counted = score.without(vocabulary.unk_id) if scoring.exclude_unknown else score
    total, count = counted.total / unit, len(counted.ids)
    tokens = []
    if per_token:
        tokens = list(zip(vocabulary.decode(score.ids), (score.log_probabilities / unit).tolist()))
    if as_json:
        unknown = int((score.ids == vocabulary.unk_id).sum())
        record = {"sentence": score.sentence, "log_probability": total, "tokens": count, "unknown": unknown,
                  "perplexity": perplexity(-counted.total / count) if count else None}  # fmt: skip
        print(to_json(record | ({"per_token": tokens} if per_token else {}), ensure_ascii=False))
    elif per_token:
        for token, value in tokens:
            print(f"{value:.6f}\t{json.dumps(token, ensure_ascii=False)[1:-1]}")
        print()
    else:
        value = perplexity(-counted.total / count) if count else float("nan")
        print(f"{total:.6f}\t{count}\t{value:.4f}\t{score.sentence}")
