"""Words as NLTK cuts them, put back together as a reader writes them.

>>> join_words(["``", "'T", "is", "Mrs.", "Elton", "'s", "!", "''"])
'"\\'Tis Mrs. Elton\\'s!"'
"""

from __future__ import annotations

from collections.abc import Sequence

OPENING = frozenset(["(", "[", "{", "“", "‘", "«", "„", "$", "#"])  # no blank after
CLOSING = frozenset([")", "]", "}", "”", "’", "»", ",", ";", ":", ".", "?", "!", "%"])  # no blank before
JOINING = frozenset(["--", "—", "@"])  # no blank on either side
ENDINGS = frozenset(["'s", "'m", "'d", "'ll", "'re", "'ve", "n't"])  # of the word before, in lower case
HALVES = frozenset(
    [("can", "not"), ("d", "'ye"), ("gim", "me"), ("gon", "na"), ("got", "ta"), ("lem", "me"), ("more", "'n"),
     ("wan", "na"), ("'t", "is"), ("'t", "was"), ("&", "c"), ("&", "c.")]
)  # fmt: skip


def join_words(tokens: Sequence[str]) -> str:
    """One line of text; the inverse of NLTK's word tokenizer but for what it does not keep, as the number of blanks."""
    pieces: list[str] = []
    previous, blank = "", False  # is a blank allowed before the next token?
    double, single = False, False  # inside such quotation marks?
    for position, token in enumerate(tokens):
        following = tokens[position + 1] if position + 1 < len(tokens) else ""
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
        if pieces and blank and before:
            pieces.append(" ")
        pieces.append(shown)
        previous, blank = token, after
    return "".join(pieces)
