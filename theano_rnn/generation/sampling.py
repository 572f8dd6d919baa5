"""Sampling the next token: rules that modify a model's distribution (top-k, top-p, repetition), and draws from it.

>>> p = np.log([[0.5, 0.3, 0.15, 0.05]])
>>> np.round(np.exp(truncate(p, top_p=0.7)), 3).tolist()
[[0.5, 0.3, 0.0, 0.0]]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

CANDIDATES = 256  # number of likeliest tokens that are sorted first; more only if they are not enough
BLOCK = 64  # number of tokens whose weights are summed as one block


def truncate(scores: Any, *, top_k: int | None = None, top_p: float = 1.0) -> Any:
    """Set the scores of all tokens except the most likely ones to -inf. The most likely ones keep their ratios.

    Parameters
    ----------
    scores : float (batch, vocab)
        Unnormalized log-probabilities.
    top_k
        Keep at most this many tokens (Fan et al. 2018). Among equally likely ones, those with the lowest ids are kept.
    top_p
        Of the tokens that `top_k` keeps, keep the fewest likeliest ones that together have this probability: the
        nucleus (Holtzman et al. 2020).

    Returns
    -------
    float (batch, vocab)
        A new array, or `scores` itself if nothing is truncated.
    """
    vocab_size = scores.shape[1]
    if (top_k is None or top_k >= vocab_size) and top_p >= 1:
        return scores
    result = np.full_like(scores, -np.inf)
    for row, kept in zip(scores, result):
        ids = top_ids(row, min(top_k or vocab_size, vocab_size)) if top_p >= 1 else nucleus_ids(row, top_k, top_p)
        kept[ids] = row[ids]
    return result


def top_ids(scores: Any, count: int) -> Any:
    """Returns the ids of the `count` highest of `scores` (vocab,), highest first; ties go to the lowest ids.

    >>> top_ids(np.array([1.0, 3.0, 2.0, 3.0, 2.0]), 3).tolist()
    [1, 3, 2]
    """
    if count < len(scores):
        least = np.partition(scores, -count)[-count]
        above = np.flatnonzero(scores > least)
        ids = np.concatenate([above, np.flatnonzero(scores == least)[: count - len(above)]])
    else:
        ids = np.arange(len(scores))
    return ids[np.lexsort((ids, -scores[ids]))]


def nucleus_ids(scores: Any, top_k: int | None, top_p: float) -> Any:
    """Returns the ids of the nucleus: the fewest of the `top_k` likeliest tokens that reach `top_p`; see `truncate`."""
    weights = np.exp(scores - scores.max())
    most = min(top_k or len(scores), len(scores))
    whole = float(weights.sum()) if most == len(scores) else float(weights[top_ids(scores, most)].sum())
    count = min(CANDIDATES, most)
    while True:
        ids = top_ids(scores, count)
        reached = np.cumsum(weights[ids]) >= top_p * whole
        if reached.any():
            return ids[: int(np.argmax(reached)) + 1]
        if count == most:
            return ids
        count = min(4 * count, most)


def penalize_repeated(scores: Any, histories: Sequence[Sequence[int]], penalty: float) -> None:
    """Raise the probabilities of tokens in a row's history to the power `penalty`, in place: p becomes p ** penalty.

    This is the penalty of Keskar et al. (2019) for log-probabilities. Their scores are not normalized and can be
    positive; log-probabilities cannot.
    """
    for row, history in zip(scores, histories):
        ids = np.unique(np.asarray(history, np.int64))
        row[ids] *= penalty


def ban_repeated_ngrams(scores: Any, histories: Sequence[Sequence[int]], size: int) -> None:
    """Set the score of each token that would repeat an n-gram of `size` tokens in a row's history to -inf, in place.

    >>> scores = np.zeros((1, 4))
    >>> ban_repeated_ngrams(scores, [[1, 2, 3, 1, 2]], 3)
    >>> scores.tolist()
    [[0.0, 0.0, 0.0, -inf]]
    """
    for row, history in zip(scores, histories):
        starts = range(len(history) - size + 1)
        last = tuple(history[len(history) - size + 1 :])
        row[[history[i + size - 1] for i in starts if tuple(history[i : i + size - 1]) == last]] = -np.inf


def draw(scores: Any, uniform: Any) -> Any:
    """Sample one token for each row, with probability proportional to ``exp(scores)``.

    Inverts the cumulative distribution. To be fast, it first finds the block of tokens, then the token in this block.

    Parameters
    ----------
    scores : float (batch, vocab)
    uniform : float64 (batch,)
        One random number in [0, 1) for each row.

    Returns
    -------
    int64 (batch,)

    Examples
    --------
    >>> draw(np.log([[0.2, 0.5, 0.3]] * 3), np.array([0.1, 0.6, 0.9])).tolist()
    [0, 1, 2]
    """
    weights = scores - scores.max(axis=1, keepdims=True)
    np.exp(weights, out=weights)
    whole = weights.shape[1] // BLOCK * BLOCK
    sums = weights[:, :whole].reshape(len(weights), -1, BLOCK).sum(axis=2)
    sums = np.concatenate([sums, weights[:, whole:].sum(axis=1, keepdims=True)], axis=1, dtype=np.float64)
    block, rest = invert_cumulative(sums, uniform * sums.sum(axis=1))
    ids = block[:, None] * BLOCK + np.arange(BLOCK)  # (batch, BLOCK)
    inside = np.take_along_axis(weights, np.minimum(ids, weights.shape[1] - 1), axis=1).astype(np.float64)
    inside[ids >= weights.shape[1]] = 0.0
    return block * BLOCK + invert_cumulative(inside, rest)[0]


def invert_cumulative(weights: Any, target: Any) -> tuple[Any, Any]:
    """Find where the cumulative sum of each row (batch, n) first exceeds `target` (batch,).

    If no sum exceeds it because of rounding, the result is the last weight that is not zero.

    Returns
    -------
    index : int64 (batch,)
    rest : float64 (batch,)
        `target` minus the sum of the weights before `index`.
    """
    cumulative = np.cumsum(weights, axis=1)
    last = (cumulative < cumulative[:, -1:]).sum(axis=1)
    index = np.minimum((cumulative <= target[:, None]).sum(axis=1), last)
    rows = np.arange(len(weights))
    return index, target - (cumulative[rows, index] - weights[rows, index])
