"""Pooling: from a network's outputs at all time steps to one vector for each sequence.

    final       p = [forward_n, backward_1]        the output after the last step; backwards, after the first
    mean        p = 1/n sum_t h_t
    max         p = max_t h_t                      of each unit
    attention   p = sum_t a_t h_t                  a = softmax_t(v . tanh(h_t W_a + b_a))

Padding takes no part, so p does not depend on the other sequences of a batch. For a column without any real step, p and
its gradient are 0.

References
----------
Attention: Yang et al. (2016), equations 5 to 7, and Lin et al. (2017), with one row of weights.
"""

from __future__ import annotations

from typing import Any

import aesara
import aesara.tensor as T
import numpy as np

from theano_rnn.nn.initializers import uniform

KINDS = ("final", "mean", "max", "attention")
NEVER = -1e30  # in place of minus infinity, whose gradient would not be a number


class Pooling:
    """Pooling of outputs h (time, batch, units) to p (batch, units).

    Parameters
    ----------
    kind : {"final", "mean", "max", "attention"}
    num_units : int
    num_backward : int
        The number of units, at the end of h, that have read the sequence backwards.
    rng : np.random.Generator
    dtype : {"float32", "float64"}

    Attributes
    ----------
    params : dict of shared variables
        Of attention: ``W_a`` (units, units), ``b_a`` (units,), and ``v_a`` (units,), which starts at zero, so that
        attention begins as a mean. Otherwise empty.
    """

    def __init__(self, kind: str, num_units: int, *, num_backward: int = 0, rng: np.random.Generator, dtype: str):
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
        self.kind, self.num_forward = kind, num_units - num_backward
        values: dict[str, Any] = {}
        if kind == "attention":
            values["W_a"] = uniform((num_units, num_units), rng=rng)
            values |= {"b_a": np.zeros(num_units), "v_a": np.zeros(num_units)}
        self.params = {name: aesara.shared(value.astype(dtype), name=name) for name, value in values.items()}

    def pool(self, h: Any, mask: Any) -> Any:
        """Returns p (batch, units) for h (time, batch, units) and the mask (time, batch), 1 at real steps."""
        if self.kind == "max":
            is_real = T.gt(mask, 0).dimshuffle(0, 1, "x")
            top = T.max(T.switch(is_real, h, np.asarray(NEVER, h.dtype)), axis=0)
            return T.switch(T.gt(mask[0], 0).dimshuffle(0, "x"), top, np.zeros((), h.dtype))
        if self.kind == "final":
            first = h[0, :, self.num_forward :] * mask[0].dimshuffle(0, "x")
            return T.concatenate([weighted_sum(h[:, :, : self.num_forward], last_steps(mask)), first], axis=1)
        return weighted_sum(h, self.weights(h, mask))

    def weights(self, h: Any, mask: Any) -> Any:
        """Returns the weight of each step (time, batch), of pooling by mean or attention."""
        if self.kind == "mean":
            return mask / T.maximum(total(mask, axis=0), np.ones((), h.dtype))
        rows = h.reshape((h.shape[0] * h.shape[1], h.shape[2]))
        energies = T.dot(T.tanh(T.dot(rows, self.params["W_a"]) + self.params["b_a"]), self.params["v_a"])
        energies = T.switch(T.gt(mask, 0), energies.reshape(mask.shape), np.asarray(NEVER, h.dtype))
        exponentials = T.exp(energies - T.max(energies, axis=0)) * mask
        return exponentials / T.maximum(total(exponentials, axis=0), np.asarray(1e-30, h.dtype))


def last_steps(mask: Any) -> Any:
    """Returns 1 at the last real step of each sequence, else 0: (time, batch)."""
    after = T.concatenate([mask[1:], T.zeros_like(mask[:1])], axis=0)
    return mask * (np.ones((), mask.dtype) - after)


def weighted_sum(h: Any, weights: Any) -> Any:
    """Returns the sum over time of h (time, batch, units) times the weights (time, batch)."""
    return total(h * weights.dimshuffle(0, 1, "x"), axis=0)


def total(x: Any, axis: int) -> Any:
    """Returns the sum over an axis, in the dtype of x."""
    return T.sum(x, axis=axis, dtype=x.dtype, acc_dtype=x.dtype)
