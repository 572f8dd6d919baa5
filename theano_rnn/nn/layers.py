"""A stack of recurrent layers: at every time step, each layer reads the output of the layer below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from aesara.tensor.var import TensorVariable

from theano_rnn.nn.cells import make_cell
from theano_rnn.nn.embedding import EMBEDDING_SCALE
from theano_rnn.nn.regularization import NO_DROPOUT, Dropout
from theano_rnn.nn.unrolling import unroll
from theano_rnn.settings.network import ClassifierConfig, ModelConfig


class Layers:
    """A stack of recurrent layers with the same kind of cell and the same size.

    Parameters
    ----------
    kind : str
        The kind of cell, as for `make_cell`.
    input_size, hidden_size, num_layers : int
    is_residual : bool
        Add each layer's input to its output, from the second layer on, whose input and output have the same size (He et
        al. 2016).
    input_scale : float
        Standard deviation of the first layer's inputs, as for `Cell`.
    options
        Options of the cells: `recurrent_init`, `rng`, `dtype`.

    Attributes
    ----------
    params : dict of shared variables
        The parameters of the cells, in order: ``layer0.W_xh``, ...
    num_states : int
        Number of states of all layers. The states of the first layer come first.
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
        """Returns zeros: a NumPy array (batch_size, units) for each state."""
        return tuple(array for cell in self.cells for array in cell.initial_state(batch_size))

    def project(self, x: Any) -> TensorVariable:
        """Compute the part of the first layer that is independent of its state: (rows, input_size) -> (rows, units)."""
        projected: TensorVariable = self.cells[0].project(x, self.cells[0].params)
        return projected

    def project_over_time(self, x: Any) -> Any:
        """Apply `project` to all time steps: (time, batch, input_size) -> (time, batch, units)."""
        return projected_over_time(self.cells[0], x)

    def run(
        self,
        projected: Any,
        mask: Any,
        state: Sequence[Any],
        *,
        dropout: Dropout = NO_DROPOUT,
        context: Sequence[Any] = (),
        backwards: bool = False,
    ) -> tuple[list[TensorVariable], list[TensorVariable]]:
        """Apply the layers to a sequence.

        Parameters
        ----------
        projected : float (time, batch, units)
            The result of `project_over_time`.
        mask : float (time, batch)
        state : as in `initial_state`
        dropout
            Drops units between layers, and connections in the recurrent matrices.
        context
            Passed to every step of every cell.
        backwards
            Process the sequence from the last time step to the first.

        Returns
        -------
        outputs : list of arrays (time, batch, ...)
            First the output of the last layer (time, batch, hidden_size). If the cells have further outputs, those of
            each layer follow.
        final state : as in `initial_state`
        """
        h, further, final = None, [], []
        for i, (cell, before) in enumerate(zip(self.cells, self.states_by_layer(state))):
            below = None
            if h is not None:
                below = dropout.units(h, "layer")
                projected = projected_over_time(cell, below)
            params = {name: dropout.recurrent(f"layer{i}.{name}", p) for name, p in cell.params.items()}
            (h, *more), after = unroll(
                cell, projected, mask, before, params=params, context=context, backwards=backwards
            )
            if self.is_residual and below is not None:
                h = h + below
            further += more
            final += after
        return [h, *further], final

    def step(
        self, x_t: Any, state: Sequence[Any], *, context: Sequence[Any] = ()
    ) -> tuple[list[TensorVariable], list[TensorVariable]]:
        """Apply the layers at one time step: x_t (batch, input_size) -> outputs as in `run`, (batch, ...); state."""
        further: list[TensorVariable] = []
        final: list[TensorVariable] = []
        for i, (cell, before) in enumerate(zip(self.cells, self.states_by_layer(state))):
            fixed = [cell.params[name] for name in cell.recurrent]
            num_outputs = getattr(cell, "num_outputs", 1)
            results = cell.step(cell.project(x_t, cell.params), *before, *fixed, *context)
            x_t = results[0] + x_t if self.is_residual and i > 0 else results[0]
            further += results[1:num_outputs]
            final += results[num_outputs:]
        return [x_t, *further], final

    def states_by_layer(self, state: Sequence[Any]) -> list[Sequence[Any]]:
        """Split the states by layer."""
        parts, start = [], 0
        for cell in self.cells:
            parts.append(state[start : start + cell.num_states])
            start += cell.num_states
        return parts


def projected_over_time(cell: Any, x: Any) -> Any:
    """Apply ``cell.project`` to all time steps at once: (time, batch, ...) -> (time, batch, ...)."""
    rest = [x.shape[axis] for axis in range(2, x.ndim)]
    rows = cell.project(x.reshape((x.shape[0] * x.shape[1], *rest)), cell.params)
    return rows.reshape((x.shape[0], x.shape[1], *(rows.shape[axis] for axis in range(1, rows.ndim))))


def make_layers(config: ModelConfig | ClassifierConfig, *, rng: np.random.Generator) -> Layers:
    """Returns the recurrent layers for `config`. The first layer's ``W_xh`` starts large, to match the small embedding.

    (Validation perplexity of an LSTM on the novels after one epoch: 120.1 without the larger ``W_xh``, 105.2 with it.
    An embedding scale of 0.03 gave 102.0, but a worse perplexity after four epochs.)
    """
    return Layers(
        config.cell, config.embedding_size, config.hidden_size, config.num_layers, is_residual=config.residual,
        input_scale=EMBEDDING_SCALE, recurrent_init=config.recurrent_init, rng=rng, dtype=config.dtype,
    )  # fmt: skip
