"""Recurrent cells: one time step of a recurrent layer. Each cell has a file of its own.

A cell knows nothing of sequences, masks, losses or text; `theano_rnn.nn.unrolling.unroll` repeats it over time. In the
whole package, vectors are rows and time is the first axis. So arrays are (time, batch, units), and the step of a simple
cell is

    h_t = f(x_t W_xh + h_tm1 W_hh + b_h)

`project` computes ``x_t W_xh + b_h`` for all time steps at once, because it does not depend on the state. `step`
computes the rest from the projected input, the previous state and the parameters that the cell lists in `recurrent`.

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
    """Returns a new cell by its name in `CELLS`; `options` are arguments of its class.

    Raises
    ------
    ValueError
        There is no cell with this name.
    """
    if kind not in CELLS:
        raise ValueError(f"cell must be one of {', '.join(CELLS)}, got {kind!r}")
    return CELLS[kind](input_size, hidden_size, **options)
