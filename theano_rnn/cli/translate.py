"""``translate``: translate sentences with a trained translator, measure translations, score and show them."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from theano_rnn.cli.console import Bar, advise
from theano_rnn.cli.files import check_output
from theano_rnn.cli.machine import prepare_machine
from theano_rnn.cli.options import Parser, add_flags, sections_from
from theano_rnn.settings.base import UserError
from theano_rnn.settings.machine import MachineConfig
from theano_rnn.settings.text import COLUMN_HELP
from theano_rnn.settings.translation import FurtherModelsConfig, SearchConfig

if TYPE_CHECKING:
    from theano_rnn.translator import Attention, Translated, Translator

MAX_SHOWN = 100  # sentences of a page
MANY_UNKNOWN = 0.1  # of the source tokens
MOSES = "|||"
LM_WEIGHTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)  # that are compared


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Translate sentences with a trained model: one per line, or per row of a table. Prints one "
        "translation for each, in the same order; a blank line stays blank.",
        epilog=f'examples:\n  echo "A dog is running." | {prog} runs/en-de.safetensors\n'
        f"  {prog} runs/en-de.safetensors test.en --beam-size 10 > test.out\n"
        f"  {prog} runs/en-de.safetensors test.en --evaluate test.de\n"
        f"  {prog} runs/en-de.safetensors test.en --nbest 5 > lists.txt     for rescore\n"
        f"  {prog} runs/en-de.safetensors test.en --attention page.html\n"
        f"  {prog} runs/en-de.safetensors valid.en --lm runs/de.safetensors --evaluate valid.de --tune-lm-weight\n"
        "train the model with: train.py --task translate --train train.en train.de --checkpoint runs/en-de.safetensors",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a model trained with --task translate")
    parser.add_argument("file", nargs="?", default="-", metavar="FILE",
                        help="lines of text, or a table (.csv, .tsv, .jsonl, see --column), also compressed (.gz, "
                        ".bz2, .xz; default: standard input)")  # fmt: skip
    parser.add_argument("--column", metavar="NAME", help=COLUMN_HELP)
    add_flags(parser, "search", SearchConfig)
    add_flags(parser, "further models", FurtherModelsConfig)
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--scores", action="store_true", help="print the score before each translation, with a tab: "
                        "its log-probability in nats (with --lm, plus --lm-weight times that of the language model), "
                        "divided by length to the power --length-power, plus the penalty of --coverage")  # fmt: skip
    output.add_argument("--evaluate", metavar="REFERENCE", help="compare the translations with those in this file, "
                        "line by line. Prints BLEU and chrF, with the signatures of sacrebleu")  # fmt: skip
    output.add_argument("--score", metavar="TARGET", help="translate nothing: print the log-probability of each line "
                        "of this file as the translation of the line of FILE, in nats TAB number of tokens (with the "
                        "end of the sentence) TAB line")  # fmt: skip
    output.add_argument("--attention", metavar="PAGE", help=f"write an HTML page with the first {MAX_SHOWN} sentences, "
                        "their translations, and how much each target token attends to each source token")  # fmt: skip
    parser.add_argument("--tune-lm-weight", action="store_true", help="with --evaluate and --lm, translate with "
                        "several weights of the language model, and print the BLEU of each")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace an existing page")
    add_flags(parser, "this machine", MachineConfig)
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    sections = sections_from(vars(args), {"machine": MachineConfig, "search": SearchConfig,
                                         "further models": FurtherModelsConfig})  # fmt: skip
    further = sections["further models"]
    check_flags(args, further)
    machine = prepare_machine(sections["machine"])
    from theano_rnn.cli.model_loading import open_translator
    from theano_rnn.text.sources import Source
    from theano_rnn.text.whole_texts import rows_of

    model = open_translator(args.checkpoint, machine, ensemble=further.ensemble, lm=further.lm)
    config = sections["search"]
    with Source(args.file, args.column, is_read_once=True) as source:
        lines = rows_of(source)
        if args.evaluate is not None or args.score is not None:
            texts = [line for line in lines if line is not None]
            others = lines_of(args.evaluate or args.score, args.column)
            if len(texts) != len(others):
                raise UserError(f"{source.name} has {len(texts):,} lines, but {args.evaluate or args.score} has "
                                f"{len(others):,}: the lines of both must belong together")  # fmt: skip
            if args.score is not None:
                return score(model, texts, others)
            if args.tune_lm_weight:
                return tune_lm_weight(model, config, texts, others)
            return evaluate(model, config, texts, others)
        if args.attention is not None:
            return show_attention(args, model, config, lines)
        return translate(args, model, config, lines)


def check_flags(args: argparse.Namespace, further: FurtherModelsConfig) -> None:
    """Raises `UserError` if flags contradict each other, or a file cannot be read or written."""
    other = next((f"--{name}" for name in ("scores", "evaluate", "score", "attention") if getattr(args, name)), None)
    if "nbest" in vars(args) and other:
        raise UserError(f"--nbest cannot be used with {other}: leave one out")
    for name, flag in (("lm_weight", "--lm-weight"), ("tune_lm_weight", "--tune-lm-weight")):
        if vars(args).get(name) is not None and vars(args)[name] is not False and further.lm is None:
            raise UserError(f"{flag} needs a language model: add --lm, or leave it out")
    if args.score is not None and further.lm is not None:
        raise UserError("--score gives the log-probability of the translator alone: leave --lm out")
    if args.tune_lm_weight and args.evaluate is None:
        raise UserError("--tune-lm-weight compares BLEU: add --evaluate REFERENCE")
    if args.tune_lm_weight and "lm_weight" in vars(args):
        raise UserError("--tune-lm-weight finds the weight: leave --lm-weight out")
    for path in (args.evaluate, args.score):
        if path == "-" and args.file == "-":
            raise UserError("only one of the two files can be standard input: name the other one")
        if path not in (None, "-"):
            with open(path, "rb"):  # report a wrong name before anything is compiled
                pass
    if args.evaluate is not None:
        from theano_rnn.scoring.bleu import check_sacrebleu

        check_sacrebleu()
    if args.attention is not None:
        if Path(args.attention).suffix != ".html":
            raise UserError(f"--attention must end in .html, got {args.attention or 'an empty name'}")
        check_output(Path(args.attention), [args.checkpoint, args.file], is_forced=args.force, flag="--attention")


def lines_of(path: str, column: str | None) -> list[str]:
    """Returns the lines of a file, or the texts of a table."""
    from theano_rnn.text.sources import Source
    from theano_rnn.text.whole_texts import rows_of

    with Source(path, column) as source:
        return [line for line in rows_of(source) if line is not None]


def translate(args: argparse.Namespace, model: Translator, config: SearchConfig, lines: Iterator[str | None]) -> int:
    """Print the translation of each line."""
    num_tokens = num_unknown = 0
    has_lm = model.ensemble.language_model is not None and config.lm_weight > 0
    for number, found in enumerate(model.stream(lines, config)):
        num_tokens, num_unknown = num_tokens + found.num_tokens, num_unknown + found.num_unknown
        if "nbest" in vars(args):
            entries = nbest_lines(number, found, has_lm=has_lm, has_coverage=bool(config.coverage))
            sys.stdout.write("".join(f"{line}\n" for line in entries))
        elif args.scores:
            sys.stdout.write(f"{found.translations[0].score:.6f}\t{found.text}\n" if found.translations else "-\t\n")
        else:
            sys.stdout.write(found.text + "\n")
        sys.stdout.flush()
    if num_unknown > MANY_UNKNOWN * num_tokens:
        advise([f"{num_unknown:,} of {num_tokens:,} source tokens are not in the model's vocabulary"])
    return 0


def nbest_lines(number: int, found: Translated, *, has_lm: bool, has_coverage: bool) -> Iterator[str]:
    """Yields the translations of a line in Moses' format. A blank line has one, which is empty.

    Features are ``log_p=``, of the translator; ``lm=``, the log-probability of the language model, if one takes part;
    and ``coverage=``, the penalty, if there is one.
    """
    from theano_rnn.translator import Translation

    for each in found.translations or [Translation("", 0.0, 0.0, ())]:
        text = each.text.replace(MOSES, "| | |")
        features = f"log_p= {each.log_probability:.6f}"
        features += f" lm= {each.lm_log_probability or 0:.6f}" if has_lm else ""
        features += f" coverage= {each.coverage:.6f}" if has_coverage else ""
        yield f"{number} {MOSES} {text} {MOSES} {features} {MOSES} {each.score:.6f}"


def evaluate(model: Translator, config: SearchConfig, lines: list[str], references: list[str]) -> int:
    """Print BLEU and chrF."""
    from theano_rnn.scoring.bleu import translation_scores

    for each in translation_scores(translations(model, config, lines), references):
        print(f"{each.name} {each.score:.2f}  {each.signature}")
    return 0


def tune_lm_weight(model: Translator, config: SearchConfig, lines: list[str], references: list[str]) -> int:
    """Print the BLEU of each of some weights of the language model, and the best weight; of equal ones the smallest."""
    from theano_rnn.scoring.bleu import translation_scores

    found = []
    for weight in LM_WEIGHTS:
        texts = translations(model, dataclasses.replace(config, lm_weight=weight), lines)
        bleu = translation_scores(texts, references)[0]
        found.append((bleu.score, -weight))
        print(f"--lm-weight {weight:g}  BLEU {bleu.score:.2f}", flush=True)
    score, weight = max(found)
    print(f"best: --lm-weight {-weight:g}  BLEU {score:.2f}  {bleu.signature}")
    return 0


def translations(model: Translator, config: SearchConfig, lines: list[str]) -> list[str]:
    """Returns the translation of each line. Shows a progress bar."""
    bar, texts = Bar("translating", unit=" lines", total=len(lines), delay=2.0), []
    try:
        for found in model.stream(lines, config):
            texts.append(found.text)
            bar.to(len(texts))
    finally:
        bar.close()
    return texts


def score(model: Translator, sources: list[str], targets: list[str]) -> int:
    """Print the log-probability of each given translation; - if the source is blank."""
    num_tokens = num_unknown = 0
    for target, found in zip(targets, model.scores(zip(sources, targets))):
        num_tokens += found.num_tokens if found else 0
        num_unknown += found.num_unknown if found else 0
        print(f"{found.log_probability:.6f}\t{found.num_tokens}\t{target}" if found else f"-\t0\t{target}")
    if num_unknown > MANY_UNKNOWN * num_tokens:
        advise([f"{num_unknown:,} of {num_tokens:,} target tokens are not in the model's vocabulary and count as "
                "<unk>, which is easier to predict than they are"])  # fmt: skip
    return 0


def show_attention(
    args: argparse.Namespace, model: Translator, config: SearchConfig, lines: Iterator[str | None]
) -> int:
    """Write a page with the attention of the first sentences."""
    from tqdm import tqdm

    from theano_rnn.learning.atomic_files import write_atomically
    from theano_rnn.translator import MAX_ATTENTION_TOKENS
    from theano_rnn.view.attention_page import attention_page

    shown: list[tuple[str, Attention]] = []
    num_long, is_cut = 0, False
    for found in model.stream(first_lines(lines, MAX_SHOWN + 1), config):
        if not found.translations:
            continue
        if len(shown) == MAX_SHOWN:
            is_cut = True
            break
        best = found.translations[0]
        if max(found.num_tokens, len(best.ids)) >= MAX_ATTENTION_TOKENS:
            num_long += 1
            continue
        shown.append((best.text, model.attention(found.source, best)))
    if num_long:
        advise([f"{num_long:,} sentences are longer than {MAX_ATTENTION_TOKENS:,} tokens and left out"])
    if not shown:
        raise UserError("there is no sentence to show: give one that is not blank and not too long")
    if is_cut:
        advise([f"the page has the first {MAX_SHOWN} sentences"])
    page, path = attention_page(shown, about=Path(args.checkpoint).name), Path(args.attention)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data := page.encode())
    print(f"{args.attention}  ({tqdm.format_sizeof(len(data), 'B')})", flush=True)
    return 0


def first_lines(lines: Iterator[str | None], count: int) -> Iterator[str]:
    """Yields the first lines that are not blank."""
    for line in lines:
        if line is not None and line.strip():
            yield line
            count -= 1
            if not count:
                return
