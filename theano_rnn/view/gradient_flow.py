"""Measures vanishing gradients: how far back in time the gradient of a model's loss reaches.

    norm of d loss_t / d h_{t-k}      for k = 0 .. lags

Here loss_t is the negative log-likelihood of one token, and h_{t-k} is the output of all layers k steps before its
prediction (Hochreiter 1991; Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013). To get the gradient with
respect to an h inside the scan, a zero is added to h and the gradient is taken with respect to this zero.
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


class PerturbedCell:
    """A cell with a perturbation added to its output, and to the state that equals the output, at every step.

    Its inputs (time, batch, units + hidden_size) are the inputs of the cell followed by the perturbation.
    """

    def __init__(self, cell: Any) -> None:
        self.cell, self.num_states, self.recurrent = cell, cell.num_states, cell.recurrent

    def step(self, projected_t: Any, *rest: Any) -> tuple[Any, ...]:
        """Runs one step of the cell. The first state of every cell equals its output."""
        size = self.cell.hidden_size
        output_t, h_t, *others = self.cell.step(projected_t[:, :-size], *rest)
        perturbation_t = projected_t[:, -size:]
        return output_t + perturbation_t, h_t + perturbation_t, *others


def gradient_flow_graph(model: Any) -> Graph:
    """Returns the graph of a function that computes the gradients for windows of text.

    Inputs: `tokens` int32 (time, batch); `targets` int32 (batch,), the token after each window; one perturbation
    (time, batch, hidden_size) for each layer, added to its outputs; the initial state. Outputs: the losses (batch,) of
    the targets in nats; for each layer, the gradient of their sum with respect to its perturbation.
    """
    dtype = model.config.dtype
    tokens, targets = T.imatrix("tokens"), T.ivector("targets")
    perturbations = [T.tensor3(f"perturbation{i}", dtype=dtype) for i, _ in enumerate(model.layers.cells)]
    state = model.symbolic_state()
    mask = T.ones_like(tokens, dtype=dtype)
    outputs = model.embedding[tokens.flatten()].reshape((tokens.shape[0], tokens.shape[1], -1))
    for i, (cell, before) in enumerate(zip(model.layers.cells, model.layers.states_by_layer(state))):
        below = outputs
        projected = T.concatenate([projected_over_time(cell, below), perturbations[i]], axis=2)
        (outputs, *_), _ = unroll(PerturbedCell(cell), projected, mask, before, params=cell.params)
        if model.layers.is_residual and i > 0:
            outputs = outputs + below
    log_p = model.head.log_probabilities(outputs[-1])  # (batch, vocab)
    losses = -log_p[T.arange(targets.shape[0]), targets]
    found = gradients(losses.sum(), {each.name: each for each in perturbations})
    return Graph([tokens, targets, *perturbations], state, totals=[losses, *found.values()])


class GradientFlow:
    """Computes how far back the gradients of a model's losses reach. The function is compiled on construction.

    Parameters
    ----------
    model : RNNLM
    options
        As of `compile_graph`: `engine`, `device`, `progress`.
    """

    def __init__(self, model: Any, **options: Any) -> None:
        self.model = model
        self.function = compile_graph(gradient_flow_graph(model), name="flow", **options)

    def norms(self, windows: Any, *, lags: int) -> Any:
        """Returns the norms of d loss_t / d h_{t-k} for k = 0 .. `lags`, float64 (lags + 1, windows).

        Parameters
        ----------
        windows : int32 (windows, time + 1)
            The last token of each window is predicted; the model reads the others from the zero state.
        lags
            Less than the number of tokens that are read.

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


def evenly_spaced_windows(ids: Sequence[int], *, length: int, count: int) -> Any:
    """Returns `count` windows, int32 (count, length), evenly spaced over a text; fewer if the text is short.

    Raises
    ------
    ValueError
        The text is shorter than one window.
    """
    if len(ids) < length:
        raise ValueError(f"a text of at least {length} tokens is needed, this one has {len(ids)}")
    starts = np.unique(np.linspace(0, len(ids) - length, count).astype(int))
    return np.stack([np.asarray(ids[start : start + length], np.int32) for start in starts])
