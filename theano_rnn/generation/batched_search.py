"""Beam search for many sentences at once.

Each sentence has `beam_size` hypotheses, one in each of its columns. In every step, each hypothesis proposes its
likeliest next words; the best proposals of a sentence become its next hypotheses, and those that end the sentence are
finished. All columns are computed together, but no sentence's result depends on the others. Finished texts are ranked
by

    score = log P(text) / length^power + coverage penalty
    coverage penalty = coverage * sum_s log(min(sum_t a_ts, 1))             at most 0

with the end of the sentence counted in the length. log P is the sum of what the step returns for each word; with a
language model it is log P(text | source) + weight log P_LM(text), and the two are also summed apart, as *features*.
a_ts is the weight of source position s when word t is chosen: the penalty is large if a part of the source was hardly
looked at (Wu et al. 2016, equation 14).

A sentence is complete when it has as many finished texts as hypotheses, so that a beam of 1 is the greedy search; or
when no hypothesis can still become one of its best: log P only falls, and no penalty is above 0, so no continuation of
a hypothesis can score more than its log P / (greatest length)^power.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

SearchStep = Callable[..., list[Any]]
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
    num_features: int = 0,
    source_lengths: Sequence[int] | None = None,
) -> list[list[Hypothesis]]:
    """Returns the best texts of each sentence, the best first: at least one for each, at most ``rules.num_best``.

    Parameters
    ----------
    step
        ``step(tokens, parents, *state, banned, *context) -> [log-probabilities, words, *features, *state]``: the
        `num_proposals` likeliest next words of each column, (columns, proposals) each. Column i continues the
        hypothesis of column ``parents[i]`` with ``tokens[i]``. If ``rules.coverage`` is not 0, the weights of the
        source positions (columns, positions) come after the features.
    state
        The state before the first word, of `beam_size` columns for each sentence, one sentence after another.
    context
        Further arguments of `step` for these columns. They are the same for all hypotheses of a sentence.
    max_lengths : sequence of int
        The greatest number of words of each text, the end included; 0 for columns without a sentence.
    banned
        As in `step`: 0, or -inf for a word that may not come.
    num_features
        The number of features that `step` returns for each proposal, (columns, proposals) each.
    source_lengths : sequence of int
        The number of source positions of each sentence; needed for coverage.

    If no word can follow and no text is finished, the likeliest hypothesis is the result, without an end.
    """
    size, count, limits = rules.beam_size, len(max_lengths), np.array(max_lengths, np.int64)
    first_columns = np.arange(count)[:, None] * size
    tokens, parents = np.full(count * size, start_id, np.int32), np.arange(count * size, dtype=np.int32)
    log_p = np.full((count, size), -np.inf)
    log_p[:, 0] = 0.0  # the columns of a sentence are equal at first, so only one counts
    num_positions = max(source_lengths or [0]) if rules.coverage else 0
    carried = Carried(np.zeros((count, size, max(max_lengths, default=0)), np.int32),
                      np.zeros((count, size, num_features)), np.zeros((count, size, num_positions)))  # fmt: skip
    best_possible = 1 / np.maximum(limits, 1) ** rules.length_power  # times log P: the greatest score to come
    found = [Finished(rules, length) for length in source_lengths or [0] * count]
    least_score, num_finished = np.full(count, -np.inf), np.zeros(count, np.int64)
    is_open, length = limits > 0, 0
    while is_open.any():
        length += 1
        values, words, *results = step(tokens, parents, *state, banned, *context)
        words = np.asarray(words).reshape(count, size, -1)
        features, attention, state = parts_of(results, words.shape, num_features, num_positions)
        totals = log_p[:, :, None] + np.asarray(values, np.float64).reshape(words.shape)
        may_follow = (words == end_id) | (length < limits)[:, None, None]
        if rules.no_repeat_ngram_size:
            repeats = repeated(carried.texts[:, :, : length - 1], words, rules.no_repeat_ngram_size)
            may_follow &= ~repeats | (words == end_id)
        totals[~(may_follow & is_open[:, None, None])] = -np.inf
        totals = totals.reshape(count, -1)
        order = np.argsort(-totals, axis=1, kind="stable")[:, : 2 * size]
        totals, rows = np.take_along_axis(totals, order, 1), order // words.shape[2]
        words = np.take_along_axis(words.reshape(count, -1), order, 1)
        before, carried = carried, carried.at(rows)  # from here on of the proposals
        carried.features[:] += np.take_along_axis(features, order[:, :, None], axis=1)
        carried.attended[:] += np.take_along_axis(attention, rows[:, :, None], axis=1)
        is_possible, is_end = totals > -np.inf, words == end_id
        for sentence, place in np.argwhere((is_possible & is_end)[:, :size]):
            found[sentence].add(carried, (sentence, place), length - 1, float(totals[sentence, place]), length)
            least_score[sentence], num_finished[sentence] = found[sentence].least_score, found[sentence].count
        places = np.argsort(~(is_possible & ~is_end), axis=1, kind="stable")[:, :size]
        totals = np.where(np.take_along_axis(is_end, places, 1), -np.inf, np.take_along_axis(totals, places, 1))
        has_next = totals[:, 0] > -np.inf
        for sentence in np.flatnonzero(is_open & ~has_next & (num_finished == 0)):
            found[sentence].add(before, (sentence, 0), length - 1, float(log_p[sentence, 0]), max(length - 1, 1))
        rows, words, log_p = np.take_along_axis(rows, places, 1), np.take_along_axis(words, places, 1), totals
        carried = carried.at(places)
        carried.texts[:, :, length - 1] = words
        is_open &= has_next & (num_finished < size) & (log_p[:, 0] * best_possible > least_score)
        tokens, parents = words.ravel().astype(np.int32), (first_columns + rows).ravel().astype(np.int32)
    return [each.best[: rules.num_best] for each in found]


def parts_of(
    results: list[Any], shape: tuple[int, ...], num_features: int, num_positions: int
) -> tuple[Any, Any, list[Any]]:
    """Returns the features of the proposals, float64 (sentences, columns * proposals, features), the attention of the
    columns, float64 (sentences, columns, positions), and the new state.

    `results` are those of a step without the log-probabilities and words; `shape` is (sentences, columns, proposals).
    """
    count, size, proposals = shape
    features = np.zeros((count, size * proposals, num_features))
    for number, values in enumerate(results[:num_features]):
        features[:, :, number] = np.asarray(values).reshape(count, -1)
    if not num_positions:
        return features, np.zeros((count, size, 0)), results[num_features:]
    attention, *state = results[num_features:]
    return features, np.asarray(attention, np.float64).reshape(count, size, -1)[:, :, :num_positions], state


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
