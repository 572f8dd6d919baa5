"""Rescoring: reorder n-best lists with the log-probabilities of a language model.

    score = original score + weight log P(hypothesis) + word_bonus words

The weights are given, or tuned on lists with known references.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.scoring.error_rates import error_table
from theano_rnn.scoring.nbest import NBestEntry
from theano_rnn.scoring.sentences import Scorer
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.normalizing import normalize

READ_AHEAD = 1024  # hypotheses scored together
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
BONUSES = (*np.arange(-4, 8, 0.25).tolist(), *np.arange(8.0, 31).tolist())  # nats per word, multiplied by the weight


class ScoredList(NamedTuple):
    """An n-best list with the log-probability in nats (sentence end included) and word count of each hypothesis."""

    entries: list[NBestEntry]
    log_probabilities: Any
    words: Any

    def scores(self, weight: float, word_bonus: float) -> Any:
        """Returns the new scores, float64 (hypotheses,)."""
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
    """Tuned weights and their error rate: of words, or of lists whose best hypothesis is not the reference."""

    weight: float
    word_bonus: float
    error_rate: float


def tune_weights(lists: Sequence[ScoredList], references: Sequence[str], metric: str) -> TunedWeights:
    """Search a grid for the weights with the fewest errors. Among equally good weights, the smallest are returned.

    Parameters
    ----------
    lists, references
        One reference for each list.
    metric
        ``exact``: the share of lists whose best hypothesis is not the reference. ``wer``: the word error rate.
    """
    errors = list(hypothesis_errors(lists, references, metric))
    total = len(lists) if metric == "exact" else max(sum(len(reference.split()) for reference in references), 1)

    def error_rate(weight: float, word_bonus: float) -> float:
        return sum(int(wrong[np.argmax(each.scores(weight, word_bonus))]) for each, wrong in zip(lists, errors)) / total

    grid = [(weight, weight * bonus) for weight in WEIGHTS for bonus in (BONUSES if weight else (0.0,))]
    return min((TunedWeights(*point, error_rate(*point)) for point in grid),
               key=lambda found: (found.error_rate, found.weight, abs(found.word_bonus)))  # fmt: skip


def hypothesis_errors(lists: Sequence[ScoredList], references: Sequence[str], metric: str) -> Iterator[Any]:
    """Yields the number of word errors of each hypothesis of a list, int (hypotheses,); for ``exact``, 0 or 1.

    Texts are normalized, so that letters with accents are equal however they are encoded.
    """

    def words(text: str) -> list[str]:
        return normalize(text, TextConfig()).split()

    pairs = [(words(entry.text), wanted) for each, wanted in zip(lists, map(words, references))
             for entry in each.entries]  # fmt: skip
    if metric == "exact":
        errors = np.array([hypothesis != reference for hypothesis, reference in pairs], np.int64)
    else:
        errors = error_table([hypothesis for hypothesis, _ in pairs], [reference for _, reference in pairs]).sum(axis=1)
    start = 0
    for each in lists:
        yield errors[start : start + len(each.entries)]
        start += len(each.entries)
