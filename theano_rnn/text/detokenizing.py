"""Join NLTK's word tokens to ordinary text again: spaces, contractions and quotation marks.

>>> join_words(["``", "'T", "is", "Mrs.", "Elton", "'s", "!", "''"])
'"\\'Tis Mrs. Elton\\'s!"'
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

OPENING = frozenset(["(", "[", "{", "“", "‘", "«", "„", "$", "#"])  # no space after
CLOSING = frozenset([")", "]", "}", "”", "’", "»", ",", ";", ":", ".", "?", "!", "%"])  # no space before
JOINING = frozenset(["--", "—", "@"])  # no space on either side
CONTRACTIONS = frozenset(["'s", "'m", "'d", "'ll", "'re", "'ve", "n't"])  # no space before; in lower case
SPLIT_WORDS = frozenset(  # NLTK splits these words in two; no space between the halves
    [("can", "not"), ("d", "'ye"), ("gim", "me"), ("gon", "na"), ("got", "ta"), ("lem", "me"), ("more", "'n"),
     ("wan", "na"), ("'t", "is"), ("'t", "was"), ("&", "c"), ("&", "c.")]
)  # fmt: skip


def join_words(tokens: Iterable[str]) -> str:
    """Returns one line of text. Inverts NLTK's word tokenizer, except for what that loses, such as double spaces."""
    return "".join(spaced_tokens(tokens))


def spaced_tokens(tokens: Iterable[str]) -> Iterator[str]:
    """Yields each token as it appears in the text, after a space if it needs one.

    Reads one token ahead, because a quotation mark opens or closes depending on what follows.

    >>> list(spaced_tokens(["Oh", ",", "she", "ca", "n't", "!"]))
    ['Oh', ',', ' she', ' ca', "n't", '!']
    """
    previous, previous_allows_space = "", False
    in_double, in_single = False, False  # inside such quotation marks?
    is_first = True
    for token, following in with_next_token(tokens):
        shown, space_before, space_after = token, True, True  # are spaces allowed?
        if token in ("``", '"', "''"):
            opens = token == "``" or (not in_double and (token == '"' or previous in JOINING))
            shown, in_double = '"', opens  # after a dash NLTK makes an opening mark '' too: --"Oh -> -- '' Oh
            space_before, space_after = opens, not opens
        elif token == "'":
            is_shortened = following.lower() in ("tis", "twas", "em")
            opens = is_shortened or (not in_single and following.isalpha() and not previous.endswith(("s", "S")))
            in_single = opens and not is_shortened
            space_before, space_after = opens, not opens
        elif token in CLOSING or token.startswith(".."):
            space_before = False
        elif token in OPENING:
            space_after = False
        elif token in JOINING:
            space_before = space_after = False
        elif token.lower() in CONTRACTIONS or (previous.lower(), token.lower()) in SPLIT_WORDS:
            space_before = False
        yield shown if is_first or not (previous_allows_space and space_before) else " " + shown
        previous, previous_allows_space, is_first = token, space_after, False


def with_next_token(tokens: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yields each token with the next one; the last one with an empty string."""
    remaining = iter(tokens)
    for token in remaining:
        for following in remaining:
            yield token, following
            token = following
        yield token, ""
