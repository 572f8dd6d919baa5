"""How far back a model's loss reaches: the vanishing gradient, measured.

    norm of d loss_t / d h_{t-k}      for k = 0 .. lags

where loss_t is the negative log-likelihood of one token, and h_{t-k} what all layers put out k steps before it was
predicted (Hochreiter 1991; Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013). The gradient with respect
to an h inside the scan is that with respect to a zero that is added to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aesara.tensor as T
import numpy as np

from theano_rnn.engine.compiling import Graph, compile_graph
from theano_rnn.model import gradients
from theano_rnn.nn.layers import projected_over_time
from theano_rnn.nn.unrolling import unroll


class PushedCell:
    """A cell to whose output, and the state that is the output, something is added at every step.

    Its inputs (time, batch, units + hidden_size) are the cell's own, and beside them what is added.
    """

    def __init__(self, cell: Any) -> None:
        self.cell, self.num_states, self.recurrent = cell, cell.num_states, cell.recurrent

    def step(self, projected_t: Any, *rest: Any) -> tuple[Any, ...]:
        """As of the cell; of all cells here the first state is the output."""
        size = self.cell.hidden_size
        output_t, h_t, *others = self.cell.step(projected_t[:, :-size], *rest)
        added_t = projected_t[:, -size:]
        return output_t + added_t, h_t + added_t, *others


def flow_graph(model: Any) -> Graph:
    """Inputs and outputs of a function of windows of text.

    Inputs: `tokens` int32 (time, batch); `targets` int32 (batch,), the token after each window; `pushes`, one float
    (time, batch, hidden_size) for each layer, added to its outputs; the state before. Outputs: the losses (batch,) in
    nats of the targets, and of each layer the gradient of their sum with respect to its pushes.
    """
    dtype = model.config.dtype
    tokens, targets = T.imatrix("tokens"), T.ivector("targets")
    pushes = [T.tensor3(f"pushes{i}", dtype=dtype) for i, _ in enumerate(model.layers.cells)]
    state = model.symbolic_state()
    mask = T.ones_like(tokens, dtype=dtype)
    outputs = model.embedding[tokens.flatten()].reshape((tokens.shape[0], tokens.shape[1], -1))
    for i, (cell, before) in enumerate(zip(model.layers.cells, model.layers.divided(state))):
        below = outputs
        projected = T.concatenate([projected_over_time(cell, below), pushes[i]], axis=2)
        (outputs, *_), _ = unroll(PushedCell(cell), projected, mask, before, params=cell.params)
        if model.layers.is_residual and i > 0:
            outputs = outputs + below
    log_p = model.head.log_probabilities(outputs[-1])  # (batch, vocab)
    losses = -log_p[T.arange(targets.shape[0]), targets]
    found = gradients(losses.sum(), {push.name: push for push in pushes})
    return Graph([tokens, targets, *pushes], state, totals=[losses, *found.values()])


class GradientFlow:
    """Measures how far back the losses of a model reach; compiled when made.

    Parameters
    ----------
    model : RNNLM
    compiled
        As of `compile_graph`: `engine`, `device`, `progress`.
    """

    def __init__(self, model: Any, **compiled: Any) -> None:
        self.model = model
        self.function = compile_graph(flow_graph(model), name="flow", **compiled)

    def norms(self, windows: Any, *, lags: int) -> Any:
        """Norms of d loss_t / d h_{t-k} for k = 0 .. `lags`, of every window: float64 (lags + 1, windows).

        Parameters
        ----------
        windows : int32 (windows, time + 1)
            The last token of each is the one that is predicted; the model reads the others from the zero state.
        lags
            Fewer than the tokens that are read.

        Raises
        ------
        ValueError
            The windows are too short for so many lags.
        """
        windows = np.asarray(windows, np.int32)
        time = windows.shape[1] - 1
        if not 0 <= lags < time:
            raise ValueError(f"lags must be less than the {time} tokens that are read, got {lags}")
        tokens, targets = np.ascontiguousarray(windows[:, :-1].T), np.ascontiguousarray(windows[:, -1])
        config = self.model.config
        zeros = np.zeros((time, len(windows), config.hidden_size), config.dtype)
        state = self.model.initial_state(len(windows))
        _, *found = self.function(tokens, targets, *[zeros] * config.num_layers, *state)
        squares = sum((np.asarray(gradient, np.float64) ** 2).sum(axis=2) for gradient in found)  # (time, batch)
        return np.sqrt(squares)[::-1][: lags + 1]


def windows_of(ids: Sequence[int], *, length: int, count: int) -> Any:
    """`count` windows of `length` ids each, evenly spread over a text: int32 (count, length); fewer if it is short.

    Raises
    ------
    ValueError
        The text is shorter than one window.
    """
    if len(ids) < length:
        raise ValueError(f"a text of at least {length} tokens is needed, this one has {len(ids)}")
    starts = np.unique(np.linspace(0, len(ids) - length, count).astype(int))
    return np.stack([np.asarray(ids[start : start + length], np.int32) for start in starts])
