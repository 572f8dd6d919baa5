"""How paragraphs end: counted in a text, and decided for a generated one.

Ids have no mark for the end of a paragraph. Instead, a vocabulary keeps how often a sentence ends its paragraph, by the
last token of the sentence and by whether a quotation is open then. In the novels a sentence that ends with a closing
quotation mark ends its paragraph in 95 % of cases, one that ends with a full stop in 16 %.

>>> rates = {"": (0.3, 0.1), "''": (0.9, 0.9)}
>>> place = PlaceInParagraph(rates)
>>> for token in ("``", "No", "."):
...     place.read(token)
>>> place.end_rate()
0.1
>>> place.read("''")
>>> place.end_rate()
0.9
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from theano_rnn.text.corpus_cache import BLOCK_IDS
from theano_rnn.text.spacing import without_marks
from theano_rnn.text.subword_files import MARK
from theano_rnn.text.subwords import pre_tokens
from theano_rnn.text.tokenizing import NUM_ENDS

OPENING, CLOSING = frozenset(["``", "“", "„", "«"]), frozenset(["''", "”", "»"])
MAX_TOKENS, MIN_SENTENCES = 20, 20  # last tokens with a rate of their own, and how many sentences such a token ends
MIN_PARAGRAPHS = 10  # in a text with fewer, their ends are not known
UNKNOWN_RATE = 0.3  # about that of the novels

Rates = Mapping[str, Sequence[float]]


def paragraph_ends(
    parts: Iterable[tuple[tuple[Any, Sequence[str]], int, int]], unit: str = "word"
) -> dict[str, tuple[float, float]]:
    """Returns the fraction of sentences that end their paragraph, outside and inside of quotations, by last token.

    The token "" stands for all that have no fractions of their own. Empty if the text has fewer than `MIN_PARAGRAPHS`.

    Parameters
    ----------
    parts
        As of `preprocessing.FilePart`: ((ids, types), start, end).
    unit
        Of subwords, a type is a word with its punctuation, and the last part of it counts as the last token.
    """
    sentences, ends = Counter[tuple[str, bool]](), Counter[tuple[str, bool]]()
    for (ids, types), start, end in parts:
        kinds, last_tokens = directions_of_types(types, unit)
        for position in range(start, end, BLOCK_IDS):
            # a sentence across two blocks is not counted, nor is a quotation that began in the block before
            block = np.asarray(ids[position : min(position + BLOCK_IDS, end)])
            count_ends(block, kinds, last_tokens, sentences, ends)
    if sum(ends.values()) < MIN_PARAGRAPHS:
        return {}
    by_token = Counter[str]()
    for (token, _), count in sentences.items():
        by_token[token] += count
    kept = [token for token, count in by_token.most_common(MAX_TOKENS) if count >= MIN_SENTENCES]
    overall = sum(ends.values()) / sum(sentences.values())
    return {token: rates(token, sentences, ends, overall) for token in kept} | {
        "": rates(None, sentences, ends, overall)
    }


def rates(token: str | None, sentences: Counter[Any], ends: Counter[Any], overall: float) -> tuple[float, float]:
    """Returns the two fractions of a token (None: of all), moved towards `overall` if it ends few sentences."""
    found = []
    for is_open in (False, True):
        keys = [key for key in sentences if key[1] == is_open and token in (None, key[0])]
        num_ends, num_sentences = sum(ends[key] for key in keys), sum(sentences[key] for key in keys)
        found.append(round((num_ends + 2 * overall) / (num_sentences + 2), 4))
    return found[0], found[1]


def direction(token: str, unit: str) -> int:
    """Returns 1 for a mark that opens a quotation, -1 for one that closes it, 0 for other tokens.

    >>> direction("``", "word"), direction('▁"', "subword"), direction('"', "subword"), direction("I", "word")
    (1, 1, -1, 0)
    """
    if unit == "subword" and token.endswith('"'):  # opens a quotation after a blank
        return 1 if token.startswith(MARK) else -1
    core = without_marks(token)
    return (core in OPENING) - (core in CLOSING)


def directions_of_types(types: Sequence[str], unit: str) -> tuple[Any, Sequence[str]]:
    """Returns the `direction` of each type, int8 (types,), and the token that ends a sentence whose last type it is."""
    kinds, last_tokens = np.zeros(len(types), np.int8), list(types)
    for number, token in enumerate(types):
        if unit != "subword":
            kinds[number] = direction(token, unit)
        elif number >= NUM_ENDS:
            *_, last_tokens[number] = parts = pre_tokens(token)
            kinds[number] = next(filter(None, (direction(part, unit) for part in reversed(parts))), 0)
    kinds[1] = -1  # no quotation continues in the next paragraph
    return kinds, last_tokens


def count_ends(ids: Any, kinds: Any, last_tokens: Sequence[str], sentences: Counter[Any], ends: Counter[Any]) -> None:
    """Count the sentences in `ids`, and those that end a paragraph, by last token and whether a quotation is open."""
    found = kinds[ids]
    last_mark = np.maximum.accumulate(np.where(found != 0, np.arange(ids.size), 0))
    places = np.flatnonzero(ids < NUM_ENDS)
    places = places[places > 0]
    is_open = found[last_mark[places - 1]] > 0
    keys = 4 * ids[places - 1].astype(np.int64) + 2 * is_open + (ids[places] == 1)
    for key, count in zip(*np.unique(keys, return_counts=True)):
        group = last_tokens[key // 4], bool(key % 4 // 2)
        sentences[group] += int(count)
        ends[group] += int(count) * int(key % 2)


class PlaceInParagraph:
    """Reads a text token by token, and knows how likely its paragraph ends with the sentence that ends now.

    Parameters
    ----------
    rates
        As of `paragraph_ends`; if empty, each sentence ends its paragraph with probability `UNKNOWN_RATE`.
    unit
        What a token is, as in `TextConfig`.
    """

    def __init__(self, rates: Rates, unit: str = "word") -> None:
        self.unit = unit
        self.rates = rates or {"": (UNKNOWN_RATE, UNKNOWN_RATE)}
        self.last, self.is_open = "", False

    def read(self, token: str) -> None:
        """Read the next token, but not the end of a sentence."""
        turn = direction(token, self.unit)
        self.is_open = turn > 0 or (self.is_open and turn == 0)
        self.last = token

    def end_rate(self) -> float:
        """Returns the probability that the paragraph ends here."""
        return float(self.rates.get(self.last, self.rates[""])[self.is_open])

    def end_paragraph(self) -> None:
        """Begin a new paragraph."""
        self.last, self.is_open = "", False
