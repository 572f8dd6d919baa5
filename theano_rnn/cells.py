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
    input_scale : float
        How large the inputs are (their standard deviation); ``W_xh`` starts larger where they are small.
    rng : np.random.Generator
    dtype : {"float32", "float64"}

    Attributes
    ----------
    params : dict
        ``W_xh`` (input_size, hidden_size), ``W_hh`` (hidden_size, hidden_size) and ``b_h`` (hidden_size,). The
        matrices start uniform in +-1/sqrt(rows), ``W_xh`` divided by `input_scale`; ``b_h`` zero. (From an orthogonal
        ``W_hh`` the units learn to latch:
        a text that begins in another state than the training text did is then predicted far worse.)
    recurrent : tuple of str
        Those of `params` that `step` takes.
    num_states : int
        How many state arrays a step takes and returns.
    """

    recurrent = ("W_hh",)
    num_states = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        activation: str = "tanh",
        input_scale: float = 1.0,
        rng: np.random.Generator,
        dtype: str,
    ) -> None:
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        self.input_size, self.hidden_size, self.dtype = input_size, hidden_size, dtype
        self.activation = ACTIVATIONS[activation]
        values = {
            "W_xh": uniform((input_size, hidden_size), rng=rng) / input_scale,
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


class LSTMCell:
    """Long short-term memory with a forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

        i_t, f_t, o_t = sigmoid(x_t W_xh + h_tm1 W_hh + b_h)       the first three quarters of the columns
        g_t           = tanh(x_t W_xh + h_tm1 W_hh + b_h)          the last quarter
        c_t = f_t * c_tm1 + i_t * g_t
        h_t = o_t * tanh(c_t)

    (PyTorch's and cuDNN's equations; their columns stand in the order i, f, g, o.)

    Parameters
    ----------
    input_size, hidden_size, input_scale, rng, dtype
        As of `RNNCell`.

    Attributes
    ----------
    params : dict
        ``W_xh`` (input_size, 4 hidden_size), ``W_hh`` (hidden_size, 4 hidden_size) and ``b_h`` (4 hidden_size,). The
        matrices start uniform in +-1/sqrt(rows), ``W_xh`` divided by `input_scale`; ``b_h`` is zero but for the forget
        gate's quarter, which is 1
        (Jozefowicz et al. 2015).
    recurrent, num_states
        As of `RNNCell`; the states are h and c.
    """

    GATES = ("i", "f", "o", "g")
    recurrent = ("W_hh",)
    num_states = 2

    def __init__(
        self, input_size: int, hidden_size: int, *, input_scale: float = 1.0, rng: np.random.Generator, dtype: str
    ) -> None:
        self.input_size, self.hidden_size, self.dtype = input_size, hidden_size, dtype
        values = {
            "W_xh": uniform((input_size, 4 * hidden_size), rng=rng) / input_scale,
            "W_hh": uniform((hidden_size, 4 * hidden_size), rng=rng),
            "b_h": np.repeat([float(gate == "f") for gate in self.GATES], hidden_size),
        }
        self.params = {name: aesara.shared(value.astype(dtype), name=name) for name, value in values.items()}

    def project(self, x: TensorVariable, params: dict[str, Any]) -> TensorVariable:
        """``x W_xh + b_h`` of all time steps at once: x (rows, input_size) -> (rows, 4 hidden_size)."""
        return T.dot(x, params["W_xh"]) + params["b_h"]

    def step(
        self, projected_t: TensorVariable, h_tm1: TensorVariable, c_tm1: TensorVariable, W_hh: TensorVariable
    ) -> tuple[Any, ...]:
        """h_t, and the new states h_t and c_t: each (batch, hidden_size)."""
        size = self.hidden_size
        z_t = projected_t + T.dot(h_tm1, W_hh)  # (batch, 4 hidden)
        gates, g = T.split(z_t, [3 * size, size], 2, axis=1)
        i, f, o = T.split(T.sigmoid(gates), [size] * 3, 3, axis=1)
        c_t = f * c_tm1 + i * T.tanh(g)
        h_t = o * T.tanh(c_t)
        return h_t, h_t, c_t

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """Zeros, one NumPy array (batch_size, hidden_size) for each state."""
        return tuple(np.zeros((batch_size, self.hidden_size), self.dtype) for _ in range(self.num_states))


def make_cell(kind: str, input_size: int, hidden_size: int, **options: Any) -> Any:
    """The cell of a name: "tanh", "relu" or "lstm"; `options` as of its class."""
    if kind == "lstm":
        return LSTMCell(input_size, hidden_size, **options)
    return RNNCell(input_size, hidden_size, activation=kind, **options)
