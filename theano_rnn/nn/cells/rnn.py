"""The vanilla recurrent layer."""

from __future__ import annotations

from typing import Any

import aesara.tensor as T
from aesara.tensor.var import TensorVariable

from theano_rnn.nn.cells.cell import Cell

ACTIVATIONS = {"tanh": T.tanh, "relu": lambda x: T.maximum(x, 0)}


class RNNCell(Cell):
    """The vanilla recurrent layer, ``h_t = f(x_t W_xh + h_tm1 W_hh + b_h)`` with f = tanh or relu (Elman 1990).

    Parameters
    ----------
    input_size, hidden_size, input_scale, recurrent_init, rng, dtype
        As of `Cell`.
    activation : {"tanh", "relu"}

    Attributes
    ----------
    params : dict
        ``W_xh`` (input_size, hidden_size), ``W_hh`` (hidden_size, hidden_size) and ``b_h`` (hidden_size,). (From an
        orthogonal ``W_hh`` the units learn to latch: a text that begins in another state than the training text did is
        then predicted far worse.)
    recurrent, num_states
        As of `Cell`; the one state is the output h.
    """

    def __init__(self, input_size: int, hidden_size: int, *, activation: str = "tanh", **options: Any) -> None:
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        self.activation = ACTIVATIONS[activation]
        super().__init__(input_size, hidden_size, **options)

    def step(self, projected_t: TensorVariable, h_tm1: TensorVariable, W_hh: TensorVariable) -> tuple[Any, ...]:
        """The output and the new state of one step, here the same: each (batch, hidden_size)."""
        h_t = self.activation(projected_t + T.dot(h_tm1, W_hh))
        return h_t, h_t
