"""Guess where a text has blanks between its tokens, also for typographic marks. Texts with other blanks need marks.

`detokenizing.spaced_tokens` does the same for older models, whose tokenizer knew no typographic marks.

>>> "".join(" " * blank + token for token, blank in guess_blanks(["„", "Ja", "“", ",", "sagt", "sie"]))[1:]
'„Ja“, sagt sie'
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from theano_rnn.text.detokenizing import CLOSING, CONTRACTIONS, JOINING, OPENING, SPLIT_WORDS, with_next_token

PAIRS = {"“": "”", "„": "“", "«": "»", "»": "«", "‹": "›", "›": "‹", "‘": "’", "‚": "‘"}  # opening and closing marks
TYPOGRAPHIC = frozenset([*PAIRS, *PAIRS.values()])
SHORTENED = frozenset(["tis", "twas", "em", "n", "til", "cause", "bout"])  # with an apostrophe before the word


def guess_blanks(tokens: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Yields each token as it appears in the text, and whether a space before it is usual. Reads one token ahead.

    >>> list(guess_blanks(["„", "Ja", "“", ",", "sagt", "sie"]))
    [('„', True), ('Ja', False), ('“', False), (',', False), ('sagt', True), ('sie', True)]
    """
    previous, previous_allows_space = "", True
    in_double, in_single = False, False  # inside such plain quotation marks?
    expected = [""]  # closing marks of the typographic quotations, the innermost last
    for token, following in with_next_token(tokens):
        shown, space_before, space_after = token, True, True  # are spaces allowed?
        plain = token.lower().replace("’", "'")
        if token in ("``", '"', "''"):
            opens = token == "``" or (not in_double and (token == '"' or previous in JOINING))
            shown, in_double = '"', opens
            space_before, space_after = opens, not opens
        elif plain == "'" and (following.lower() in SHORTENED or following[:1].isdigit()):
            space_after = False
        elif token == "'":
            opens = not in_single and following[:1].isalpha() and not previous.endswith(("s", "S"))
            in_single = opens
            space_before, space_after = opens, not opens
        elif token in TYPOGRAPHIC:
            opens = token in PAIRS and token != expected[-1] and bool(following)
            if opens:
                expected.append(PAIRS[token])
            elif token == expected[-1]:
                expected.pop()
            space_before, space_after = opens and previous not in JOINING, not opens
        elif token in CLOSING or token.startswith(("..", "…")):
            space_before = False
        elif token in OPENING:
            space_after = False
        elif token in JOINING:
            space_before = space_after = False
        elif plain in CONTRACTIONS or (previous.lower().replace("’", "'"), plain) in SPLIT_WORDS:
            space_before = False
        yield shown, previous_allows_space and space_before
        previous, previous_allows_space = token, space_after


USUAL = [  # replacements in tokens joined by spaces; the first one is for a mark of unclear direction
    (" -- '' ", " -- ? "), (" 's ", "'s "), (" n't ", "n't "), (" 'll ", "'ll "), (" 've ", "'ve "), (" 'd ", "'d "),
    (" 'm ", "'m "), (" 're ", "'re "), (" , ", ", "), (" . ", ". "), (" : ", ": "), (" ;", ";"), (" ''", '"'),
    ("`` ", '"'), (" --", "--"), ("-- ", "--"), (" !", "!"), (" ?", "?"), ("( ", "("), (" )", ")"),
    ("can not ", "cannot "),
]  # fmt: skip
USUAL_TYPOGRAPHIC = [
    (written, {"''": "”", "``": "“"}.get(written.strip(), shown)) for written, shown in [*USUAL, ("'", "’")]
]
TYPOGRAPHIC_TOKENS = {"``": "“", "''": "”"}
UNUSUAL = re.compile(r"[][}{%@$#—…‘‚„‟‛«»‹›▁￭]")  # these are not among the replacements
UNUSUAL_WORDS = (" n't", *(" ".join(halves) for halves in SPLIT_WORDS))  # NLTK splits words so; here the text does


def usual_tokens(tokens: list[str], sentence: str, plain: str) -> list[str] | None:
    """Returns the tokens as they are written, if they and all blanks of the sentence are usual; None if unsure.

    It is much faster than `guess_blanks`. `plain` is the sentence with plain marks, and `tokens` are NLTK's of it. The
    sentence may have “ ” ’ instead of all plain marks, but not both kinds.
    """
    if UNUSUAL.search(sentence) or ".." in sentence or " '" in plain or plain.startswith("'"):
        return None
    text = f" {' '.join(tokens)} "
    for written, shown in USUAL if plain is sentence else USUAL_TYPOGRAPHIC:
        text = text.replace(written, shown)
    if text[1:-1] != sentence:
        return None
    lowered = plain.lower()
    for words in UNUSUAL_WORDS:
        if words in lowered:
            return None
    if plain is sentence:
        return tokens
    return [
        TYPOGRAPHIC_TOKENS.get(token) or token.replace("'", "’") if "'" in token or "`" in token else token
        for token in tokens
    ]
