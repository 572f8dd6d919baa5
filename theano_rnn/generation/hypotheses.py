"""The texts of a batched beam search: what it looks for, what its hypotheses carry, and those that are finished."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

LEAST_COVERAGE = 1e-10  # of a position, so that the penalty is finite


class Hypothesis(NamedTuple):
    """A finished text: its ids without the end, its log-probability with the end, and its score.

    `features` are the sums of the step's features; `coverage` is the coverage penalty.
    """

    ids: tuple[int, ...]
    log_probability: float
    score: float
    features: tuple[float, ...] = ()
    coverage: float = 0.0


class SearchRules(NamedTuple):
    """What a search looks for.

    beam_size : int
    num_best : int
        The number of texts to find for each sentence, at most `beam_size`.
    length_power : float
        0 ranks by log P, which favors short texts; 1 by the mean per word.
    no_repeat_ngram_size : int
        Never repeat a sequence of this many words; 0: no such rule.
    coverage : float
        The weight of the coverage penalty; 0: none.
    """

    beam_size: int = 5
    num_best: int = 1
    length_power: float = 1.0
    no_repeat_ngram_size: int = 0
    coverage: float = 0.0


class Carried(NamedTuple):
    """What the hypotheses of each sentence carry along, (sentences, hypotheses, ...).

    texts : int (..., greatest length)
        Their words so far.
    features : float (..., features)
        The sums of their features.
    attended : float (..., positions)
        How much each source position was looked at: the sum of its weights.
    """

    texts: Any
    features: Any
    attended: Any

    def at(self, rows: Any) -> Carried:
        """Returns what the hypotheses `rows` (sentences, n) of each sentence carry."""
        return Carried(*(np.take_along_axis(each, rows[:, :, None], axis=1) for each in self))


class Finished:
    """The finished texts of a sentence, as many as the beam is wide, the best first.

    `source_length` is the number of positions of the source.
    """

    def __init__(self, rules: SearchRules, source_length: int = 0) -> None:
        self.rules, self.count, self.least_score = rules, 0, -np.inf
        self.source_length = source_length
        self.best: list[Hypothesis] = []

    def add(self, carried: Carried, place: tuple[int, int], num_words: int, total: float, length: int) -> None:
        """Add the text of a hypothesis, given by its sentence and place, with the log-probability `total`.

        It has `num_words` words, and counts as `length`, with its end.
        """
        text, features, attended = (each[place] for each in carried)
        coverage = coverage_penalty(attended[: self.source_length], self.rules.coverage) if len(attended) else 0.0
        score = total / length**self.rules.length_power + coverage
        self.best.append(Hypothesis(tuple(text[:num_words].tolist()), total, score, tuple(features.tolist()), coverage))
        self.best = sorted(self.best, key=lambda each: -each.score)[: self.rules.beam_size]
        self.count += 1
        if len(self.best) >= self.rules.num_best:
            self.least_score = self.best[self.rules.num_best - 1].score


def coverage_penalty(attended: Any, weight: float) -> float:
    """Returns ``weight * sum_s log(min(attended_s, 1))`` of the source positions s, at most 0.

    >>> round(coverage_penalty(np.array([1.5, 0.5]), 2.0), 6) == round(2 * float(np.log(0.5)), 6)
    True
    """
    return weight * float(np.log(np.clip(attended, LEAST_COVERAGE, 1)).sum())
