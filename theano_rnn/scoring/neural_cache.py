"""Neural cache: raises the probability of words that recently followed a similar hidden state.

    P_cache(w | past) is proportional to  sum_i [w_i = w] exp(theta h_t h_i)   over the last `size` tokens i
    P = (1 - weight) P_model + weight P_cache

h_i is the hidden state from which w_i was predicted (Grave, Joulin & Usunier 2017).
"""

from __future__ import annotations

from typing import Any

import numpy as np


class NeuralCache:
    """A cache of recent hidden states and the words after them, for each row of a batch.

    Parameters
    ----------
    size : int
        Number of tokens in the cache.
    theta : float
        Weight of the similarity of states; with 0, all cached words count alike.
    weight : float
        Share of the cache in the probability, at least 0 and below 1.
    """

    def __init__(self, size: int, theta: float, weight: float) -> None:
        self.size, self.theta, self.weight = size, theta, weight
        self.rows: list[tuple[Any, Any]] = []  # of the batch: states (cached, hidden) and targets (cached,)

    def losses(self, losses: Any, h: Any, targets: Any, mask: Any) -> Any:
        """Returns negative log-likelihoods with the cache, then adds the window to the cache.

        Parameters
        ----------
        losses : float (time, batch)
            Negative log-likelihoods of the model alone, in nats.
        h : float (time, batch, hidden)
        targets, mask : (time, batch)
            Padding comes after the real targets.

        Returns
        -------
        float64 (time, batch)
            0 for padding.
        """
        losses, h = np.asarray(losses, np.float64), np.asarray(h)
        if len(self.rows) != mask.shape[1]:
            self.rows = [(np.zeros((0, h.shape[2]), h.dtype), np.zeros(0, targets.dtype))] * mask.shape[1]
        result = np.zeros(mask.shape)
        for row, (states, words) in enumerate(self.rows):
            count = int(mask[:, row].sum())
            states = np.concatenate([states, h[:count, row]])
            words = np.concatenate([words, targets[:count, row]])
            p = self.probabilities(states, words, count)
            model = np.exp(-losses[:count, row])
            share = np.where(np.isnan(p), 0.0, self.weight)
            result[:count, row] = -np.log((1 - share) * model + share * np.nan_to_num(p))
            self.rows[row] = states[-self.size :], words[-self.size :]
        return result

    def probabilities(self, states: Any, words: Any, count: int) -> Any:
        """Returns the cache's probability (count,) of each of the last `count` words; nan if the cache was empty."""
        first = len(words) - count
        similarity = self.theta * (states[first:] @ states.T).astype(np.float64)  # (count, cached + count)
        place, now = np.arange(len(words))[None, :], np.arange(first, len(words))[:, None]
        similarity[(place >= now) | (place < now - self.size)] = -np.inf
        largest = similarity.max(axis=1, keepdims=True)
        weights = np.exp(similarity - np.where(np.isfinite(largest), largest, 0.0))
        total = weights.sum(axis=1)
        found = np.where(words[None, :] == words[first:, None], weights, 0.0).sum(axis=1)
        return np.divide(found, total, out=np.full(count, np.nan), where=total > 0)
