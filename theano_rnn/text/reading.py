"""Split a stream of text into chunks for the tokenizer, and each chunk into sentences.

Several processes tokenize a file, one *chunk* at a time. A chunk has at most about 131 thousand characters and ends at
the end of a paragraph (with `sentences="line"`: of a line), so no sentence is changed. A longer paragraph is split at
white space into several chunks, and its last sentence ends in the last of them.

>>> list(chunks(iter(["One par", "agraph.\\n\\nAnother.\\n"]), TextConfig()))
[Chunk(text='One paragraph.\\n\\nAnother.\\n', starts_mid_sentence=False, ends_mid_sentence=False)]
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from theano_rnn.settings.text import TextConfig
from theano_rnn.text.sources import Source
from theano_rnn.text.tables import split_lines
from theano_rnn.text.words import sentence_splitter

CHUNK_CHARACTERS = 1 << 17  # at most; a different value changes the tokens of paragraphs longer than this
PARAGRAPH_END = re.compile(r"\n[^\S\n]*\n")


class Chunk(NamedTuple):
    """A piece of text; its first sentence may begin in the chunk before, its last may continue in the next."""

    text: str
    starts_mid_sentence: bool
    ends_mid_sentence: bool


class Blocks(Protocol):
    """A text that comes in blocks, such as a `Source`."""

    def blocks(self, config: TextConfig) -> Iterator[str]: ...


def read_sentences(path: str | os.PathLike[str], text: TextConfig, *, column: str | None = None) -> Iterator[str]:
    """Yields the sentences of a file, not tokenized; see `sentences_of`. `column` is as in `Source`.

    Raises
    ------
    OSError, UserError
        As in `Source`.
    """
    with Source(path, column) as source:
        yield from sentences_of(source, text)


def sentences_of(source: Blocks, text: TextConfig) -> Iterator[str]:
    """Yields the sentences of an open file, not tokenized; skips blank ones.

    With `unit="char"`, yields the lines as they are, with blank lines and with blanks at their beginning and end: a
    model of characters is trained on all of them.
    """
    if text.unit == "char":
        for line in split_lines(source.blocks(text)):
            yield line.removesuffix("\n")
        return
    split = sentence_splitter(text)
    parts: list[str] = []
    for chunk in chunks(source.blocks(text), text):
        for sentence, is_complete, _ in split_chunk(chunk, text, split):
            if sentence:  # empty: the sentence in `parts` ends here
                parts.append(sentence)
            if is_complete:
                yield " ".join(parts)
                parts = []


def chunks(blocks: Iterator[str], config: TextConfig, size: int = CHUNK_CHARACTERS) -> Iterator[Chunk]:
    r"""Yields the text of `blocks` in chunks of at most `size` characters.

    The chunks depend on the text alone, not on how it is divided into blocks.

    Examples
    --------
    >>> for chunk in chunks(iter(["A very long paragraph.\n\nShort."]), TextConfig(), size=12):
    ...     print(chunk)
    Chunk(text='A very long', starts_mid_sentence=False, ends_mid_sentence=True)
    Chunk(text=' paragraph.', starts_mid_sentence=True, ends_mid_sentence=True)
    Chunk(text='\n\nShort.', starts_mid_sentence=True, ends_mid_sentence=False)
    """
    by_line = config.sentences == "line"
    text, parts, num_waiting, starts_mid_sentence = "", [""], 0, False
    for block in blocks:
        parts.append(block)
        num_waiting += len(block)
        if len(text) + num_waiting <= size:
            continue
        text, parts, num_waiting = text + "".join(parts), [], 0
        start = 0
        while len(text) - start > size:
            end, ends_mid_sentence = chunk_end(text, start, start + size, by_line)
            num_blanks = count_leading_blanks(text[start : start + size]) if ends_mid_sentence else 0
            if num_blanks > 1:  # shorten the white space: no chunk may be blank
                text = ("\n" if "\n" in text[start : start + num_blanks] else " ") + text[start + num_blanks :]
                start = 0
                continue
            yield Chunk(text[start:end], starts_mid_sentence, ends_mid_sentence)
            start, starts_mid_sentence = end, ends_mid_sentence
        text = text[start:]
    text += "".join(parts)
    if text:
        yield Chunk(text, starts_mid_sentence, False)


def chunk_end(text: str, start: int, limit: int, by_line: bool) -> tuple[int, bool]:
    """Returns where the chunk that begins at `start` ends, at most at `limit`.

    The second value is True if no paragraph (with `by_line`: no line) ends there.
    """
    mark = "\n" if by_line else "\n\n"
    if (found := text.rfind(mark, start, limit)) >= 0:
        return found + len(mark), False
    if not by_line and (ends := [match.end() for match in PARAGRAPH_END.finditer(text, start, limit)]):
        return ends[-1], False
    blank = next((position for position in range(limit - 1, start, -1) if text[position].isspace()), limit)
    while blank < limit and text[blank - 1].isspace() and blank - 1 > start:
        blank -= 1
    return blank, True  # before all white space, which may be the start of a paragraph's end


def count_leading_blanks(text: str) -> int:
    """Returns the number of white space characters at the start of the text."""
    return len(text) - len(text.lstrip())


def split_chunk(
    chunk: Chunk, config: TextConfig, split: Callable[[str], list[str]]
) -> Iterator[tuple[str, bool, bool]]:
    """Yields the sentences of a chunk, as `split` finds them, each with whether it ends in this chunk, and whether its
    paragraph ends with it.

    `("", True, True)` means that the sentence that the chunk before began ends at the start of this one. With
    `sentences="line"` no paragraph ends: each line stands for itself.
    """
    by_line = config.sentences == "line"
    segments = chunk.text.split("\n") if by_line else PARAGRAPH_END.split(chunk.text)
    if chunk.starts_mid_sentence and not segments[0].strip():
        yield "", True, not by_line
    for segment in segments:
        if segment.strip():
            *complete, last = split(segment)
            for sentence in complete:
                yield sentence, True, False
            yield last, not chunk.ends_mid_sentence, not chunk.ends_mid_sentence and not by_line
