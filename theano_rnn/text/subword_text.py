"""The text of pieces: join them, and find the part of a text that belongs to each.

>>> "".join(piece_texts(["▁un", "usual", "▁caf", "<0xC3>", "<0xA9>", "."]))
'unusual café.'
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence

from theano_rnn.text.subword_files import BYTE_OF, MARK

WORD = re.compile(r"\s*\S+")  # with the white space before it


def piece_texts(pieces: Iterable[str]) -> Iterator[str]:
    """Yields the text that each piece adds to those before it; the blank before the first word is left out.

    The last byte of a character adds it, those before add nothing. Bytes that are no character give U+FFFD; if such
    bytes are the last pieces, this is one more text.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    is_first = True
    for piece in pieces:
        byte = BYTE_OF.get(piece)
        if byte is not None:
            yield decoder.decode(bytes([byte]))
        else:
            text = decoder.decode(b"", final=True) + piece.replace(MARK, " ")
            yield text.removeprefix(" ") if is_first else text
        is_first = False
    if rest := decoder.decode(b"", final=True):
        yield rest


def split_by_pieces(sentence: str, words: Sequence[Sequence[str]]) -> list[str]:
    """Returns the part of `sentence` for each piece, white space before it included; joined, they are the sentence.

    `words` are the pieces of each word. A character that several bytes stand for belongs to the first of them. If a
    word has another length in lower case, it belongs to its first piece. White space at the end belongs to the last.

    >>> split_by_pieces("My  café ", [["▁M", "y"], ["▁ca", "f", "<0xC3>", "<0xA9>"]])
    ['M', 'y', '  ca', 'f', 'é ', '']
    """
    parts: list[str] = []
    end = 0
    for found, pieces in zip(WORD.finditer(sentence), words):
        text, end = found[0], found.end()
        sizes = [num_characters(piece) for piece in pieces]
        sizes[0] += len(text) - len(text.lstrip()) - 1  # the blanks, for the mark
        if sum(sizes) != len(text):
            sizes = [len(text), *[0] * (len(pieces) - 1)]
        position = 0
        for size in sizes:
            parts.append(text[position : position + size])
            position += size
    if end < len(sentence) and parts:
        last = max(number for number, part in enumerate(parts) if part)
        parts[last] += sentence[end:]
    return parts


def num_characters(piece: str) -> int:
    """Returns the number of characters that begin with a piece, its mark included."""
    byte = BYTE_OF.get(piece)
    return len(piece) if byte is None else int(byte & 0xC0 != 0x80)
