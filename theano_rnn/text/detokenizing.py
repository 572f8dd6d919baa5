"""Words as NLTK cuts them, put back together as a reader writes them.

>>> join_words(["``", "'T", "is", "Mrs.", "Elton", "'s", "!", "''"])
'"\\'Tis Mrs. Elton\\'s!"'
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

OPENING = frozenset(["(", "[", "{", "“", "‘", "«", "„", "$", "#"])  # no blank after
CLOSING = frozenset([")", "]", "}", "”", "’", "»", ",", ";", ":", ".", "?", "!", "%"])  # no blank before
JOINING = frozenset(["--", "—", "@"])  # no blank on either side
ENDINGS = frozenset(["'s", "'m", "'d", "'ll", "'re", "'ve", "n't"])  # of the word before, in lower case
HALVES = frozenset(
    [("can", "not"), ("d", "'ye"), ("gim", "me"), ("gon", "na"), ("got", "ta"), ("lem", "me"), ("more", "'n"),
     ("wan", "na"), ("'t", "is"), ("'t", "was"), ("&", "c"), ("&", "c.")]
)  # fmt: skip


def join_words(tokens: Iterable[str]) -> str:
    """One line of text; the inverse of NLTK's word tokenizer but for what it does not keep, as the number of blanks."""
    return "".join(word_pieces(tokens))


def word_pieces(tokens: Iterable[str]) -> Iterator[str]:
    """`join_words` as it comes: what each token adds to the text, known once the one after it is.

    >>> list(word_pieces(["Oh", ",", "she", "ca", "n't", "!"]))
    ['Oh', ',', ' she', ' ca', "n't", '!']
    """
    previous, blank = "", False  # is a blank allowed before the next token?
    double, single = False, False  # inside such quotation marks?
    is_first = True
    for token, following in with_next(tokens):
        shown, before, after = token, True, True
        if token in ("``", '"', "''"):
            opens = token == "``" or (not double and (token == '"' or previous in JOINING))  # NLTK: --"Oh -> -- '' Oh
            shown, double = '"', opens
            before, after = opens, not opens
        elif token == "'":
            shortened = following.lower() in ("tis", "twas", "em")
            opens = shortened or (not single and following.isalpha() and not previous.endswith(("s", "S")))
            single = opens and not shortened
            before, after = opens, not opens
        elif token in CLOSING or token.startswith(".."):
            before = False
        elif token in OPENING:
            after = False
        elif token in JOINING:
            before = after = False
        elif token.lower() in ENDINGS or (previous.lower(), token.lower()) in HALVES:
            before = False
        yield shown if is_first or not (blank and before) else " " + shown
        previous, blank, is_first = token, after, False


def with_next(tokens: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each token with the one after it, the last one with an empty text."""
    remaining = iter(tokens)
    for token in remaining:
        for following in remaining:
            yield token, following
            token = following
        yield token, ""
