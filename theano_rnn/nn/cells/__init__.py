"""Cells: one time step of a recurrent layer, a file each.

A cell knows nothing of sequences, masks, loss or text; `theano_rnn.nn.unrolling.unroll` repeats it. Conventions of
the package: vectors are rows, time comes first, so that arrays are (time, batch, units) and a step is

    h_t = f(x_t W_xh + h_tm1 W_hh + b_h)

The part that does not depend on the state, ``x_t W_xh + b_h``, is computed for all steps at once by `project`; all that
`step` needs besides it and the state are the parameters that the cell names in `recurrent`.

>>> import numpy as np
>>> cell = make_cell("lstm", 3, 2, rng=np.random.default_rng(0), dtype="float32")
>>> {name: parameter.get_value().shape for name, parameter in cell.params.items()}
{'W_xh': (3, 8), 'W_hh': (2, 8), 'b_h': (8,)}
>>> [state.shape for state in cell.initial_state(5)]
[(5, 2), (5, 2)]
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from theano_rnn.nn.cells.cell import Cell
from theano_rnn.nn.cells.gru import GRUCell
from theano_rnn.nn.cells.lstm import LSTMCell
from theano_rnn.nn.cells.mogrifier import MogrifierLSTMCell
from theano_rnn.nn.cells.rnn import RNNCell

__all__ = ["CELLS", "Cell", "GRUCell", "LSTMCell", "MogrifierLSTMCell", "RNNCell", "make_cell"]

CELLS: dict[str, Callable[..., Any]] = {
    "tanh": partial(RNNCell, activation="tanh"),
    "relu": partial(RNNCell, activation="relu"),
    "lstm": LSTMCell,
    "gru": GRUCell,
    "mogrifier": MogrifierLSTMCell,
}


def make_cell(kind: str, input_size: int, hidden_size: int, **options: Any) -> Any:
    """The cell of a name in `CELLS`; `options` as of its class.

    Raises
    ------
    ValueError
        No cell has the name.
    """
    if kind not in CELLS:
        raise ValueError(f"cell must be one of {', '.join(CELLS)}, got {kind!r}")
    return CELLS[kind](input_size, hidden_size, **options)
