"""What may come next, and how one is drawn: rules that change a model's distribution, and draws from what is left.

>>> p = np.log([[0.5, 0.3, 0.15, 0.05]])
>>> np.round(np.exp(truncated(p, top_p=0.7)), 3).tolist()
[[0.5, 0.3, 0.0, 0.0]]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

CANDIDATES = 256  # likeliest tokens that are sorted before more are looked at
BLOCK = 64  # tokens whose weights are added up together


def truncated(scores: Any, *, top_k: int | None = None, top_p: float = 1.0) -> Any:
    """`scores` with -inf for all tokens but the likeliest; the others keep their ratios.

    Parameters
    ----------
    scores : float (batch, vocab)
        Logarithms of what probabilities are proportional to.
    top_k
        How many tokens are left at most (Fan et al. 2018); of equally likely ones those of the lowest ids.
    top_p
        Fewest likeliest tokens that together have this probability, of those that `top_k` leaves: the nucleus
        (Holtzman et al. 2020).

    Returns
    -------
    float (batch, vocab)
        A new array, unless nothing is to be done.
    """
    vocab_size = scores.shape[1]
    if (top_k is None or top_k >= vocab_size) and top_p >= 1:
        return scores
    left = np.full_like(scores, -np.inf)
    for row, kept in zip(scores, left):
        ids = likeliest(row, min(top_k or vocab_size, vocab_size)) if top_p >= 1 else nucleus(row, top_k, top_p)
        kept[ids] = row[ids]
    return left


def likeliest(scores: Any, count: int) -> Any:
    """Ids of the `count` highest of `scores` (vocab,), the highest first; of equal ones the lowest ids.

    >>> likeliest(np.array([1.0, 3.0, 2.0, 3.0, 2.0]), 3).tolist()
    [1, 3, 2]
    """
    if count < len(scores):
        least = np.partition(scores, -count)[-count]
        above = np.flatnonzero(scores > least)
        ids = np.concatenate([above, np.flatnonzero(scores == least)[: count - len(above)]])
    else:
        ids = np.arange(len(scores))
    return ids[np.lexsort((ids, -scores[ids]))]


def nucleus(scores: Any, top_k: int | None, top_p: float) -> Any:
    """Ids of the fewest likeliest tokens with probability `top_p` among the `top_k` likeliest; see `truncated`."""
    weights = np.exp(scores - scores.max())
    most = min(top_k or len(scores), len(scores))
    whole = float(weights.sum()) if most == len(scores) else float(weights[likeliest(scores, most)].sum())
    count = min(CANDIDATES, most)
    while True:
        ids = likeliest(scores, count)
        reached = np.cumsum(weights[ids]) >= top_p * whole
        if reached.any():
            return ids[: int(np.argmax(reached)) + 1]
        if count == most:
            return ids
        count = min(4 * count, most)


def penalize_repeated(scores: Any, histories: Sequence[Sequence[int]], penalty: float) -> None:
    """Multiply in place the log-probabilities of tokens that a row's history has: p becomes p ** penalty.

    After Keskar et al. (2019), whose scores are not normalized and can be positive; log-probabilities cannot.
    """
    for row, history in zip(scores, histories):
        ids = np.unique(np.asarray(history, np.int64))
        row[ids] *= penalty


def ban_repeated_ngrams(scores: Any, histories: Sequence[Sequence[int]], size: int) -> None:
    """Set in place to -inf each token with which a row's history would have some `size` tokens a second time.

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
    """One token for each row, with probability proportional to ``exp(scores)``.

    The cumulated distribution is inverted, for speed first by blocks of tokens and then in one block.

    Parameters
    ----------
    scores : float (batch, vocab)
    uniform : float64 (batch,)
        Random numbers in [0, 1), one for each row.

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
    block, rest = inverted(sums, uniform * sums.sum(axis=1))
    ids = block[:, None] * BLOCK + np.arange(BLOCK)  # (batch, BLOCK)
    inside = np.take_along_axis(weights, np.minimum(ids, weights.shape[1] - 1), axis=1).astype(np.float64)
    inside[ids >= weights.shape[1]] = 0.0
    return block * BLOCK + inverted(inside, rest)[0]


def inverted(weights: Any, wanted: Any) -> tuple[Any, Any]:
    """Of each row (batch, n) the first place where its cumulated weights exceed `wanted`, and by how much from there.

    Where rounding leads beyond all of them, it is the last one that is not zero.
    """
    cumulated = np.cumsum(weights, axis=1)
    last = (cumulated < cumulated[:, -1:]).sum(axis=1)
    place = np.minimum((cumulated <= wanted[:, None]).sum(axis=1), last)
    rows = np.arange(len(weights))
    return place, wanted - (cumulated[rows, place] - weights[rows, place])
