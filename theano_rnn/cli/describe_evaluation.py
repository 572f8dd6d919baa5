"""``describe --evaluate``: a table of a captioner's measures, for a file of captions or for drawn scenes."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from theano_rnn.cli.console import Bar
from theano_rnn.settings.base import UserError

if TYPE_CHECKING:
    from theano_rnn.captioner import Captioner
    from theano_rnn.images.feature_files import FeatureFile

WIDTH = 80  # of the table
COLUMN = 11  # width of a column of numbers
ROWS = (  # label, name, digits
    ("pictures", "pictures", 0), ("loss, nats per token", "loss", 4), ("perplexity", "perplexity", 2),
    ("exact captions, %", "exact", 1), ("BLEU", "bleu", 1), ("CIDEr", "cider", 1),
    ("captions changed by swapping pictures, %", "changed_by_swap", 1),
)  # fmt: skip
POINTED = (("touching", "touches"), ("centred", "centre"), ("mass", "mass"), ("other", "other one"))


def print_evaluation(args: argparse.Namespace, model: Captioner, features: FeatureFile | None, num_ranked: int) -> int:
    """Print the measures for the pictures of a file of captions, or for scenes if no file is named."""
    from theano_rnn.scoring.bleu import check_sacrebleu

    check_sacrebleu("describe")
    if not args.evaluate:
        from theano_rnn.tasks.caption_evaluation import evaluated_scenes, is_trained_on_scenes

        if not is_trained_on_scenes(model):
            raise UserError(f"{args.checkpoint} was not trained on scenes: name the captions to compare with, "
                            "--evaluate CAPTIONS")  # fmt: skip
        parts, pointings = {}, {}
        for part, scenes in evaluated_scenes().items():
            with Ranking(num_ranked) as ranking:
                values, pointings[part] = model.evaluate_scenes(scenes, num_ranked=num_ranked, progress=ranking)
            parts[part] = {"pictures": len(scenes.images), **values}
        if args.json:
            print(json.dumps({part: {**parts[part], "attention": pointings[part]} for part in parts}))
        else:
            print(
                "\n".join([*table(parts), *(line for part in parts for line in pointing_table(part, pointings[part]))])
            )
        return 0
    images, references = read(args, model, features)
    with Ranking(num_ranked) as ranking:
        values = model.evaluate(images, references, num_ranked=num_ranked, progress=ranking)
    values = {"pictures": len(images), **values}
    print(json.dumps(values) if args.json else "\n".join(table({Path(args.evaluate).stem[: COLUMN - 1]: values})))
    return 0


def read(args: argparse.Namespace, model: Captioner, features: FeatureFile | None) -> tuple[Any, list[Sequence[str]]]:
    """Returns the pictures of a file of captions, or their features, as arrays, and their captions."""
    import numpy as np

    from theano_rnn.text.caption_files import read_captions

    rows = [row for row in read_captions(args.evaluate) if row.captions]
    if not rows:
        raise UserError(f"{args.evaluate} contains no captions")
    folder = args.images if args.images is not None else os.path.dirname(args.evaluate)
    bar, images = Bar("reading", unit=" pictures", total=len(rows), delay=2.0), []
    try:
        for row in rows:
            images.append(model.image(os.path.join(folder, row.image) if features is None
                                      else features.features([row.image])[0]))  # fmt: skip
            bar.to(len(images))
    finally:
        bar.close()
    return np.stack(images), [row.captions for row in rows]


class Ranking:
    """A bar of the pictures whose captions have been ranked."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.bar: Bar | None = None

    def __enter__(self) -> Ranking:
        return self

    def __call__(self, count: int) -> None:
        self.bar = self.bar or Bar("ranking captions", unit=" pictures", total=self.total, delay=2.0)
        self.bar.to(count)

    def __exit__(self, *error: Any) -> None:
        if self.bar is not None:
            self.bar.close()


def table(parts: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Yields lines with the measures of each part, a column each."""
    yield row("", parts)
    for label, name, digits in ROWS:
        yield row(label, [f"{values[name]:,.{digits}f}" for values in parts.values()])
    first = next(iter(parts.values()))
    if "ranked_pictures" in first:
        counts = f"{first['ranked_pictures']:,} pictures"
        yield f"found by ln P(caption | picture), among {counts}, %"
        for what, other in (("caption", "picture"), ("picture", "caption")):
            for depth in (1, 5, 10):
                among = "is the first" if depth == 1 else f"is among the first {depth}"
                numbers = [f"{values[f'{what}_in_{depth}']:.1f}" for values in parts.values()]
                yield row(f"  {what} of a {other} {among}", numbers)


def row(label: str, cells: Any) -> str:
    return (label.ljust(WIDTH - COLUMN * 3) + "".join(str(cell).rjust(COLUMN) for cell in cells)).rstrip()


def pointing_table(part: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yields lines with where the words of scenes look, beside what chance would give."""
    yield ""
    heads = ["words", *(title for _, title in POINTED)]
    yield f"where words look, {part}, %".ljust(WIDTH - 4 * COLUMN - 8) + "".join(
        head.rjust(8 if head == "words" else COLUMN) for head in heads
    )
    for captions, title in (("right", "captions that the model writes"), ("all", "all true captions")):
        yield f"  {title}"
        for each in rows:
            if each["captions"] == captions and each["num_words"]:
                chances = {**each, "mass_by_chance": each["touching_by_chance"]}
                for label, suffix in ((f"    {each['kind']}", ""), ("      by chance", "_by_chance")):
                    count = f"{each['num_words']:,}" if not suffix else ""
                    cells = "".join(f"{chances[name + suffix]:.1f}".rjust(COLUMN) for name, _ in POINTED)
                    yield label.ljust(WIDTH - 4 * COLUMN - 8) + count.rjust(8) + cells
