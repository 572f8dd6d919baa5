"""N-best lists, as written by speech recognizers and translation systems: several scored hypotheses for each input.

Two formats are recognized by the form of a line: ``id ||| hypothesis ||| features ||| score`` of Moses, where fields
after the score are kept, and ``id TAB hypothesis TAB score``. The hypotheses of one list are consecutive lines. Higher
scores are better.

>>> entry = parse_entry("7 ||| it is ||| LM= -2.5 ||| -3.25 ||| 0-0 1-1")
>>> entry.id, entry.text, entry.score
('7', 'it is', -3.25)
>>> entry.format(-5.5, log_probability=-4.5)
'7 ||| it is ||| LM= -2.5 theano_rnn= -4.500000 ||| -5.500000 ||| 0-0 1-1'
>>> parse_entry("7\\tit is\\t-3.25").format(-5.5, log_probability=-4.5)
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


class NBestEntry(NamedTuple):
    """A hypothesis `text` for input `id` with its `score`; `fields` are all fields of its line."""

    id: str
    text: str
    score: float
    fields: list[str]

    def format(self, score: float, *, log_probability: float) -> str:
        """Returns the line with a new score. In Moses' format, the log-probability is added to the features."""
        if len(self.fields) == 3:
            return f"{self.id}\t{self.text}\t{score:.6f}"
        id_, text, features, _, *rest = self.fields
        features = f"{features} {FEATURE} {log_probability:.6f}".strip()
        return MOSES.join([id_, text, features, f"{score:.6f}", *rest])


def parse_entry(line: str, place: str = "line") -> NBestEntry:
    """Parse a line of an n-best list.

    Raises
    ------
    UserError
        The line has neither format; the message begins with `place`.
    """
    fields = [field.strip() for field in line.split("|||")] if "|||" in line else line.split("\t")
    try:
        score = float(fields[3 if "|||" in line else 2])
        if not math.isfinite(score) or ("|||" not in line and len(fields) > 3):
            raise ValueError
    except (IndexError, ValueError):
        raise UserError(f"{place} must be `id ||| hypothesis ||| features ||| score`, or id, hypothesis and score "
                        f"separated by tabs, got {line[:60]!r}") from None  # fmt: skip
    return NBestEntry(fields[0], fields[1], score, fields)


def read_lists(lines: Iterable[str], name: str) -> Iterator[list[NBestEntry]]:
    """Yield the lists of a file: consecutive lines with the same id form a list. Empty lines are skipped.

    Raises
    ------
    UserError
        A line has neither format; the message gives `name` and the number of the line.
    """
    entries = (
        parse_entry(line.rstrip("\r\n"), f"{name} line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    )
    for _, group in itertools.groupby(entries, key=lambda entry: entry.id):
        yield list(group)
