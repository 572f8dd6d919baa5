"""The gated recurrent unit."""

from __future__ import annotations

from typing import Any

import aesara.tensor as T
import numpy as np
from aesara.tensor.var import TensorVariable

from theano_rnn.nn.cells.cell import Cell


class GRUCell(Cell):
    """The gated recurrent unit (Cho et al. 2014), in PyTorch's and cuDNN's form.

        r_t, z_t = sigmoid(x_t W_xh + h_tm1 W_hh + b_h)                       the first two thirds of the columns
        n_t      = tanh(x_t W_xh + b_h + r_t * (h_tm1 W_hh + b_hn))           the last third
        h_t = (1 - z_t) * n_t + z_t * h_tm1

    Cho et al. reset before the product, ``(r_t * h_tm1) W_hn``, which would have to wait for r_t: here one product
    serves gates and candidate, and the candidate's recurrent part has a bias ``b_hn`` of its own, which r_t scales.
    (Their equations have no biases; their z_t keeps the old state, as here.)

    Parameters
    ----------
    input_size, hidden_size, input_scale, recurrent_init, rng, dtype
        As of `Cell`.

    Attributes
    ----------
    params : dict
        ``W_xh`` (input_size, 3 hidden_size), ``W_hh`` (hidden_size, 3 hidden_size), ``b_h`` (3 hidden_size,) and
        ``b_hn`` (hidden_size,), the biases zero at first.
    recurrent, num_states
        As of `Cell`; the one state is the output h.
    """

    GATES = ("r", "z", "n")  # in the order of the columns
    blocks = len(GATES)
    recurrent = ("W_hh", "b_hn")

    def initial_values(self, **options: Any) -> dict[str, Any]:
        return super().initial_values(**options) | {"b_hn": np.zeros(self.hidden_size)}

    def step(
        self, projected_t: TensorVariable, h_tm1: TensorVariable, W_hh: TensorVariable, b_hn: TensorVariable
    ) -> tuple[Any, ...]:
        """The output and the new state of one step, here the same: each (batch, hidden_size)."""
        size = self.hidden_size
        x_gates, x_n = T.split(projected_t, [2 * size, size], 2, axis=1)
        h_gates, h_n = T.split(T.dot(h_tm1, W_hh), [2 * size, size], 2, axis=1)
        r, z = T.split(T.sigmoid(x_gates + h_gates), [size, size], 2, axis=1)
        n = T.tanh(x_n + r * (h_n + b_hn))
        h_t = (1 - z) * n + z * h_tm1
        return h_t, h_t
