"""Generated sentence pairs: dates in English, and the same dates written out in French.

>>> french(datetime.date(1999, 8, 1)), french(datetime.date(2021, 5, 3), weekday=True)
('le premier août mille neuf cent quatre-vingt-dix-neuf', 'lundi trois mai deux mille vingt et un')

The pairs are learned in minutes, and they need what attention does: the order of the words changes, and one source
word becomes several target words. No date is in two parts.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from theano_rnn.settings.text import TextConfig
from theano_rnn.text.parallel_sources import PairSide

SIZES = {"train": 8_000, "valid": 500, "test": 500}
SEED = 1
FIRST_DAY, LAST_DAY = datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip
FRENCH_MONTHS = ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre",
                 "novembre", "décembre")  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FRENCH_WEEKDAYS = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")
FORMS = (
    "{month} {day}, {year}", "{month} {ordinal}, {year}", "{day} {month} {year}", "{ordinal} {month} {year}",
    "{ordinal} of {month} {year}", "the {ordinal} of {month} {year}", "the {ordinal} of {month}, {year}",
    "{weekday}, {month} {day}, {year}", "{weekday}, {day} {month} {year}", "{weekday} the {ordinal} of {month}, {year}",
    "{day} {short} {year}", "{short} {day}, {year}",
)  # fmt: skip
UNITS = ("zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix", "onze", "douze",
         "treize", "quatorze", "quinze", "seize", "dix-sept", "dix-huit", "dix-neuf")  # fmt: skip
TENS = ("", "", "vingt", "trente", "quarante", "cinquante", "soixante", "soixante", "quatre-vingt", "quatre-vingt")


def number_in_french(number: int) -> str:
    """Returns a number from 0 to 9,999 in words, in the traditional spelling.

    >>> [number_in_french(number) for number in (16, 21, 71, 80, 81, 99)]
    ['seize', 'vingt et un', 'soixante et onze', 'quatre-vingts', 'quatre-vingt-un', 'quatre-vingt-dix-neuf']
    >>> [number_in_french(number) for number in (1000, 1900, 1901, 2000)]
    ['mille', 'mille neuf cents', 'mille neuf cent un', 'deux mille']
    """
    thousands, rest = divmod(number, 1000)
    hundreds, below = divmod(rest, 100)
    words = []
    if thousands:
        words += ["mille"] if thousands == 1 else [UNITS[thousands], "mille"]
    if hundreds:
        words += ["cent"] if hundreds == 1 else [UNITS[hundreds], "cent" if below else "cents"]
    if below or not words:
        words.append(below_hundred(below))
    return " ".join(words)


def below_hundred(number: int) -> str:
    if number < 20:
        return UNITS[number]
    if number == 80:
        return "quatre-vingts"
    ten, unit = divmod(number, 10)
    if ten in (7, 9):
        unit += 10
    if not unit:
        return TENS[ten]
    joint = " et " if unit in (1, 11) and ten < 8 else "-"
    return f"{TENS[ten]}{joint}{UNITS[unit]}"


def french(day: datetime.date, *, weekday: bool = False) -> str:
    """Returns a date in French, in words, with its weekday or the article."""
    first = FRENCH_WEEKDAYS[day.weekday()] if weekday else "le"
    number = "premier" if day.day == 1 else number_in_french(day.day)
    return f"{first} {number} {FRENCH_MONTHS[day.month - 1]} {number_in_french(day.year)}"


def ordinal(number: int) -> str:
    """Returns 1st, 2nd, 3rd, 4th, ..., 11th, ..., 21st, ...

    >>> [ordinal(number) for number in (1, 2, 3, 4, 11, 12, 13, 22, 31)]
    ['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '22nd', '31st']
    """
    ending = "th" if 10 < number < 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def english(day: datetime.date, form: str) -> str:
    """Returns a date in English in one of the `FORMS`.

    >>> [english(datetime.date(2021, 5, 3), form) for form in FORMS[5:8]]
    ['the 3rd of May 2021', 'the 3rd of May, 2021', 'Monday, May 3, 2021']
    """
    month = MONTHS[day.month - 1]
    return form.format(day=day.day, ordinal=ordinal(day.day), month=month, short=month[:3], year=day.year,
                       weekday=WEEKDAYS[day.weekday()])  # fmt: skip


def date_pairs(seed: int = SEED) -> dict[str, list[tuple[str, str]]]:
    """Returns the pairs of each part. Each pair is another day."""
    rng = np.random.default_rng(seed)
    total = sum(SIZES.values())
    days = rng.permutation((LAST_DAY - FIRST_DAY).days + 1)[:total]
    forms = rng.integers(len(FORMS), size=total)
    pairs = []
    for number, form in zip(days, forms):
        day = FIRST_DAY + datetime.timedelta(days=int(number))
        pairs.append((english(day, FORMS[form]), french(day, weekday="{weekday}" in FORMS[form])))
    ends = np.cumsum(list(SIZES.values())).tolist()
    return {part: pairs[end - size : end] for (part, size), end in zip(SIZES.items(), ends)}


class PairTexts:
    """Pairs in memory, in the place of `PairFiles`: they become tokens in the same way."""

    def __init__(self, name: str, pairs: Sequence[tuple[str, str]]) -> None:
        self.name, self.pairs, self.columns = name, pairs, ()
        self.files, self.notes = [self], list[str]()
        self.num_bytes = sum(len(side.encode()) + 1 for pair in pairs for side in pair)

    def lines(self, side: int, config: TextConfig) -> Iterator[str]:
        """Yields the lines of one side."""
        return (pair[side] for pair in self.pairs)

    def find_pairs(self, config: TextConfig) -> tuple[Any, int]:
        """Returns the numbers of all pairs, int64 (pairs,), and how many there are."""
        return np.arange(len(self.pairs)), len(self.pairs)

    def side(self, number: int, kept: Any) -> PairSide:
        """Returns one side of the pairs, for the tokenizer."""
        return PairSide(self, number, kept)

    def num_bytes_read(self) -> int:
        return self.num_bytes

    def has_changed(self) -> bool:
        return False

    def digest(self) -> str:
        """Returns the SHA-256 of the pairs, hexadecimal."""
        return hashlib.sha256(repr(self.pairs).encode()).hexdigest()
