"""The gated recurrent unit (GRU)."""

from __future__ import annotations

from typing import Any

import aesara.tensor as T
import numpy as np
from aesara.tensor.var import TensorVariable

from theano_rnn.nn.cells.cell import Cell


class GRUCell(Cell):
    """The gated recurrent unit (Cho et al. 2014), in the form of PyTorch and cuDNN.

        r_t = sigmoid(x_t W_xr + h_tm1 W_hr + b_r)                      reset gate
        z_t = sigmoid(x_t W_xz + h_tm1 W_hz + b_z)                      update gate: keeps the old state
        n_t = tanh(x_t W_xn + b_n + r_t * (h_tm1 W_hn + b_hn))          candidate state
        h_t = (1 - z_t) * n_t + z_t * h_tm1

    ``W_xh``, ``W_hh`` and ``b_h`` hold the blocks of r, z and n side by side, in this order.

    Cho et al. apply the reset gate before the product, ``(r_t * h_tm1) W_hn``, which must wait for r_t, and have no
    biases. In this form, one product serves both gates and the candidate, and r_t also scales the recurrent bias
    ``b_hn``.

    Parameters
    ----------
    input_size, hidden_size, input_scale, recurrent_init, rng, dtype
        As in `Cell`.

    Attributes
    ----------
    params : dict
        ``W_xh`` (input_size, 3 hidden_size), ``W_hh`` (hidden_size, 3 hidden_size), ``b_h`` (3 hidden_size,) and
        ``b_hn`` (hidden_size,). The biases start at zero.
    recurrent, num_states
        As in `Cell`. The only state is the output h.
    """

    GATES = ("r", "z", "n")  # in the order of their columns
    blocks = len(GATES)
    recurrent = ("W_hh", "b_hn")

    def initial_values(self, **options: Any) -> dict[str, Any]:
        return super().initial_values(**options) | {"b_hn": np.zeros(self.hidden_size)}

    def step(
        self, projected_t: TensorVariable, h_tm1: TensorVariable, W_hh: TensorVariable, b_hn: TensorVariable
    ) -> tuple[Any, ...]:
        """Returns the output h_t and the new state h_t, each (batch, hidden_size)."""
        size = self.hidden_size
        x_rz, x_n = T.split(projected_t, [2 * size, size], 2, axis=1)
        h_rz, h_n = T.split(T.dot(h_tm1, W_hh), [2 * size, size], 2, axis=1)
        r_t, z_t = T.split(T.sigmoid(x_rz + h_rz), [size, size], 2, axis=1)
        n_t = T.tanh(x_n + r_t * (h_n + b_hn))
        h_t = (1 - z_t) * n_t + z_t * h_tm1
        return h_t, h_t
