"""Cells: one time step of a recurrent layer.

A cell knows nothing of sequences, masks, loss or text; `theano_rnn.model.unroll` repeats it over time. Conventions of
the package: vectors are rows, time comes first, so that arrays are (time, batch, units) and a step is

    h_t = f(x_t W_xh + h_tm1 W_hh + b_h)

The part that does not depend on the state, ``x_t W_xh + b_h``, is computed for all steps at once by `project`.
"""

from __future__ import annotations

from typing import Any

import aesara
import aesara.tensor as T
import numpy as np
from aesara.tensor.var import TensorVariable

from theano_rnn.initializers import uniform

ACTIVATIONS = {"tanh": T.tanh, "relu": lambda x: T.maximum(x, 0)}


class RNNCell:
    """The vanilla recurrent layer, ``h_t = f(x_t W_xh + h_tm1 W_hh + b_h)`` with f = tanh or relu (Elman 1990).

    Parameters
    ----------
    input_size, hidden_size : int
    activation : {"tanh", "relu"}
    rng : np.random.Generator
    dtype : {"float32", "float64"}

    Attributes
    ----------
    params : dict
        ``W_xh`` (input_size, hidden_size), ``W_hh`` (hidden_size, hidden_size) and ``b_h`` (hidden_size,). The
        matrices start uniform in +-1/sqrt(rows), ``b_h`` zero. (From an orthogonal ``W_hh`` the units learn to latch:
        a text that begins in another state than the training text did is then predicted far worse.)
    recurrent : tuple of str
        Those of `params` that `step` takes.
    num_states : int
        How many state arrays a step takes and returns.
    """

    recurrent = ("W_hh",)
    num_states = 1

    def __init__(
        self, input_size: int, hidden_size: int, *, activation: str = "tanh", rng: np.random.Generator, dtype: str
    ) -> None:
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        self.input_size, self.hidden_size, self.dtype = input_size, hidden_size, dtype
        self.activation = ACTIVATIONS[activation]
        values = {
            "W_xh": uniform((input_size, hidden_size), rng=rng),
            "W_hh": uniform((hidden_size, hidden_size), rng=rng),
            "b_h": np.zeros(hidden_size),
        }
        self.params = {name: aesara.shared(value.astype(dtype), name=name) for name, value in values.items()}

    def project(self, x: TensorVariable, params: dict[str, Any]) -> TensorVariable:
        """``x W_xh + b_h`` of all time steps at once: x (rows, input_size) -> (rows, hidden_size)."""
        return T.dot(x, params["W_xh"]) + params["b_h"]

    def step(self, projected_t: TensorVariable, h_tm1: TensorVariable, W_hh: TensorVariable) -> tuple[Any, ...]:
        """The output and the new state of one step, here the same: each (batch, hidden_size)."""
        h_t = self.activation(projected_t + T.dot(h_tm1, W_hh))
        return h_t, h_t

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """Zeros, one NumPy array (batch_size, hidden_size) for each state."""
        return (np.zeros((batch_size, self.hidden_size), self.dtype),)
