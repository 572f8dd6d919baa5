"""Requests to a language model, for `request_batching`: score a text, or continue one.

Their results equal those of `inspection.inspect_tokens` and `generation.generate` for the text alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.generation.sampling import BLOCK, draw, top_ids, truncate
from theano_rnn.generation.search import TokenRules
from theano_rnn.serving.request_batching import BatchedCall, ModelRequest, TokenAfterReset


class TextScore(NamedTuple):
    """Log-probabilities of a text of n tokens under a model, and its predictions.

    `log_probabilities`: float64 (n,), of each token given those before it, in nats. `guesses`: int32 (n, guesses), ids
    of the most likely tokens at each place, the likeliest first. `guess_log_probabilities`: float64 (n, guesses).
    `next_log_probabilities`: float (vocab,), of the token after the text.
    """

    log_probabilities: Any
    guesses: Any
    guess_log_probabilities: Any
    next_log_probabilities: Any


def score_request(
    ids: Sequence[int], *, start_id: int, reset_id: int | None = None, num_guesses: int = 5
) -> Generator[Any, Any, TextScore]:
    """Request that scores `ids`, which may be empty; parameters as of `inspection.inspect_tokens`."""
    found, guesses, guess_found = [], [], []
    row = yield start_id
    num_guesses = min(num_guesses, len(row))
    for token in ids:
        best = yield BatchedCall(batched_top_ids, (row, num_guesses))
        found.append(row[token])
        guesses.append(best)
        guess_found.append(row[best])
        row = yield next_input(token, start_id, reset_id)
    shape = (len(ids), num_guesses)
    return TextScore(
        np.array(found, np.float64),
        np.array(guesses, np.int32).reshape(shape),
        np.array(guess_found, np.float64).reshape(shape),
        np.array(row),
    )


def sample_request(
    ids: Sequence[int],
    *,
    start_id: int,
    rules: TokenRules,
    rng: np.random.Generator,
    max_tokens: int,
    reset_id: int | None = None,
    goes_on: Callable[[Sequence[int]], bool] | None = None,
) -> ModelRequest:
    """Request that continues `ids`; it results in the list of sampled ids, as one sample of `generation.generate`.

    Parameters
    ----------
    ids
        The prompt, without the start id.
    start_id, reset_id
        As of `inspection.inspect_tokens`.
    rules
        Which ids may follow; its `config` has temperature, `top_k` and `top_p`.
    rng
        Gives one random number for each token.
    max_tokens
        The largest number of sampled tokens.
    goes_on
        As of `generation.search.generate`, but without the number of the sample.
    """
    config, history = rules.config, list(ids)
    row = yield start_id
    for token in ids:
        row = yield next_input(token, start_id, reset_id)
    for num_tokens in range(max_tokens):
        scores = rules.apply(row[None], [history], num_tokens)
        if scores.max() == -np.inf:
            break
        if config.temperature == 0:
            token = int(np.argmax(scores))
        else:
            scores = truncate(scores / config.temperature, top_k=config.top_k, top_p=config.top_p)
            token = yield BatchedCall(batched_draw, (scores, rng.random()))
        if token == rules.end_id and (goes_on is None or not goes_on(history[len(ids) :])):
            break
        history.append(token)
        if num_tokens + 1 < max_tokens:
            row = yield next_input(token, start_id, reset_id)
    return history[len(ids) :]


def next_input(token: int, start_id: int, reset_id: int | None) -> int:
    """Input id after `token`: the token itself, or the start id with a reset state if `token` ends a sentence."""
    return TokenAfterReset(start_id) if token == reset_id else token


def batched_top_ids(calls: Sequence[tuple[Any, int]]) -> list[Any]:
    """`sampling.top_ids` for several pairs of a row (vocab,) and a count.

    >>> rows = np.array([[1.0, 3.0, 2.0, 3.0, 2.0], [5.0, 5.0, 5.0, 0.0, 0.0]])
    >>> [ids.tolist() for ids in batched_top_ids([(rows[0], 3), (rows[1], 2)])]
    [[1, 3, 2], [0, 1]]
    """
    rows, counts = np.stack([row for row, _ in calls]), np.array([count for _, count in calls])
    numbers, ids = np.nonzero(rows >= top_threshold(rows, int(counts.max()))[:, None])  # few of each row
    order = np.lexsort((ids, -rows[numbers, ids], numbers))
    starts = np.searchsorted(numbers, np.arange(len(rows)))
    return [ids[order[start : start + count]] for start, count in zip(starts, counts)]


def top_threshold(rows: Any, count: int) -> Any:
    """A threshold (batch,) for each of `rows` (batch, vocab) that at least `count` of its values reach, and few more.

    It is the `count`-th largest maximum of the row's blocks, which is faster to find than the `count`-th largest value.
    """
    whole = rows.shape[1] // BLOCK * BLOCK
    tops = rows[:, :whole].reshape(len(rows), -1, BLOCK).max(axis=2)  # (batch, blocks)
    if tops.shape[1] < count:
        tops = rows
    return np.partition(tops, tops.shape[1] - count, axis=1)[:, -count]


def batched_draw(calls: Sequence[tuple[Any, float]]) -> list[int]:
    """`sampling.draw` for several pairs of scores (1, vocab) and a random number."""
    ids = draw(np.concatenate([scores for scores, _ in calls]), np.array([uniform for _, uniform in calls]))
    return [int(i) for i in ids]


def next_token_candidates(
    log_probabilities: Any, *, temperature: float, banned: Sequence[int], count: int
) -> tuple[Any, Any]:
    """Returns ids (count,) and probabilities (count,) of the likeliest next tokens, as `sample_request` draws them.

    >>> log_p = np.log([0.1, 0.2, 0.3, 0.4])
    >>> ids, probabilities = next_token_candidates(log_p, temperature=1.0, banned=[3], count=2)
    >>> ids.tolist(), probabilities.round(3).tolist()
    ([2, 1], [0.5, 0.333])
    """
    scores = np.array(log_probabilities, np.float64)
    scores[list(banned)] = -np.inf
    scores -= scores.max()
    ids = top_ids(scores, min(count, len(scores) - len(set(banned))))
    if temperature == 0:
        return ids, (np.arange(len(ids)) == 0).astype(np.float64)
    weights = np.exp(scores / temperature)
    return ids, weights[ids] / weights.sum()
