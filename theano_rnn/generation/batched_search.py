"""Beam search for many sentences at once.

Each sentence has `beam_size` hypotheses, one in each of its columns. In every step, each hypothesis proposes its
likeliest next words; the best proposals of a sentence become its next hypotheses, and those that end the sentence are
finished. All columns are computed together, but no sentence's result depends on the others. Finished texts are ranked
by

    score = log P(text) / length^power

with the end of the sentence counted in both. A sentence is complete when it has as many finished texts as hypotheses,
so that a beam of 1 is the greedy search; or when no hypothesis can still become one of its best: log P only falls, so
no continuation of a hypothesis can score more than its log P / (greatest length)^power.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

SearchStep = Callable[..., list[Any]]


class Hypothesis(NamedTuple):
    """A finished text: its ids without the end, its log-probability with the end, and its score."""

    ids: tuple[int, ...]
    log_probability: float
    score: float


class SearchRules(NamedTuple):
    """What a search looks for.

    beam_size : int
    num_best : int
        The number of texts to find for each sentence, at most `beam_size`.
    length_power : float
        0 ranks by log P, which favors short texts; 1 by the mean per word.
    no_repeat_ngram_size : int
        Never repeat a sequence of this many words; 0: no such rule.
    """

    beam_size: int = 5
    num_best: int = 1
    length_power: float = 1.0
    no_repeat_ngram_size: int = 0


def num_proposals(beam_size: int) -> int:
    """Returns how many next words each hypothesis must propose: one for each column, and as many that may end."""
    return 2 * beam_size


def beam_search(
    step: SearchStep,
    state: Sequence[Any],
    context: Sequence[Any],
    max_lengths: Sequence[int],
    *,
    start_id: int,
    end_id: int,
    banned: Any,
    rules: SearchRules,
) -> list[list[Hypothesis]]:
    """Returns the best texts of each sentence, the best first: at least one for each, at most ``rules.num_best``.

    Parameters
    ----------
    step
        ``step(tokens, parents, *state, banned, *context) -> [log-probabilities, words, *state]``: the
        `num_proposals` likeliest next words of each column, (columns, proposals) each. Column i continues the
        hypothesis of column ``parents[i]`` with ``tokens[i]``.
    state
        The state before the first word, of `beam_size` columns for each sentence, one sentence after another.
    context
        Further arguments of `step` for these columns. They are the same for all hypotheses of a sentence.
    max_lengths : sequence of int
        The greatest number of words of each text, the end included; 0 for columns without a sentence.
    banned
        As in `step`: 0, or -inf for a word that may not come.

    If no word can follow and no text is finished, the likeliest hypothesis is the result, without an end.
    """
    size, count, limits = rules.beam_size, len(max_lengths), np.array(max_lengths, np.int64)
    first_columns = np.arange(count)[:, None] * size
    tokens, parents = np.full(count * size, start_id, np.int32), np.arange(count * size, dtype=np.int32)
    log_p = np.full((count, size), -np.inf)
    log_p[:, 0] = 0.0  # the columns of a sentence are equal at first, so only one counts
    texts = np.zeros((count, size, max(max_lengths, default=0)), np.int32)
    best_possible = 1 / np.maximum(limits, 1) ** rules.length_power  # times log P: the greatest score to come
    found = [Finished(rules) for _ in range(count)]
    least_score, num_finished = np.full(count, -np.inf), np.zeros(count, np.int64)
    is_open, length = limits > 0, 0
    while is_open.any():
        length += 1
        values, words, *state = step(tokens, parents, *state, banned, *context)
        words = np.asarray(words).reshape(count, size, -1)
        totals = log_p[:, :, None] + np.asarray(values, np.float64).reshape(words.shape)
        may_follow = (words == end_id) | (length < limits)[:, None, None]
        if rules.no_repeat_ngram_size:
            repeats = repeated(texts[:, :, : length - 1], words, rules.no_repeat_ngram_size)
            may_follow &= ~repeats | (words == end_id)
        totals[~(may_follow & is_open[:, None, None])] = -np.inf
        totals = totals.reshape(count, -1)
        order = np.argsort(-totals, axis=1, kind="stable")[:, : 2 * size]
        totals, rows = np.take_along_axis(totals, order, 1), order // words.shape[2]
        words = np.take_along_axis(words.reshape(count, -1), order, 1)
        is_possible, is_end = totals > -np.inf, words == end_id
        for sentence, place in np.argwhere((is_possible & is_end)[:, :size]):
            text = texts[sentence, rows[sentence, place], : length - 1]
            found[sentence].add(text, float(totals[sentence, place]), length)
            least_score[sentence], num_finished[sentence] = found[sentence].least_score, found[sentence].count
        places = np.argsort(~(is_possible & ~is_end), axis=1, kind="stable")[:, :size]
        totals = np.where(np.take_along_axis(is_end, places, 1), -np.inf, np.take_along_axis(totals, places, 1))
        has_next = totals[:, 0] > -np.inf
        for sentence in np.flatnonzero(is_open & ~has_next & (num_finished == 0)):
            found[sentence].add(texts[sentence, 0, : length - 1], float(log_p[sentence, 0]), max(length - 1, 1))
        rows, words, log_p = np.take_along_axis(rows, places, 1), np.take_along_axis(words, places, 1), totals
        texts = np.take_along_axis(texts, rows[:, :, None], 1)
        texts[:, :, length - 1] = words
        is_open &= has_next & (num_finished < size) & (log_p[:, 0] * best_possible > least_score)
        tokens, parents = words.ravel().astype(np.int32), (first_columns + rows).ravel().astype(np.int32)
    return [each.best[: rules.num_best] for each in found]


class Finished:
    """The finished texts of a sentence, as many as the beam is wide, the best first."""

    def __init__(self, rules: SearchRules) -> None:
        self.rules, self.count, self.least_score = rules, 0, -np.inf
        self.best: list[Hypothesis] = []

    def add(self, text: Any, log_probability: float, length: int) -> None:
        """Add a text of `length` words, the end included."""
        score = log_probability / length**self.rules.length_power
        self.best.append(Hypothesis(tuple(text.tolist()), log_probability, score))
        self.best = sorted(self.best, key=lambda each: -each.score)[: self.rules.beam_size]
        self.count += 1
        if len(self.best) >= self.rules.num_best:
            self.least_score = self.best[self.rules.num_best - 1].score


def repeated(texts: Any, words: Any, size: int) -> Any:
    """Returns whether a word after a text makes a sequence of `size` words that the text already has.

    `texts` are int (..., words) and `words` int (..., proposals).

    >>> repeated(np.array([1, 2, 3, 1]), np.array([2, 3]), 2).tolist()
    [True, False]
    """
    count = texts.shape[-1] - size + 1
    if count < 1:
        return np.zeros(words.shape, bool)
    last = texts[..., texts.shape[-1] - size + 1 :]
    is_same = np.ones((*texts.shape[:-1], count), bool)
    for place in range(size - 1):
        is_same &= texts[..., place : place + count] == last[..., place, None]
    following = np.where(is_same, texts[..., size - 1 :], -1)
    return (words[..., None] == following[..., None, :]).any(axis=-1)
