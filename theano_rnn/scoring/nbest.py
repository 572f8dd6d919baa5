"""N-best lists as recognizers and translators write them: several hypotheses for each input, each with a score.

Two formats, found by how a line looks: Moses' ``id ||| hypothesis ||| features ||| score``, what follows the score
kept, and plain ``id TAB hypothesis TAB score``. The hypotheses of a list stand one after another; higher scores are
better.

>>> entry = parse("7 ||| it is ||| LM= -2.5 ||| -3.25 ||| 0-0 1-1")
>>> entry.id, entry.text, entry.score
('7', 'it is', -3.25)
>>> entry.line(-5.5, log_probability=-4.5)
'7 ||| it is ||| LM= -2.5 theano_rnn= -4.500000 ||| -5.500000 ||| 0-0 1-1'
>>> parse("7\\tit is\\t-3.25").line(-5.5, log_probability=-4.5)
'7\\tit is\\t-5.500000'
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from theano_rnn.settings.base import UserError

MOSES = " ||| "
FEATURE = "theano_rnn="


class Entry(NamedTuple):
    """A hypothesis: `text` for input `id` with `score`; `fields` are those of its line."""

    id: str
    text: str
    score: float
    fields: list[str]

    def line(self, score: float, *, log_probability: float) -> str:
        """The hypothesis in its format with another score; Moses' features gain the model's log-probability."""
        if len(self.fields) == 3:
            return f"{self.id}\t{self.text}\t{score:.6f}"
        id_, text, features, _, *rest = self.fields
        features = f"{features} {FEATURE} {log_probability:.6f}".strip()
        return MOSES.join([id_, text, features, f"{score:.6f}", *rest])


def parse(line: str, place: str = "line") -> Entry:
    """The hypothesis on a line.

    Raises
    ------
    UserError
        It is of neither format; the message begins with `place`.
    """
    fields = [field.strip() for field in line.split("|||")] if "|||" in line else line.split("\t")
    try:
        score = float(fields[3 if "|||" in line else 2])
        if not math.isfinite(score) or ("|||" not in line and len(fields) > 3):
            raise ValueError
    except (IndexError, ValueError):
        raise UserError(f"{place} must be `id ||| hypothesis ||| features ||| score`, or id, hypothesis and score "
                        f"separated by tabs, got {line[:60]!r}") from None  # fmt: skip
    return Entry(fields[0], fields[1], score, fields)


def lists(lines: Iterable[str], name: str) -> Iterator[list[Entry]]:
    """The lists of a file, each the lines that follow one another with the same id; empty lines are skipped.

    Raises
    ------
    UserError
        A line is no hypothesis; the message names it.
    """
    entries = (
        parse(line.rstrip("\r\n"), f"{name} line {number}") for number, line in enumerate(lines, 1) if line.strip()
    )
    for _, group in itertools.groupby(entries, key=lambda entry: entry.id):
        yield list(group)
