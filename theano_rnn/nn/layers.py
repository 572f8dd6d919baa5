"""Recurrent layers one upon the other: each reads at every time step the output of the one below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from aesara.tensor.var import TensorVariable

from theano_rnn.nn.cells import make_cell
from theano_rnn.nn.unrolling import unroll


class Layers:
    """Layers of one kind of cell and one size.

    Parameters
    ----------
    kind : str
        As of `make_cell`.
    input_size, hidden_size, num_layers : int
    is_residual : bool
        Add to a layer's output its input, from the second layer on, where both are of one size (He et al. 2016).
    input_scale : float
        How large the inputs of the first layer are, as of `RNNCell`.
    options
        Of the cells: `recurrent_init`, `rng`, `dtype`.

    Attributes
    ----------
    params : dict of shared variables
        ``layer0.W_xh``, ...: the cells' own, in their order.
    num_states : int
        States of all layers, the first layer's first.
    """

    sees_future = False

    def __init__(
        self,
        kind: str,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        *,
        is_residual: bool = False,
        input_scale: float = 1.0,
        **options: Any,
    ) -> None:
        sizes = [(input_size, input_scale), *[(hidden_size, 1.0)] * (num_layers - 1)]
        self.cells = [make_cell(kind, size, hidden_size, input_scale=scale, **options) for size, scale in sizes]
        self.is_residual = is_residual
        self.params = {f"layer{i}.{name}": p for i, cell in enumerate(self.cells) for name, p in cell.params.items()}
        self.num_states = sum(cell.num_states for cell in self.cells)

    def initial_state(self, batch_size: int) -> tuple[np.ndarray[Any, Any], ...]:
        """Zeros, one NumPy array (batch_size, units) for each state."""
        return tuple(array for cell in self.cells for array in cell.initial_state(batch_size))

    def project(self, x: Any) -> TensorVariable:
        """What the first layer makes of inputs before it looks at its state: (rows, input_size) -> (rows, units)."""
        projected: TensorVariable = self.cells[0].project(x, self.cells[0].params)
        return projected

    def project_over_time(self, x: Any) -> Any:
        """`project` of inputs at all time steps: (time, batch, input_size) -> (time, batch, units)."""
        return projected_over_time(self.cells[0], x)

    def run(
        self,
        projected: Any,
        mask: Any,
        state: Sequence[Any],
        *,
        recurrent: Callable[[str, Any], Any] = lambda name, param: param,
        between: Callable[[Any], Any] = lambda x: x,
        backwards: bool = False,
    ) -> tuple[TensorVariable, list[TensorVariable]]:
        """Outputs of the last layer (time, batch, hidden), and the final state.

        Parameters
        ----------
        projected : float (time, batch, units)
            By `project`.
        mask : float (time, batch)
        state : as in `initial_state`
        recurrent
            What to use for a parameter that the steps read, by its name: itself, or with connections dropped.
        between
            What a layer reads of the outputs (time, batch, hidden) of the one below: themselves, or with units dropped.
        """
        outputs, final = None, []
        for i, (cell, before) in enumerate(zip(self.cells, self.divided(state))):
            below = None
            if outputs is not None:
                below = between(outputs)
                projected = projected_over_time(cell, below)
            params = {name: recurrent(f"layer{i}.{name}", p) for name, p in cell.params.items()}
            outputs, after = unroll(cell, projected, mask, before, params=params, backwards=backwards)
            if self.is_residual and below is not None:
                outputs = outputs + below
            final += after
        return outputs, final

    def step(self, x_t: Any, state: Sequence[Any]) -> tuple[TensorVariable, list[TensorVariable]]:
        """One step of all layers: x_t (batch, input_size) -> (batch, hidden_size), and the new state."""
        final: list[TensorVariable] = []
        for i, (cell, before) in enumerate(zip(self.cells, self.divided(state))):
            fixed = [cell.params[name] for name in cell.recurrent]
            output, *after = cell.step(cell.project(x_t, cell.params), *before, *fixed)
            x_t = output + x_t if self.is_residual and i > 0 else output
            final += after
        return x_t, final

    def divided(self, state: Sequence[Any]) -> list[Sequence[Any]]:
        """The states of each layer."""
        parts, start = [], 0
        for cell in self.cells:
            parts.append(state[start : start + cell.num_states])
            start += cell.num_states
        return parts


def projected_over_time(cell: Any, x: Any) -> Any:
    """What `cell` makes of its inputs at all time steps: (time, batch, input_size) -> (time, batch, units)."""
    rows = cell.project(x.reshape((x.shape[0] * x.shape[1], x.shape[2])), cell.params)
    return rows.reshape((x.shape[0], x.shape[1], rows.shape[1]))
