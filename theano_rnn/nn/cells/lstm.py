"""Long short-term memory (LSTM)."""

from __future__ import annotations

from typing import Any

import aesara.tensor as T
import numpy as np
from aesara.tensor.var import TensorVariable

from theano_rnn.nn.cells.cell import Cell


class LSTMCell(Cell):
    """Long short-term memory with a forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

        i_t = sigmoid(x_t W_xi + h_tm1 W_hi + b_i)          input gate
        f_t = sigmoid(x_t W_xf + h_tm1 W_hf + b_f)          forget gate
        o_t = sigmoid(x_t W_xo + h_tm1 W_ho + b_o)          output gate
        g_t = tanh(x_t W_xg + h_tm1 W_hg + b_g)             candidate
        c_t = f_t * c_tm1 + i_t * g_t                       cell state
        h_t = o_t * tanh(c_t)                               hidden state, which is the output

    ``W_xh``, ``W_hh`` and ``b_h`` hold the blocks of i, f, o and g side by side, in this order. PyTorch and cuDNN use
    the same equations with the order i, f, g, o.

    Parameters
    ----------
    input_size, hidden_size, input_scale, recurrent_init, rng, dtype
        As in `Cell`.

    Attributes
    ----------
    params : dict
        ``W_xh`` (input_size, 4 hidden_size), ``W_hh`` (hidden_size, 4 hidden_size) and ``b_h`` (4 hidden_size,). The
        forget gate's bias starts at 1 (Jozefowicz et al. 2015), the others at zero.
    recurrent, num_states
        As in `Cell`. The states are h and c.
    """

    GATES = ("i", "f", "o", "g")  # in the order of their columns
    blocks = len(GATES)
    num_states = 2

    def initial_values(self, **options: Any) -> dict[str, Any]:
        return super().initial_values(**options) | {"b_h": forget_bias(self.hidden_size)}

    def step(
        self, projected_t: TensorVariable, h_tm1: TensorVariable, c_tm1: TensorVariable, W_hh: TensorVariable
    ) -> tuple[Any, ...]:
        """Returns the output h_t and the new states h_t and c_t, each (batch, hidden_size)."""
        h_t, c_t = lstm_update(projected_t + T.dot(h_tm1, W_hh), c_tm1, self.hidden_size)
        return h_t, h_t, c_t


def forget_bias(hidden_size: int) -> Any:
    """Returns the initial ``b_h``, float64 (4 hidden_size,): 1 for the forget gate, 0 for the others."""
    return np.repeat([float(gate == "f") for gate in LSTMCell.GATES], hidden_size)


def lstm_update(
    sums_t: TensorVariable, c_tm1: TensorVariable, hidden_size: int
) -> tuple[TensorVariable, TensorVariable]:
    """Returns h_t and c_t, each (batch, hidden).

    `sums_t` is ``x_t W_xh + h_tm1 W_hh + b_h`` (batch, 4 hidden).
    """
    gates, candidate = T.split(sums_t, [3 * hidden_size, hidden_size], 2, axis=1)
    i_t, f_t, o_t = T.split(T.sigmoid(gates), [hidden_size] * 3, 3, axis=1)
    g_t = T.tanh(candidate)
    c_t = f_t * c_tm1 + i_t * g_t
    h_t = o_t * T.tanh(c_t)
    return h_t, c_t
