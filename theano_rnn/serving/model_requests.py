"""Columns that a model of the next token is asked for: a text scored, and a text continued. `columns` runs them.

What they give is what `inspection.read_along` and `generation.generate` give for a text alone.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.generation.sampling import BLOCK, draw, likeliest, truncated
from theano_rnn.generation.search import Rules
from theano_rnn.serving.request_batching import Anew, Column, Together


class Scored(NamedTuple):
    """What a model made of a text of n tokens.

    `log_probabilities`: float64 (n,), of each token given those before, in nats. `guesses`: int32 (n, guesses), ids of
    the likeliest in its place, the likeliest first. `guess_log_probabilities`: float64 (n, guesses). `following`:
    float (vocab,), log-probabilities of what may come next.
    """

    log_probabilities: Any
    guesses: Any
    guess_log_probabilities: Any
    following: Any


def scored(
    ids: Sequence[int], *, start_id: int, reset_id: int | None = None, num_guesses: int = 5
) -> Generator[Any, Any, Scored]:
    """A column that reads `ids`, of any number; parameters as of `inspection.read_along`."""
    chances, guesses, guess_chances = [], [], []
    row = yield start_id
    num_guesses = min(num_guesses, len(row))
    for token in ids:
        best = yield Together(likeliest_of_all, (row, num_guesses))
        chances.append(row[token])
        guesses.append(best)
        guess_chances.append(row[best])
        row = yield next_id(token, start_id, reset_id)
    shape = (len(ids), num_guesses)
    return Scored(
        np.array(chances, np.float64),
        np.array(guesses, np.int32).reshape(shape),
        np.array(guess_chances, np.float64).reshape(shape),
        np.array(row),
    )


def sampled(
    ids: Sequence[int],
    *,
    start_id: int,
    rules: Rules,
    rng: np.random.Generator,
    max_tokens: int,
    reset_id: int | None = None,
    is_end_passed: bool = False,
) -> Column:
    """A column that continues `ids` and returns the list of what was drawn, as one sample of `generation.generate`.

    Parameters
    ----------
    ids
        Of the prompt, without what stands before it.
    start_id, reset_id
        As of `inspection.read_along`.
    rules
        Which ids may follow; its `config` has temperature, `top_k` and `top_p`.
    rng
        One random number is taken for each token.
    max_tokens
        The most tokens that are drawn.
    is_end_passed
        An end that is drawn first is kept, and the text goes on after it: the prompt was a whole sentence.
    """
    config, history = rules.config, list(ids)
    row = yield start_id
    for token in ids:
        row = yield next_id(token, start_id, reset_id)
    for num_tokens in range(max_tokens):
        scores = rules.allowed(row[None], [history], num_tokens)
        if scores.max() == -np.inf:
            break
        if config.temperature == 0:
            token = int(np.argmax(scores))
        else:
            scores = truncated(scores / config.temperature, top_k=config.top_k, top_p=config.top_p)
            token = yield Together(drawn_for_all, (scores, rng.random()))
        if token == rules.end_id and not (is_end_passed and num_tokens == 0):
            break
        history.append(token)
        if num_tokens + 1 < max_tokens:
            row = yield next_id(token, start_id, reset_id)
    return history[len(ids) :]


def next_id(token: int, start_id: int, reset_id: int | None) -> int:
    """What a column yields after `token`: that, or the start anew where its sentence has ended."""
    return Anew(start_id) if token == reset_id else token


def likeliest_of_all(asked: Sequence[tuple[Any, int]]) -> list[Any]:
    """`sampling.likeliest` of each of several rows (vocab,), each with its own count.

    >>> rows = np.array([[1.0, 3.0, 2.0, 3.0, 2.0], [5.0, 5.0, 5.0, 0.0, 0.0]])
    >>> [ids.tolist() for ids in likeliest_of_all([(rows[0], 3), (rows[1], 2)])]
    [[1, 3, 2], [0, 1]]
    """
    rows, counts = np.stack([row for row, _ in asked]), np.array([count for _, count in asked])
    numbers, ids = np.nonzero(rows >= low_enough(rows, int(counts.max()))[:, None])  # few of each row
    order = np.lexsort((ids, -rows[numbers, ids], numbers))
    starts = np.searchsorted(numbers, np.arange(len(rows)))
    return [ids[order[start : start + count]] for start, count in zip(starts, counts)]


def low_enough(rows: Any, count: int) -> Any:
    """A number (batch,) for each of `rows` (batch, vocab) that at least `count` of it reach, and few more.

    The maxima of blocks of the row reach it, so many of them; they are found faster than the row is partly sorted.
    """
    whole = rows.shape[1] // BLOCK * BLOCK
    tops = rows[:, :whole].reshape(len(rows), -1, BLOCK).max(axis=2)  # (batch, blocks)
    if tops.shape[1] < count:
        tops = rows
    return np.partition(tops, tops.shape[1] - count, axis=1)[:, -count]


def drawn_for_all(asked: Sequence[tuple[Any, float]]) -> list[int]:
    """`sampling.draw` of each of several rows (1, vocab), each with its own random number."""
    ids = draw(np.concatenate([scores for scores, _ in asked]), np.array([uniform for _, uniform in asked]))
    return [int(i) for i in ids]


def candidates(following: Any, *, temperature: float, banned: Sequence[int], count: int) -> tuple[Any, Any]:
    """The likeliest next tokens as `sampled` draws them: ids (count,) and probabilities (count,), the likeliest first.

    >>> ids, probabilities = candidates(np.log([0.1, 0.2, 0.3, 0.4]), temperature=1.0, banned=[3], count=2)
    >>> ids.tolist(), probabilities.round(3).tolist()
    ([2, 1], [0.5, 0.333])
    """
    scores = np.array(following, np.float64)
    scores[list(banned)] = -np.inf
    scores -= scores.max()
    ids = likeliest(scores, min(count, len(scores) - len(set(banned))))
    if temperature == 0:
        return ids, (np.arange(len(ids)) == 0).astype(np.float64)
    weights = np.exp(scores / temperature)
    return ids, weights[ids] / weights.sum()
