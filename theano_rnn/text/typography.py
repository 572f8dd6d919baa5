"""Typographic marks: tokenize ’ “ ” „ « » … as the plain marks ' " ... that stand for them in older files.

A novel may be typed as `"Don't!" said she` or printed as `“Don’t!” said she`. Both should give the same tokens, except
for the marks themselves. NLTK has good rules for the plain marks only: it splits `don't` into `do n't`, and it tells
the apostrophe of `'s` from a quotation mark. So each typographic mark is replaced by the plain one, NLTK's rules split
that text, and each token then takes back the characters that were written:

>>> plain = plain_marks("“Don’t!” said she.")
>>> plain
'"Don\\'t!" said she.'
>>> tokens_as_written("“Don’t!” said she.", ["``", "Do", "n't", "!", "''", "said", "she", "."])[0]
['“', 'Do', 'n’t', '!', '”', 'said', 'she', '.']

A mark is replaced by one plain mark whatever its direction, so this works for the quotation marks of every language:
“English”, „deutsch“, »deutsch«, « français ». Whether ’ ends a quotation or is an apostrophe is decided as for '.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

QUOTES = ("``", "''")  # NLTK's tokens for opening and closing quotation marks, which the text writes as " or ''
PLAIN_MARKS = {**dict.fromkeys("‘’‚‛", "'"), **dict.fromkeys("“”„‟«»‹›", '"')}
TYPOGRAPHIC = re.compile("[‘’‚‛“”„‟«»‹›]")
OPENING_WITH_BLANKS = re.compile(r"[«‹“](?=\s)(?<!\S.)")
CLOSING_AFTER_BLANK = re.compile(r"\s([»”›])(?=[\s.,;:!?)]|$)")


def plain_marks(text: str) -> str:
    """Returns the text with a plain ' or " for each typographic quotation mark or apostrophe; of the same length."""
    if text.isascii() or not TYPOGRAPHIC.search(text):
        return text
    for mark, plain in PLAIN_MARKS.items():  # ten times faster than str.translate
        text = text.replace(mark, plain)
    return text


def plain_marks_for_words(sentence: str) -> str:
    """Same as `plain_marks`, but without the blank that French has before closing marks, and … stands alone.

    After a blank, NLTK would take a plain " for an opening mark.

    >>> plain_marks_for_words("« Je viens. »")
    '" Je viens."'
    """
    if sentence.isascii():
        return sentence
    return plain_marks(CLOSING_AFTER_BLANK.sub(r"\1", sentence)).replace("…", " … ")


def plain_marks_for_sentences(text: str) -> str:
    """Same as `plain_marks`, but an opening mark with blanks on both sides, as in French, becomes an opening bracket.

    Otherwise Punkt would add it to the sentence before.

    >>> plain_marks_for_sentences("Il vint. « Quoi ? » dit-il.")
    'Il vint. ( Quoi ? " dit-il.'
    """
    return plain_marks(text if text.isascii() else OPENING_WITH_BLANKS.sub("(", text))


def tokens_as_written(sentence: str, tokens: Sequence[str]) -> tuple[list[str], list[bool]]:
    """Returns the tokens as they are written in the sentence, and whether white space precedes each.

    `tokens` are those of `plain_marks(sentence)`. A plain " (or '', or ``) remains NLTK's `` or '', which tell its
    direction.
    """
    written: list[str] = []
    has_blank: list[bool] = []
    position = 0
    for token in tokens:
        end = position
        while sentence[position].isspace():
            position += 1
        has_blank.append(position > end)
        length = 1 if token in QUOTES and sentence[position] not in "'`‘’‚‛" else len(token)
        word = sentence[position : position + length]
        written.append(token if token in QUOTES and word.isascii() else word)
        position += length
    return written, has_blank
