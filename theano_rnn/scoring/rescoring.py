"""Rescoring: reorder n-best lists with the log-probabilities of a language model.

    score = original score + weight log P(hypothesis) + word_bonus words

The weights are given, or tuned on lists with known references.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.scoring.bleu import bleu_counts, bleu_of_counts
from theano_rnn.scoring.error_rates import error_table
from theano_rnn.scoring.nbest import NBestEntry
from theano_rnn.scoring.sentences import Scorer
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.normalizing import normalize

READ_AHEAD = 1024  # hypotheses scored together
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
BONUSES = (*np.arange(-4, 8, 0.25).tolist(), *np.arange(8.0, 31).tolist())  # nats per word, multiplied by a weight > 0


class ScoredList(NamedTuple):
    """An n-best list with the log-probability in nats (sentence end included) and word count of each hypothesis."""

    entries: list[NBestEntry]
    log_probabilities: Any
    words: Any

    def scores(self, weight: Any, word_bonus: Any) -> Any:
        """Returns the new scores, float64 (hypotheses,); for weights (choices, 1), (choices, hypotheses)."""
        original = np.array([entry.score for entry in self.entries])
        return original + weight * self.log_probabilities + word_bonus * self.words

    def ranked(self, weight: float, word_bonus: float) -> list[tuple[NBestEntry, float, float]]:
        """Returns hypotheses with new scores and log-probabilities, best first; ties keep their original order."""
        scores = self.scores(weight, word_bonus)
        order = np.argsort(-scores, kind="stable")
        return [(self.entries[i], float(scores[i]), float(self.log_probabilities[i])) for i in order]


def score_lists(lists: Iterable[list[NBestEntry]], scorer: Scorer) -> Iterator[ScoredList]:
    """Score n-best lists under a model. Memory does not grow with the number of lists."""
    waiting: list[list[NBestEntry]] = []
    for entries in lists:
        waiting.append(entries)
        if sum(map(len, waiting)) >= READ_AHEAD:
            yield from score_together(waiting, scorer)
            waiting = []
    yield from score_together(waiting, scorer)


def score_together(lists: list[list[NBestEntry]], scorer: Scorer) -> Iterator[ScoredList]:
    """Score a few lists at once; a hypothesis that occurs several times is scored once."""
    texts = list(dict.fromkeys(entry.text for entries in lists for entry in entries))
    known = {score.sentence: score.total for score in scorer.sentences(texts)}
    for entries in lists:
        words = np.array([len(entry.text.split()) for entry in entries])
        yield ScoredList(entries, np.array([known[entry.text] for entry in entries]), words)


class TunedWeights(NamedTuple):
    """Tuned weights, what the metric is with them, and what it is with the order of the lists' own scores."""

    weight: float
    word_bonus: float
    value: float
    before: float


class Metric(NamedTuple):
    """A measure of texts that can be computed from sums of numbers of each text.

    `of_texts(texts, references)` gives these numbers, (texts, numbers); `of_sums` the measure, (choices,), from their
    sums, (choices, numbers).
    """

    of_texts: Callable[[Sequence[str], Sequence[str]], Any]
    of_sums: Callable[[Any], Any]
    is_higher_better: bool = False


def tune_weights(lists: Sequence[ScoredList], references: Sequence[str], metric: str) -> TunedWeights:
    """Search a grid for the best weights. Among equally good weights, the smallest are returned.

    Parameters
    ----------
    lists, references
        One reference for each list.
    metric
        ``exact``: the share of lists whose best hypothesis is not the reference. ``wer``: the word error rate.
        ``bleu``: BLEU, from 0 to 100.

    Raises
    ------
    UserError
        BLEU needs sacrebleu, which is not installed.
    """
    chosen = METRICS[metric]
    grid = np.array([(weight, (weight or 1.0) * bonus) for weight in WEIGHTS for bonus in BONUSES])
    numbers = chosen.of_texts(
        [entry.text for each in lists for entry in each.entries],
        [reference for each, reference in zip(lists, references, strict=True) for _ in each.entries],
    )
    sums: Any = 0
    before: Any = 0
    start = 0
    for each in lists:
        best = each.scores(grid[:, :1], grid[:, 1:]).argmax(axis=1)
        sums = sums + numbers[start + best]
        before = before + numbers[start + each.scores(0.0, 0.0).argmax()]
        start += len(each.entries)
    values = chosen.of_sums(sums)
    losses = -values if chosen.is_higher_better else values
    place = min(range(len(grid)), key=lambda i: (losses[i], grid[i, 0], abs(grid[i, 1])))
    weight, bonus = grid[place].tolist()
    return TunedWeights(weight, bonus, float(values[place]), float(chosen.of_sums(before[None])[0]))


def words_of(text: str) -> list[str]:
    """Returns the words of a text. Letters with accents are equal however they are encoded."""
    return normalize(text, TextConfig()).split()


def word_errors(texts: Sequence[str], references: Sequence[str]) -> Any:
    """Returns the word errors of each text and the words of its reference, int64 (texts, 2)."""
    pairs = [list(map(words_of, side)) for side in (texts, references)]
    return np.stack([error_table(*pairs).sum(axis=1), [len(words) for words in pairs[1]]], axis=1)


def wrong_texts(texts: Sequence[str], references: Sequence[str]) -> Any:
    """Returns for each text 1 if it is not its reference, else 0, and the number of texts, 1: int64 (texts, 2)."""
    pairs = [list(map(words_of, side)) for side in (texts, references)]
    return np.array([[text != reference, 1] for text, reference in zip(*pairs)], np.int64)


def rate(sums: Any) -> Any:
    """Returns errors per unit from sums of both, (choices, 2)."""
    return sums[:, 0] / np.maximum(sums[:, 1], 1)


METRICS = {
    "exact": Metric(wrong_texts, rate),
    "wer": Metric(word_errors, rate),
    "bleu": Metric(bleu_counts, bleu_of_counts, is_higher_better=True),
}
