"""Rescoring: n-best lists ranked anew with what a language model thinks of the hypotheses.

    score = score before + weight log P(hypothesis) + word_bonus words

The weights are given, or tuned on lists whose right answers are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.scoring.nbest import Entry
from theano_rnn.scoring.sentences import Scorer

READ_AHEAD = 1024  # hypotheses scored together
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
BONUSES = (*np.arange(-4, 8, 0.25).tolist(), *np.arange(8.0, 31).tolist())  # nats of a word, times the weight


class Measured(NamedTuple):
    """A list and, of each hypothesis, the log-probability in nats, its end counted, and how many words it has."""

    entries: list[Entry]
    log_probabilities: Any
    words: Any

    def scores(self, weight: float, word_bonus: float) -> Any:
        """The module's equation, float64 (hypotheses,)."""
        before = np.array([entry.score for entry in self.entries])
        return before + weight * self.log_probabilities + word_bonus * self.words

    def ranked(self, weight: float, word_bonus: float) -> list[tuple[Entry, float, float]]:
        """Hypotheses with their new scores and their log-probabilities, the best first, else in the order before."""
        scores = self.scores(weight, word_bonus)
        order = np.argsort(-scores, kind="stable")
        return [(self.entries[i], float(scores[i]), float(self.log_probabilities[i])) for i in order]


def measured(groups: Iterable[list[Entry]], scorer: Scorer) -> Iterator[Measured]:
    """Each of the lists with what the model thinks of it; memory does not grow with their number."""
    waiting: list[list[Entry]] = []
    for group in groups:
        waiting.append(group)
        if sum(map(len, waiting)) >= READ_AHEAD:
            yield from measured_together(waiting, scorer)
            waiting = []
    yield from measured_together(waiting, scorer)


def measured_together(groups: list[list[Entry]], scorer: Scorer) -> Iterator[Measured]:
    """`measured`, all at once; a hypothesis that is there several times is scored once."""
    texts = list(dict.fromkeys(entry.text for group in groups for entry in group))
    known = {score.sentence: score.total for score in scorer.sentences(texts)}
    for group in groups:
        words = np.array([len(entry.text.split()) for entry in group])
        yield Measured(group, np.array([known[entry.text] for entry in group]), words)


def word_errors(hypothesis: str, reference: str) -> int:
    """Words to insert, delete or replace to make one the other: the Levenshtein distance.

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


class Tuned(NamedTuple):
    """Weights, and the share of errors with them: of words, or of lists whose first is not the reference."""

    weight: float
    word_bonus: float
    error_rate: float


def tuned(lists: Sequence[Measured], references: Sequence[str], metric: str) -> Tuned:
    """The weights of a grid with the fewest errors, of equally good ones the smallest.

    Parameters
    ----------
    lists, references
        One right answer for each list.
    metric
        ``exact``: lists whose best is not the reference; ``wer``: `word_errors` over the references' words.
    """
    errors = [np.array([error_of(entry.text, reference, metric) for entry in each.entries])
              for each, reference in zip(lists, references)]  # fmt: skip
    total = len(lists) if metric == "exact" else max(sum(len(reference.split()) for reference in references), 1)

    def error_rate(weight: float, word_bonus: float) -> float:
        return sum(int(wrong[np.argmax(each.scores(weight, word_bonus))]) for each, wrong in zip(lists, errors)) / total

    grid = [(weight, weight * bonus) for weight in WEIGHTS for bonus in (BONUSES if weight else (0.0,))]
    return min((Tuned(*point, error_rate(*point)) for point in grid),
               key=lambda found: (found.error_rate, found.weight, abs(found.word_bonus)))  # fmt: skip


def error_of(text: str, reference: str, metric: str) -> int:
    """What is wrong with a hypothesis."""
    same = text.split() == reference.split()
    return int(not same) if metric == "exact" else word_errors(text, reference)
