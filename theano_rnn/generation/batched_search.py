"""Beam search for many sentences at once.

Each sentence has a slot with `beam_size` columns, one for each of its hypotheses. In every step, each hypothesis
proposes its likeliest next words; the best proposals of a sentence become its next hypotheses, and those that end the
sentence are finished. All columns are computed together, but no sentence's result depends on the others. When a
sentence is complete, another one may begin in its slot. Finished texts are ranked by

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
from typing import Any

import numpy as np

from theano_rnn.generation.hypotheses import Carried, Finished, Hypothesis, SearchRules

SearchStep = Callable[..., list[Any]]


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
        The greatest number of words of each text, the end included.
    banned
        As in `step`: 0, or -inf for a word that may not come.
    num_features
        The number of features that `step` returns for each proposal, (columns, proposals) each.
    source_lengths : sequence of int
        The number of source positions of each sentence; needed for coverage.

    If no word can follow and no text is finished, the likeliest hypothesis is the result, without an end.
    """
    lengths = source_lengths or [0] * len(max_lengths)
    search = BeamSearch(
        len(max_lengths), rules, start_id=start_id, end_id=end_id, max_length=max(max_lengths, default=0),
        num_features=num_features, num_positions=max(lengths, default=0),
    )  # fmt: skip
    for slot, (limit, length) in enumerate(zip(max_lengths, lengths)):
        search.begin(slot, limit, length)
    while search.is_open.any():
        state = search.advance(step(search.tokens, search.parents, *state, banned, *context))
    return list(map(search.best, range(len(max_lengths))))


class BeamSearch:
    """The searches of several sentences, one in each slot.

    Parameters
    ----------
    count : int
        The number of slots.
    rules : SearchRules
    max_length : int
        The greatest number of words of any text, the end included.
    num_features, num_positions : int
        The number of features of each proposal, and of source positions, for coverage.

    Attributes
    ----------
    tokens, parents : int32 (slots * beam size,)
        What the next step is given.
    is_open : bool (slots,)
        Whether a slot's sentence is not complete.
    """

    def __init__(
        self,
        count: int,
        rules: SearchRules,
        *,
        start_id: int,
        end_id: int,
        max_length: int,
        num_features: int = 0,
        num_positions: int = 0,
    ) -> None:
        self.rules, self.start_id, self.end_id = rules, start_id, end_id
        self.num_features, self.num_positions = num_features, num_positions if rules.coverage else 0
        size = rules.beam_size
        self.first_columns = np.arange(count)[:, None] * size
        self.tokens = np.full(count * size, start_id, np.int32)
        self.parents = np.arange(count * size, dtype=np.int32)
        self.log_p = np.full((count, size), -np.inf)
        self.carried = Carried(np.zeros((count, size, max_length), np.int32), np.zeros((count, size, num_features)),
                               np.zeros((count, size, self.num_positions)))  # fmt: skip
        self.lengths, self.limits = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.best_possible = np.ones(count)  # times log P: the greatest score to come
        self.found = [Finished(rules) for _ in range(count)]
        self.least_score, self.num_finished = np.full(count, -np.inf), np.zeros(count, np.int64)
        self.is_open = np.zeros(count, bool)

    def begin(self, slot: int, limit: int, source_length: int = 0) -> None:
        """Begin the search of another sentence in a slot, whose texts have at most `limit` words, the end included."""
        columns = slice(slot * self.rules.beam_size, (slot + 1) * self.rules.beam_size)
        self.tokens[columns], self.parents[columns] = self.start_id, np.arange(columns.start, columns.stop)
        self.log_p[slot] = -np.inf
        self.log_p[slot, 0] = 0.0  # the columns of a sentence are equal at first, so only one counts
        for each in self.carried:
            each[slot] = 0
        self.lengths[slot], self.limits[slot], self.is_open[slot] = 0, limit, limit > 0
        self.best_possible[slot] = 1 / max(limit, 1) ** self.rules.length_power
        self.found[slot] = Finished(self.rules, source_length)
        self.least_score[slot], self.num_finished[slot] = -np.inf, 0

    def best(self, slot: int) -> list[Hypothesis]:
        """Returns the best texts of the sentence in a slot, the best first."""
        return self.found[slot].best[: self.rules.num_best]

    def advance(self, results: list[Any]) -> list[Any]:
        """Extend the hypotheses by a word, given the results of a step. Returns the state for the next one."""
        values, words, *others = results
        (count, size), end_id = self.log_p.shape, self.end_id
        words = np.asarray(words).reshape(count, size, -1)
        features, attention, state = parts_of(others, words.shape, self.num_features, self.num_positions)
        self.lengths += self.is_open
        totals = self.log_p[:, :, None] + np.asarray(values, np.float64).reshape(words.shape)
        may_follow = (words == end_id) | (self.lengths < self.limits)[:, None, None]
        if self.rules.no_repeat_ngram_size:
            may_follow &= ~self.repeats(words) | (words == end_id)
        totals[~(may_follow & self.is_open[:, None, None])] = -np.inf
        totals = totals.reshape(count, -1)
        order = np.argsort(-totals, axis=1, kind="stable")[:, : 2 * size]
        totals, rows = np.take_along_axis(totals, order, 1), order // words.shape[2]
        words = np.take_along_axis(words.reshape(count, -1), order, 1)
        before, carried = self.carried, self.carried.at(rows)  # from here on of the proposals
        carried.features[:] += np.take_along_axis(features, order[:, :, None], axis=1)
        carried.attended[:] += np.take_along_axis(attention, rows[:, :, None], axis=1)
        is_possible, is_end = totals > -np.inf, words == end_id
        for slot, place in np.argwhere((is_possible & is_end)[:, :size]):
            length = int(self.lengths[slot])
            self.finish(slot, carried, place, length - 1, float(totals[slot, place]), length)
        places = np.argsort(~(is_possible & ~is_end), axis=1, kind="stable")[:, :size]
        totals = np.where(np.take_along_axis(is_end, places, 1), -np.inf, np.take_along_axis(totals, places, 1))
        has_next = totals[:, 0] > -np.inf
        for slot in np.flatnonzero(self.is_open & ~has_next & (self.num_finished == 0)):
            length = int(self.lengths[slot]) - 1
            self.finish(slot, before, 0, length, float(self.log_p[slot, 0]), max(length, 1))
        rows, words = np.take_along_axis(rows, places, 1), np.take_along_axis(words, places, 1)
        self.log_p, self.carried = totals, carried.at(places)
        going_on = np.flatnonzero(self.is_open)
        self.carried.texts[going_on, :, self.lengths[going_on] - 1] = words[going_on]
        self.is_open &= has_next & (self.num_finished < size)
        self.is_open &= self.log_p[:, 0] * self.best_possible > self.least_score
        self.tokens = words.ravel().astype(np.int32)
        self.parents = (self.first_columns + rows).ravel().astype(np.int32)
        return state

    def finish(self, slot: int, carried: Carried, place: int, num_words: int, total: float, length: int) -> None:
        """Add the text of a hypothesis to the finished texts of a slot; see `Finished.add`."""
        found = self.found[slot]
        found.add(carried, (slot, place), num_words, total, length)
        self.least_score[slot], self.num_finished[slot] = found.least_score, found.count

    def repeats(self, words: Any) -> Any:
        """Returns whether each proposed word, int (slots, columns, proposals), would repeat a sequence of words."""
        found = np.zeros(words.shape, bool)
        for length in np.unique(self.lengths[self.is_open]):
            slots = np.flatnonzero(self.is_open & (self.lengths == length))
            texts = self.carried.texts[slots, :, : length - 1]
            found[slots] = repeated(texts, words[slots], self.rules.no_repeat_ngram_size)
        return found


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
