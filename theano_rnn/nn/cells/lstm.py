"""Long short-term memory."""

from __future__ import annotations

from typing import Any

import aesara.tensor as T
import numpy as np
from aesara.tensor.var import TensorVariable

from theano_rnn.nn.cells.cell import Cell


class LSTMCell(Cell):
    """Long short-term memory with a forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

        i_t, f_t, o_t = sigmoid(x_t W_xh + h_tm1 W_hh + b_h)       the first three quarters of the columns
        g_t           = tanh(x_t W_xh + h_tm1 W_hh + b_h)          the last quarter
        c_t = f_t * c_tm1 + i_t * g_t
        h_t = o_t * tanh(c_t)

    (PyTorch's and cuDNN's equations; their columns stand in the order i, f, g, o.)

    Parameters
    ----------
    input_size, hidden_size, input_scale, recurrent_init, rng, dtype
        As of `Cell`.

    Attributes
    ----------
    params : dict
        ``W_xh`` (input_size, 4 hidden_size), ``W_hh`` (hidden_size, 4 hidden_size) and ``b_h`` (4 hidden_size,), zero
        at first but for the forget gate's quarter, which is 1 (Jozefowicz et al. 2015).
    recurrent, num_states
        As of `Cell`; the states are h and c.
    """

    GATES = ("i", "f", "o", "g")  # in the order of the columns
    blocks = len(GATES)
    num_states = 2

    def initial_values(self, **options: Any) -> dict[str, Any]:
        return super().initial_values(**options) | {"b_h": forget_bias(self.hidden_size)}

    def step(
        self, projected_t: TensorVariable, h_tm1: TensorVariable, c_tm1: TensorVariable, W_hh: TensorVariable
    ) -> tuple[Any, ...]:
        """h_t, and the new states h_t and c_t: each (batch, hidden_size)."""
        h_t, c_t = remember(projected_t + T.dot(h_tm1, W_hh), c_tm1, self.hidden_size)
        return h_t, h_t, c_t


def forget_bias(hidden_size: int) -> Any:
    """1 for the forget gates, else 0: float64 (4 hidden_size,)."""
    return np.repeat([float(gate == "f") for gate in LSTMCell.GATES], hidden_size)


def remember(z_t: TensorVariable, c_tm1: TensorVariable, hidden_size: int) -> tuple[TensorVariable, TensorVariable]:
    """h_t and c_t, each (batch, hidden), from the sums z_t = x_t W_xh + h_tm1 W_hh + b_h (batch, 4 hidden)."""
    gates, g = T.split(z_t, [3 * hidden_size, hidden_size], 2, axis=1)
    i, f, o = T.split(T.sigmoid(gates), [hidden_size] * 3, 3, axis=1)
    c_t = f * c_tm1 + i * T.tanh(g)
    return o * T.tanh(c_t), c_t
