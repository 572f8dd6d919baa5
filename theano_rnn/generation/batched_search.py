"""Beam search for many sentences at once.

Each sentence has `beam_size` hypotheses, one in each of its columns. In every step, each hypothesis proposes its
likeliest next words; the best proposals of a sentence become its next hypotheses, and those that end the sentence are
finished. All columns are computed together, but no sentence's result depends on the others. Finished texts are ranked
by

    score = log P(text) / length^power

with the end of the sentence counted in both. A sentence is complete when no hypothesis can still become one of its
best: log P only falls, so no continuation of a hypothesis can score more than its log P / (greatest length)^power.
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
        The number of texts to find for each sentence.
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
    """Returns the best texts of each sentence, the best first.

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
        As in `step`.
    """
    size, count = rules.beam_size, len(max_lengths)
    columns = count * size
    tokens, parents = np.full(columns, start_id, np.int32), np.arange(columns, dtype=np.int32)
    log_p = np.full((count, size), -np.inf)
    log_p[:, 0] = 0.0  # the columns of a sentence are equal at first, so only one counts
    texts: list[list[tuple[int, ...]]] = [[()] * size for _ in range(count)]
    finished: list[list[Hypothesis]] = [[] for _ in range(count)]
    is_open = np.array(max_lengths) > 0
    length = 0
    while is_open.any():
        length += 1
        values, words, *state = step(tokens, parents, *state, banned, *context)
        values, words = np.asarray(values, np.float64), np.asarray(words)
        tokens, parents = np.full(columns, end_id, np.int32), np.arange(columns, dtype=np.int32)
        for sentence in np.flatnonzero(is_open):
            rows = slice(sentence * size, (sentence + 1) * size)
            totals = log_p[sentence][:, None] + values[rows]  # (hypotheses, proposals)
            is_last = length >= max_lengths[sentence]
            order = np.argsort(-totals, axis=None, kind="stable")
            chosen: list[tuple[int, int, float]] = []
            for rank, place in enumerate(order):
                row, column = divmod(int(place), totals.shape[1])
                total, word = float(totals[row, column]), int(words[rows][row, column])
                if not np.isfinite(total) or len(chosen) == size:
                    break
                text = texts[sentence][row]
                if word == end_id:
                    if rank < size or is_last:
                        score = total / length**rules.length_power
                        finished[sentence].append(Hypothesis(text, total, score))
                    continue
                if not is_last and not repeats(text, word, rules.no_repeat_ngram_size):
                    chosen.append((row, word, total))
            if is_last:
                for row in range(size):  # texts that are cut at the greatest length
                    if np.isfinite(log_p[sentence, row]) and not finished[sentence]:
                        total = float(log_p[sentence, row])
                        found = Hypothesis(texts[sentence][row], total, total / length**rules.length_power)
                        finished[sentence].append(found)
                chosen = []
            finished[sentence] = sorted(finished[sentence], key=lambda each: -each.score)[: max(size, rules.num_best)]
            texts[sentence] = [(*texts[sentence][row], word) for row, word, _ in chosen]
            log_p[sentence] = -np.inf
            for column, (row, word, total) in enumerate(chosen):
                log_p[sentence, column] = total
                tokens[rows.start + column], parents[rows.start + column] = word, rows.start + row
            texts[sentence] += [()] * (size - len(chosen))
            is_open[sentence] = bool(chosen) and can_improve(
                finished[sentence], log_p[sentence, 0], max_lengths[sentence], rules
            )
    return [found[: rules.num_best] for found in finished]


def can_improve(finished: Sequence[Hypothesis], best: float, max_length: int, rules: SearchRules) -> bool:
    """Returns whether a hypothesis with log-probability `best` may become one of the `num_best` texts."""
    if len(finished) < rules.num_best:
        return True
    return bool(best / max_length**rules.length_power > finished[rules.num_best - 1].score)


def repeats(text: Sequence[int], word: int, size: int) -> bool:
    """Returns whether `word` after `text` makes a sequence of `size` words that the text already has.

    >>> repeats((1, 2, 3, 1), 2, 2), repeats((1, 2, 3, 1), 3, 2)
    (True, False)
    """
    if not size or len(text) < size:
        return False
    new = (*text[len(text) - size + 1 :], word)
    return any(tuple(text[i : i + size]) == new for i in range(len(text) - size + 1))
