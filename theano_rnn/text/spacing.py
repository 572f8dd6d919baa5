"""Spacing marks: tokens that remember a blank that is not usual, or the lack of one that is.

Tokens have no blanks between them, so the detokenizer guesses where blanks were: before a word, not before a comma. It
cannot guess that French has a blank before `!`, or that `f(x)` has none before `(`. If a guess would be wrong, a token
says so with a mark at its start or end: `▁` is a blank, `￭` is none. (OpenNMT's tokenizer uses these marks, too.)

>>> mark_spacing(["f", "(", "x", ")", "?"], [False, False, False, False, True])
['f', '￭(', 'x', ')', '▁?']
>>> "".join(spaced_as_marked(["f", "￭(", "x", ")", "▁?"]))
'f(x) ?'

Tokens of ordinary text have no marks. In French text every `!` has one, which then is simply how that token is written,
and so a model that is trained on French writes these blanks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from theano_rnn.settings.text import TextConfig
from theano_rnn.text.usual_spacing import guess_blanks

BLANK, NO_BLANK = "▁", "￭"
MARKS = (BLANK, NO_BLANK)


def mark_spacing(tokens: Sequence[str], has_blank: Sequence[bool]) -> list[str]:
    """Returns the tokens with a mark wherever the detokenizer would guess wrongly whether there is a blank.

    `has_blank` tells for each token whether a blank precedes it. The mark is at the start of a token, or at the end of
    the one before if only that is punctuation: a mark at a word would make another word of it.
    """
    before, after = [""] * len(tokens), [""] * len(tokens)
    for i, (_, guess) in enumerate(guess_blanks(tokens)):
        mark = BLANK if has_blank[i] else NO_BLANK
        if i and guess != has_blank[i]:
            if is_word(tokens[i]) and not is_word(tokens[i - 1]):
                after[i - 1] = mark
            else:
                before[i] = mark
        if tokens[i][0] in MARKS:  # the text itself contains such a character: a mark before it tells them apart
            before[i] = mark
        if i and tokens[i - 1][-1] in MARKS:
            after[i - 1] = mark
    if tokens and tokens[-1][-1] in MARKS:
        after[-1] = NO_BLANK
    return [b + token + a for b, token, a in zip(before, tokens, after)]


def is_word(token: str) -> bool:
    """Returns whether the token has a letter or a digit."""
    return any(map(str.isalnum, token))


def split_marks(token: str) -> tuple[str, str, str]:
    """Returns the mark at the start of a token, the token without marks, and the mark at its end.

    >>> split_marks("«▁"), split_marks("▁"), split_marks("￭-￭")
    (('', '«', '▁'), ('', '▁', ''), ('￭', '-', '￭'))
    """
    before = token[0] if len(token) > 1 and token[0] in MARKS else ""
    token = token[len(before) :]
    after = token[-1] if len(token) > 1 and token[-1] in MARKS else ""
    return before, token[: len(token) - len(after)], after


def without_marks(token: str) -> str:
    """Returns the token without its marks."""
    return split_marks(token)[1] if token.startswith(MARKS) or token.endswith(MARKS) else token


def other_forms(token: str) -> tuple[str, ...]:
    """Returns the token with other spacing marks: without any, and with blanks as of French punctuation.

    >>> other_forms("!"), other_forms("￭'▁")
    (('!', '▁!', '!▁', '▁!▁'), ("'", "▁'", "'▁", "▁'▁"))
    """
    core = without_marks(token)
    return core, BLANK + core, core + BLANK, BLANK + core + BLANK


def without_last_mark(token: str) -> str:
    """Returns the token without the mark at its end, which is about the blank after it."""
    before, core, _ = split_marks(token)
    return before + core


def has_spacing_marks(config: TextConfig) -> bool:
    """Returns whether tokens by these settings may have spacing marks."""
    return config.rules > 1 and config.unit == "word" and config.tokens == "nltk"


def spaced_as_marked(tokens: Iterable[str]) -> Iterator[str]:
    """Yields each token as it appears in the text, after a space if it needs one, as guessed or as its marks say.

    Reads one token ahead.
    """
    marks: list[tuple[str, str]] = []  # of the tokens that are read but not yielded

    def cores() -> Iterator[str]:
        for token in tokens:
            before, core, after = split_marks(token)
            marks.append((before, after))
            yield core

    previous_after, is_first = "", True
    for shown, guess in guess_blanks(cores()):
        before, after = marks.pop(0)
        mark = before or previous_after
        has_blank = mark == BLANK if mark else guess
        yield " " + shown if has_blank and not is_first else shown
        previous_after, is_first = after, False
