"""A continuous cache: words that followed a similar state not long ago become likelier.

    P_cache(w | past) is proportional to  sum_i [w_i = w] exp(theta h_t h_i)   over the last `size` tokens i
    P = (1 - weight) P_model + weight P_cache

h_i is the state of the network from which w_i was predicted (Grave, Joulin & Usunier 2017).
"""

from __future__ import annotations

from typing import Any

import numpy as np


class NeuralCache:
    """The last states of every column of a stream and what followed them.

    Parameters
    ----------
    size : int
        Tokens remembered.
    theta : float
        How much likelier those of more similar states are; 0 counts all alike.
    weight : float
        The cache's share of the probability, at least 0 and below 1.
    """

    def __init__(self, size: int, theta: float, weight: float) -> None:
        self.size, self.theta, self.weight = size, theta, weight
        self.columns: list[tuple[Any, Any]] = []  # states (remembered, hidden) and targets (remembered,)

    def losses(self, losses: Any, h: Any, targets: Any, mask: Any) -> Any:
        """Negative log-likelihoods with the cache, which then remembers the window.

        Parameters
        ----------
        losses : float (time, batch)
            Of the model alone, in nats.
        h : float (time, batch, hidden)
        targets, mask : (time, batch)
            Real targets come before padding.

        Returns
        -------
        float64 (time, batch)
            0 where masked.
        """
        losses, h = np.asarray(losses, np.float64), np.asarray(h)
        if len(self.columns) != mask.shape[1]:
            self.columns = [(np.zeros((0, h.shape[2]), h.dtype), np.zeros(0, targets.dtype))] * mask.shape[1]
        result = np.zeros(mask.shape)
        for column, (states, words) in enumerate(self.columns):
            count = int(mask[:, column].sum())
            states = np.concatenate([states, h[:count, column]])
            words = np.concatenate([words, targets[:count, column]])
            p = self.probabilities(states, words, count)
            model = np.exp(-losses[:count, column])
            share = np.where(np.isnan(p), 0.0, self.weight)
            result[:count, column] = -np.log((1 - share) * model + share * np.nan_to_num(p))
            self.columns[column] = states[-self.size :], words[-self.size :]
        return result

    def probabilities(self, states: Any, words: Any, count: int) -> Any:
        """The cache's probability of each of the last `count` of `words`, nan where it remembers nothing: (count,)."""
        first = len(words) - count
        similarity = self.theta * (states[first:] @ states.T).astype(np.float64)  # (count, remembered + count)
        place, now = np.arange(len(words))[None, :], np.arange(first, len(words))[:, None]
        similarity[(place >= now) | (place < now - self.size)] = -np.inf
        largest = similarity.max(axis=1, keepdims=True)
        weights = np.exp(similarity - np.where(np.isfinite(largest), largest, 0.0))
        total = weights.sum(axis=1)
        found = np.where(words[None, :] == words[first:, None], weights, 0.0).sum(axis=1)
        return np.divide(found, total, out=np.full(count, np.nan), where=total > 0)
