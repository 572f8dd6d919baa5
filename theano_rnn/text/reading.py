"""Text to sentences, in a stream, cut only where it does not change any sentence.

A *unit* is about 128 thousand characters of whole paragraphs (of whole lines with `sentences="line"`); a longer
paragraph is handed on in pieces cut at white space, only the last of which ends its sentence.

>>> list(units(iter(["One par", "agraph.\\n\\nAnother.\\n"]), TextConfig()))
[Unit(text='One paragraph.\\n\\nAnother.\\n', is_continued=False, is_open=False)]
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from theano_rnn.settings.text import TextConfig
from theano_rnn.text.sources import Source
from theano_rnn.text.words import sentence_splitter

UNIT_CHARACTERS = 1 << 17  # of a work unit, and of one piece of a longer paragraph: changes the tokens of such pieces
PARAGRAPH_END = re.compile(r"\n[^\S\n]*\n")


class Unit(NamedTuple):
    """A piece of text: whether it starts inside a sentence, and whether the last sentence goes on in the next unit."""

    text: str
    is_continued: bool
    is_open: bool


def units(blocks: Iterator[str], config: TextConfig, size: int = UNIT_CHARACTERS) -> Iterator[Unit]:
    r"""The text of `blocks` in pieces of `size` characters at most; how it came in blocks makes no difference.

    Examples
    --------
    >>> for unit in units(iter(["A very long paragraph.\n\nShort."]), TextConfig(), size=12):
    ...     print(unit)
    Unit(text='A very long', is_continued=False, is_open=True)
    Unit(text=' paragraph.', is_continued=True, is_open=True)
    Unit(text='\n\nShort.', is_continued=True, is_open=False)
    """
    by_line = config.sentences == "line" or config.unit == "char"
    text, parts, num_waiting, is_continued = "", [""], 0, False
    for block in blocks:
        parts.append(block)
        num_waiting += len(block)
        if len(text) + num_waiting <= size:
            continue
        text, parts, num_waiting = text + "".join(parts), [], 0
        start = 0
        while len(text) - start > size:
            end, is_open = cut(text, start, start + size, by_line)
            if is_open and (blanks := leading_blanks(text[start : start + size])) > 1:  # no piece may be blank
                text = ("\n" if "\n" in text[start : start + blanks] else " ") + text[start + blanks :]
                start = 0
                continue
            yield Unit(text[start:end], is_continued, is_open)
            start, is_continued = end, is_open
        text = text[start:]
    text += "".join(parts)
    if text:
        yield Unit(text, is_continued, False)


def cut(text: str, start: int, end: int, by_line: bool) -> tuple[int, bool]:
    """Where a piece of `text[start:end]` ends, and whether that is inside a paragraph (a line)."""
    mark = "\n" if by_line else "\n\n"
    if (found := text.rfind(mark, start, end)) >= 0:
        return found + len(mark), False
    if not by_line and (ends := [match.end() for match in PARAGRAPH_END.finditer(text, start, end)]):
        return ends[-1], False
    blank = next((position for position in range(end - 1, start, -1) if text[position].isspace()), end)
    while blank < end and text[blank - 1].isspace() and blank - 1 > start:
        blank -= 1
    return blank, True  # before all the blanks: they may begin the end of the paragraph


def leading_blanks(text: str) -> int:
    """How many blanks the text starts with."""
    return len(text) - len(text.lstrip())


def sentences_of(unit: Unit, config: TextConfig, split: Callable[[str], list[str]]) -> Iterator[tuple[str, bool]]:
    """The sentences of a unit by `split`, and of each whether it ends here; `("", True)` ends one that began before."""
    by_line = config.sentences == "line" or config.unit == "char"
    segments = unit.text.split("\n") if by_line else PARAGRAPH_END.split(unit.text)
    if unit.is_continued and not segments[0].strip():
        yield "", True
    for segment in segments:
        if segment.strip():
            *whole, last = split(segment)
            for sentence in whole:
                yield sentence, True
            yield last, not unit.is_open


def read_sentences(path: str | os.PathLike[str], text: TextConfig) -> Iterator[str]:
    """The sentences of a file as they stand there, in a stream; with `unit="char"` its lines; blank ones are skipped.

    Raises
    ------
    OSError, UserError
        As `Source`.
    """
    split = sentence_splitter(text)
    with Source(path) as source:
        begun: list[str] = []
        for unit in units(source.blocks(text), text):
            for sentence, is_whole in sentences_of(unit, text, split):
                if sentence:  # else: the one that has begun ends here
                    begun.append(sentence)
                if is_whole:
                    yield " ".join(begun)
                    begun = []
