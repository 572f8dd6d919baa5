"""The simple recurrent cell."""

from __future__ import annotations

from typing import Any

import aesara.tensor as T
from aesara.tensor.var import TensorVariable

from theano_rnn.nn.cells.cell import Cell

ACTIVATIONS = {"tanh": T.tanh, "relu": lambda x: T.maximum(x, 0)}


class RNNCell(Cell):
    """The simple recurrent cell, or Elman cell (Elman 1990).

        h_t = f(x_t W_xh + h_tm1 W_hh + b_h)        with f = tanh or relu

    Parameters
    ----------
    input_size, hidden_size, input_scale, recurrent_init, rng, dtype
        As in `Cell`.
    activation : {"tanh", "relu"}
        The function f.

    Attributes
    ----------
    params : dict
        ``W_xh`` (input_size, hidden_size), ``W_hh`` (hidden_size, hidden_size) and ``b_h`` (hidden_size,).
    recurrent, num_states
        As in `Cell`. The only state is the output h.

    Notes
    -----
    With an orthogonal initial ``W_hh``, the units learn to latch: a text that starts in another state than the training
    text is then predicted much worse.
    """

    def __init__(self, input_size: int, hidden_size: int, *, activation: str = "tanh", **options: Any) -> None:
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        self.activation = ACTIVATIONS[activation]
        super().__init__(input_size, hidden_size, **options)

    def step(self, projected_t: TensorVariable, h_tm1: TensorVariable, W_hh: TensorVariable) -> tuple[Any, ...]:
        """Returns the output h_t and the new state h_t, each (batch, hidden_size)."""
        h_t = self.activation(projected_t + T.dot(h_tm1, W_hh))
        return h_t, h_t
