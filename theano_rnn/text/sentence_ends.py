"""Correct the sentence ends that NLTK's Punkt finds: Punkt ends a sentence after each `!` and `?`, whatever follows.

>>> text = 'Ah! how well! "What?" he asked. Great film!!!'
>>> [text[start:end] for start, end in join_false_ends(text, [(0, 3), (4, 13), (14, 21), (22, 31), (32, 44), (44, 45)])]
['Ah! how well!', '"What?" he asked.', 'Great film!!!']
"""

from __future__ import annotations

import re
from collections.abc import Iterable

EXCLAMATION = re.compile(r"(?:[!?]|\.+[\"'])[\"')\]} ]*\Z")
WORD = re.compile(r"[^\W_]")
PUNCTUATION_BETWEEN = re.compile(r"[-—–.,;:)\]( ]*")  # what may stand between a false end and a lower-case word


def join_false_ends(text: str, spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Returns the spans of the sentences, some of them joined. Quotation marks in `text` are plain ones.

    A sentence joins the one before it

    - if it has no letters and digits, as the last `!` of `Great film!!!`;
    - if it begins with a lower-case word, and the one before ends with `!`, `?` or a quotation mark. This needs a
      text with capital letters: in a text without any, every sentence begins with a lower-case word;
    - if it begins with a lower-case word without white space before it, as after `E.` in `Mrs. E.'s`.
    """
    joined: list[tuple[int, int]] = []
    has_capitals = text.lower() != text
    for start, end in spans:
        if joined and not text[start].isupper() and is_false_end(text, has_capitals, *joined[-1], start, end):
            start = joined.pop()[0]
        joined.append((start, end))
    return joined


def is_false_end(text: str, has_capitals: bool, previous_start: int, previous_end: int, start: int, end: int) -> bool:
    """Returns whether the sentence from `start` to `end` belongs to the previous one."""
    word = WORD.search(text, start, end)
    if word is None:
        return True
    if not word.group().islower() or not has_capitals:
        return False
    if previous_end == start:
        return True
    if PUNCTUATION_BETWEEN.fullmatch(text, start, word.start()) is None:
        return False
    return EXCLAMATION.search(text, max(previous_start, previous_end - 20), previous_end) is not None
