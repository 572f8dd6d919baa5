r"""Normalize Unicode, so that a word has one spelling however it was typed.

An accented letter may be one character or a letter and a combining accent; both look alike, so a vocabulary must not
tell them apart. Text is brought to Unicode's normalization form C (NFC), the composed form that most text has already.
Invisible characters that are not part of a word are dropped: the zero-width space (U+200B), the word joiner (U+2060),
the byte order mark (U+FEFF), which `cat a.txt b.txt` leaves in the middle of a text, and the soft hyphen (U+00AD).
The zero-width joiner and non-joiner (U+200D, U+200C) stay, because Persian, Indic scripts and emoji spell with them.

This is part of the rules of version 2 (`TextConfig.rules`). A vocabulary of version 1 reads every text as it is.

>>> normalize("cafe\u0301 co\u00adoperate\ufeff", TextConfig())
'café cooperate'
>>> len(normalize("cafe\u0301", TextConfig(rules=1)))
5
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

from theano_rnn.settings.text import TextConfig

BYTE_ORDER_MARK = "\ufeff"
DROPPED = ("\u00ad", "\u200b", "\u2060", BYTE_ORDER_MARK)
JAMO = (("\u1100", "\u11ff"), ("\ua960", "\ua97f"), ("\ud7b0", "\ud7ff"))  # parts of Korean syllables
MAX_HELD = 1 << 20  # characters without a place to cut, such as accents only


def normalizes(config: TextConfig) -> bool:
    """Returns whether text with these settings is normalized."""
    return config.rules >= 2


def normalize(text: str, config: TextConfig) -> str:
    """Returns a text as the model reads it: in NFC, without invisible characters. Text of rules 1 is unchanged."""
    return compose(drop_invisible(text)) if normalizes(config) else text


def normalized_blocks(blocks: Iterable[str], config: TextConfig) -> Iterator[str]:
    r"""Yields the text of `blocks`, normalized; the text does not depend on how it is divided into blocks.

    >>> list(normalized_blocks(["cafe", "\u0301s"], TextConfig()))
    ['caf', 'és']
    """
    if not normalizes(config):
        yield from blocks
        return
    held = ""  # until the next block shows that it does not begin with an accent
    for block in map(drop_invisible, blocks):
        if not block:
            continue
        if held and not begins_character(block[0]) and len(held) < MAX_HELD:
            cut = next((i for i in range(len(held) - 1, 0, -1) if begins_character(held[i])), 0)
            if cut:
                yield compose(held[:cut])
            held = held[cut:] + block
        else:
            if held:
                yield compose(held)
            held = block
    if held:
        yield compose(held)


def drop_invisible(text: str) -> str:
    """Returns the text without invisible characters that are not part of a word."""
    if not text.isascii():
        for character in DROPPED:
            text = text.replace(character, "")
    return text


def compose(text: str) -> str:
    """Returns the text in NFC."""
    return text if text.isascii() or unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def begins_character(character: str) -> bool:
    """Returns whether `character` never merges with the one before, so that a text may be cut before it."""
    if character.isascii():
        return True
    is_jamo = any(first <= character <= last for first, last in JAMO)
    return not is_jamo and not unicodedata.category(character).startswith("M")
