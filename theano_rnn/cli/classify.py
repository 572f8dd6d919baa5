"""``classify``: label texts with a trained classifier, measure how often the labels are right, and explain them."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from theano_rnn.cli.console import Bar, advise
from theano_rnn.cli.files import check_output
from theano_rnn.cli.machine import prepare_machine
from theano_rnn.cli.options import Parser, add_flags, sections_from
from theano_rnn.settings.base import UserError
from theano_rnn.settings.classification import LABEL_COLUMN_HELP
from theano_rnn.settings.machine import MachineConfig
from theano_rnn.settings.strict_json import to_json
from theano_rnn.settings.text import COLUMN_HELP

if TYPE_CHECKING:
    from theano_rnn.classifier import Classified, Classifier, Explanation

MAX_EXPLAINED = 100  # texts of a page
MAX_EXPLAINED_TOKENS = 1_000  # of each of them; leaving out each token takes the square of this
LINE_BREAKS = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Label texts with a trained classifier: one text per line, or per row of a table. Prints one line "
        "for each: label TAB probability TAB text. A blank text has an empty label and the probability -.",
        epilog=f'examples:\n  echo "A charming film." | {prog} runs/reviews.safetensors\n'
        f"  {prog} runs/reviews.safetensors reviews.csv --column review --all\n"
        f"  {prog} runs/reviews.safetensors labelled.tsv --evaluate --output confusion.png\n"
        f"  {prog} runs/reviews.safetensors reviews.txt --explain page.html\n"
        "train the model with: train.py --task classify --train labelled.tsv --checkpoint runs/reviews.safetensors",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a model trained with --task classify")
    parser.add_argument("file", nargs="?", default="-", metavar="FILE",
                        help="lines of text, or a table (.csv, .tsv, .jsonl, see --column), also compressed (.gz, "
                        ".bz2, .xz; default: standard input)")  # fmt: skip
    parser.add_argument("--column", metavar="NAME", help=COLUMN_HELP)
    parser.add_argument("--label-column", metavar="NAME", help=f"with --evaluate: {LABEL_COLUMN_HELP}")
    parser.add_argument("--all", action="store_true", help="print the probabilities of all labels, the likeliest "
                        "first: label TAB probability TAB label TAB probability ... TAB text")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object per text, with the probabilities of "
                        "all labels if --all is given; with --evaluate, one for all texts")  # fmt: skip
    parser.add_argument("--threshold", type=float, metavar="P", help="leave the label empty if its probability is "
                        "below this")  # fmt: skip
    parser.add_argument("--temperature", type=float, metavar="T", help="divide the scores by this before they become "
                        "probabilities (default: the value that fits the validation texts)")  # fmt: skip
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--evaluate", action="store_true", help="compare with true labels: FILE has labels in any form "
                        "that training reads. Prints loss, accuracy, F1, calibration and the confusion "
                        "matrix")  # fmt: skip
    output.add_argument("--explain", metavar="PAGE", help=f"write an HTML page of the first {MAX_EXPLAINED} texts, "
                        "with each token coloured by what it adds to the label")  # fmt: skip
    parser.add_argument("--output", metavar="FILE", help="with --evaluate: write a picture of the confusion matrix "
                        "(PNG)")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace an existing page or picture")
    add_flags(parser, "this machine", MachineConfig)
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    check_flags(args)
    machine = prepare_machine(sections_from(vars(args), {"machine": MachineConfig})["machine"])
    from theano_rnn.cli.model_loading import open_classifier

    if args.evaluate:
        if args.output:
            from theano_rnn.view.plots import new_figure

            new_figure()  # fails early if matplotlib is missing
        return evaluate(args, open_classifier(args.checkpoint, machine, temperature=args.temperature))
    from theano_rnn.text.sources import Source
    from theano_rnn.text.whole_texts import rows_of

    model = open_classifier(args.checkpoint, machine, temperature=args.temperature)
    with Source(args.file, args.column, is_read_once=True) as source:
        texts = rows_of(source)
        return explain(args, model, texts) if args.explain else classify(args, model, texts)


def check_flags(args: argparse.Namespace) -> None:
    """Raises `UserError` if flags contradict each other, or a file cannot be written."""
    if args.threshold is not None and not 0 <= args.threshold <= 1:
        raise UserError(f"--threshold must be from 0 to 1, got {args.threshold:g}")
    if args.temperature is not None and not 0 < args.temperature < math.inf:
        raise UserError(f"--temperature must be above 0, got {args.temperature:g}")
    for name in ("label_column", "output"):
        if getattr(args, name) is not None and not args.evaluate:
            raise UserError(f"--{name.replace('_', '-')} needs --evaluate: add --evaluate, or leave it out")
    other = "--evaluate" if args.evaluate else "--explain" if args.explain else None
    given = {"all": args.all, "threshold": args.threshold is not None, "json": args.json and not args.evaluate}
    for name, is_given in given.items():
        if is_given and other:
            raise UserError(f"--{name} cannot be used with {other}: leave one out")
    for name, ending in (("explain", ".html"), ("output", ".png")):
        if (path := getattr(args, name)) is not None:
            if Path(path).suffix != ending:
                raise UserError(f"--{name} must end in {ending}, got {path or 'an empty name'}")
            check_output(Path(path), [args.checkpoint, args.file], is_forced=args.force, flag=f"--{name}")


def classify(args: argparse.Namespace, model: Classifier, texts: Iterator[str | None]) -> int:
    """Print the label of each text."""
    num_blank = 0
    for result in model.stream(texts):
        num_blank += not result.num_tokens
        print(shown(result, model.labels, args), flush=True)
    if num_blank:
        advise([f"{counted(num_blank)} blank: the label is empty"])
    return 0


def counted(number: int) -> str:
    """Returns a number of texts and the verb."""
    return f"{number:,} texts are" if number > 1 else "1 text is"


def shown(result: Classified, labels: list[str], args: argparse.Namespace) -> str:
    """Returns the line for a text."""
    order = (-result.probabilities).argsort(kind="stable")
    is_blank = not result.num_tokens
    is_labelled = not is_blank and (args.threshold is None or result.probability >= args.threshold)
    probabilities = [(labels[i], None if is_blank else round(float(result.probabilities[i]), 6)) for i in order]
    if args.json:
        record: dict[str, Any] = {"text": result.text, "label": result.label if is_labelled else None,
                                  "probability": probabilities[0][1]}  # fmt: skip
        return to_json(record | ({"probabilities": dict(probabilities)} if args.all else {}), ensure_ascii=False)
    best = (result.label if is_labelled else "", probabilities[0][1])
    parts = probabilities if args.all else [best]
    fields = [field for label, p in parts for field in (on_one_line(label).replace("\t", " "),
                                                        "-" if p is None else f"{p:.6f}")]  # fmt: skip
    return "\t".join([*fields, on_one_line(result.text)])


def on_one_line(text: str) -> str:
    """Returns a text with blanks in the place of line breaks.

    >>> on_one_line("Dull.\\r\\nAnd long.\\n")
    'Dull. And long.'
    """
    return LINE_BREAKS.sub(" ", LINE_BREAKS.sub("\n", text).strip("\n"))


def evaluate(args: argparse.Namespace, model: Classifier) -> int:
    """Print the measures over labelled texts, and draw the confusion matrix."""
    import contextlib

    from theano_rnn.text.labelled_sources import LabelledSource, labelled_sources
    from theano_rnn.view.label_tables import describe_report
    from theano_rnn.view.plots import as_png, confusion_matrix

    known, num_blank = set(model.labels), 0
    bar = Bar("evaluating", unit=" texts", delay=2.0)

    def labelled(sources: list[LabelledSource]) -> Iterator[tuple[str, str]]:
        nonlocal num_blank
        number = 0
        for source in sources:
            for found in source.labelled_texts(model.vocabulary.text):
                if found.label not in known:
                    raise UserError(f"{source.name} row {found.line:,}: {model.unknown_label(found.label)}")
                num_blank += not found.text.strip()
                number += 1
                bar.to(number)
                yield found.text, found.label

    with contextlib.ExitStack() as stack:
        sources = labelled_sources([args.file], model.vocabulary.text, args.column, args.label_column)
        try:
            report = model.evaluate(labelled([stack.enter_context(source) for source in sources]))
        finally:
            bar.close()
    print(to_json(report.as_json(), ensure_ascii=False) if args.json else describe_report(report))
    if num_blank:
        advise([f"{counted(num_blank)} blank and not counted"])
    if args.output:
        write(Path(args.output), as_png(confusion_matrix(report)))
        if not args.json:
            print(f"\n{args.output} has a picture of the confusion matrix")
    return 0


def explain(args: argparse.Namespace, model: Classifier, texts: Iterator[str | None]) -> int:
    """Write a page with explanations of the first texts."""
    from tqdm import tqdm

    from theano_rnn.text.whole_texts import pieces_of_text
    from theano_rnn.view.explanation_page import explanation_page

    found: list[Explanation] = []
    num_long, is_cut = 0, False
    bar = Bar("explaining", unit=" texts", delay=2.0)
    for text in texts:
        pieces = pieces_of_text(text or "", model.vocabulary)
        if not pieces or text is None:
            continue
        if len(found) == MAX_EXPLAINED:
            is_cut = True
            break
        if len(pieces) > MAX_EXPLAINED_TOKENS:
            num_long += 1
            continue
        found.append(model.explain(text))
        bar.to(len(found))
    bar.close()
    if num_long:
        advise([f"{counted(num_long)} longer than {MAX_EXPLAINED_TOKENS:,} tokens and left out"])
    if not found:
        raise UserError("there is no text to explain: give one that is not blank and not too long")
    if is_cut:
        advise([f"the page has the first {MAX_EXPLAINED} texts"])
    page = explanation_page(found, labels=model.labels, unit=model.vocabulary.text.unit,
                            unk_id=model.vocabulary.unk_id, about=Path(args.checkpoint).name)  # fmt: skip
    write(Path(args.explain), data := page.encode())
    print(f"{args.explain}  ({tqdm.format_sizeof(len(data), 'B')})", flush=True)
    return 0


def write(path: Path, data: bytes) -> None:
    """Write a file, and the folder that it is in."""
    from theano_rnn.learning.atomic_files import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)
