"""The encoder: recurrent layers in both directions, for models that may read their whole input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aesara.tensor as T
import numpy as np
from aesara.tensor.var import TensorVariable

from theano_rnn.nn.cells import make_cell
from theano_rnn.nn.layers import projected_over_time
from theano_rnn.nn.regularization import NO_DROPOUT, Dropout
from theano_rnn.nn.unrolling import unroll

DIRECTIONS = "forward", "backward"


class Encoder:
    """A bidirectional stack. Each level has one layer per direction; both read both outputs of the level below.

        h_t = [forward_t, backward_t]      forward_t has read x_1 .. x_t, backward_t has read x_t .. x_n

    (One level: Schuster & Paliwal 1997; several: Graves et al. 2013.) From the second level on, both directions depend
    on the whole input. A model that must not see a part of it keeps the directions apart, as `tasks.cloze.Cloze` does.

    Parameters
    ----------
    kind : str
        The kind of cell, as for `make_cell`.
    input_size, hidden_size, num_layers : int
        `hidden_size` is the size of one direction.
    options
        Options of the cells: `recurrent_init`, `rng`, `dtype`.

    Attributes
    ----------
    params : dict of shared variables
        ``forward0.W_xh``, ..., ``backward0.W_xh``, ..., ``forward1.W_xh``, ...
    num_states : int
        Number of states of all levels. In each level, the states of the forward layer come first.
    """

    sees_future = True

    def __init__(self, kind: str, input_size: int, hidden_size: int, num_layers: int, **options: Any) -> None:
        sizes = [input_size, *[2 * hidden_size] * (num_layers - 1)]
        self.cells = {
            f"{direction}{level}": make_cell(kind, size, hidden_size, **options)
            for level, size in enumerate(sizes)
            for direction in DIRECTIONS
        }
        self.num_layers = num_layers
        self.params = {f"{place}.{name}": p for place, cell in self.cells.items() for name, p in cell.params.items()}
        self.num_states = sum(cell.num_states for cell in self.cells.values())

    def initial_state(self, batch_size: int) -> tuple[np.ndarray[Any, Any], ...]:
        """Returns zeros: a NumPy array (batch_size, units) for each state."""
        return tuple(array for cell in self.cells.values() for array in cell.initial_state(batch_size))

    def run(
        self, x: Any, mask: Any, state: Sequence[Any], *, dropout: Dropout = NO_DROPOUT
    ) -> tuple[TensorVariable, list[TensorVariable]]:
        """Returns the outputs of the last level (time, batch, 2 * hidden_size), and the final state.

        Parameters
        ----------
        x : float (time, batch, input_size)
        mask : float (time, batch)
            1 for a real step. A backward layer starts at the last real step of each sequence.
        state : as in `initial_state`
            The state in which each direction starts, at its own end of the sequence.
        dropout
            Drops units between levels, and connections in the recurrent matrices.
        """
        final: list[TensorVariable] = []
        for level in range(self.num_layers):
            below = dropout.units(x, "layer") if level else x
            outputs = []
            for direction in DIRECTIONS:
                place = f"{direction}{level}"
                cell = self.cells[place]
                (h, *_), after = unroll(
                    cell, projected_over_time(cell, below), mask, state[len(final) : len(final) + cell.num_states],
                    params={name: dropout.recurrent(f"{place}.{name}", p) for name, p in cell.params.items()},
                    backwards=direction == "backward",
                )  # fmt: skip
                outputs.append(h)
                final += after
            x = T.concatenate(outputs, axis=2)  # (time, batch, 2 * hidden_size)
        return x, final
