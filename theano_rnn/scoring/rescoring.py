"""Rescoring: reorder n-best lists with the log-probabilities of a language model.

    score = original score + weight log P(hypothesis) + word_bonus words

The weights are given, or tuned on lists with known references.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

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


def word_errors(hypothesis: str, reference: str) -> int:
    """Returns the Levenshtein distance in words: the fewest insertions, deletions and substitutions.

    >>> word_errors("the cat sat", "a cat sat down")
    2
    """
    before = list(range(len(reference.split()) + 1))
    for i, word in enumerate(hypothesis.split(), 1):
        now = [i]
        for j, other in enumerate(reference.split(), 1):
            now.append(min(before[j] + 1, now[-1] + 1, before[j - 1] + (word != other)))
        before = now
    return before[-1]


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
    errors = [np.array([count_errors(entry.text, reference, metric) for entry in each.entries])
              for each, reference in zip(lists, references)]  # fmt: skip
    total = len(lists) if metric == "exact" else max(sum(len(reference.split()) for reference in references), 1)

    def error_rate(weight: float, word_bonus: float) -> float:
        return sum(int(wrong[np.argmax(each.scores(weight, word_bonus))]) for each, wrong in zip(lists, errors)) / total

    grid = [(weight, weight * bonus) for weight in WEIGHTS for bonus in (BONUSES if weight else (0.0,))]
    return min((TunedWeights(*point, error_rate(*point)) for point in grid),
               key=lambda found: (found.error_rate, found.weight, abs(found.word_bonus)))  # fmt: skip


def count_errors(text: str, reference: str, metric: str) -> int:
    """Returns the number of word errors of a hypothesis; for ``exact``, 0 or 1.

    Both texts are normalized, so that letters with accents are equal however they are encoded.
    """
    text, reference = normalize(text, TextConfig()), normalize(reference, TextConfig())
    same = text.split() == reference.split()
    return int(not same) if metric == "exact" else word_errors(text, reference)
