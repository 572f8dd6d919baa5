"""One training step of a tanh network in plain NumPy, to read next to the graph of `theano_rnn.model`.

One sequence (batch size 1), with the parameter names of the package; vectors are rows:

    x_t = embedding[token_t]
    h_t = tanh(x_t W_xh + h_tm1 W_hh + b_h)
    loss = mean over t of -log softmax(h_t W_hy + b_y)[target_t]

Backpropagation through time is written by hand; gradients are clipped by their global norm; the update is plain SGD.
Only the rows of the embedding that the sequence uses have a gradient and are updated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def training_step(
    params: dict[str, Any], tokens: Any, targets: Any, h_0: Any, *, learning_rate: float, clip_norm: float
) -> tuple[float, Any]:
    """The loss in nats per token before the update, and the last state; `params` are updated in place.

    tokens, targets : int (time,); h_0 : float (hidden,)
    """
    W_xh, W_hh, W_hy = params["W_xh"], params["W_hh"], params["W_hy"]
    num_steps = len(tokens)
    each = np.arange(num_steps)

    # Forward
    x = params["embedding"][tokens]  # (time, embedding)
    projected = x @ W_xh + params["b_h"]  # (time, hidden)
    h = np.empty((num_steps + 1, len(h_0)), h_0.dtype)  # (time + 1, hidden): h[t] is what step t starts from
    h[0] = h_0
    for t in range(num_steps):
        h[t + 1] = np.tanh(projected[t] + h[t] @ W_hh)
    scores = h[1:] @ W_hy + params["b_y"]  # (time, vocab)
    scores -= scores.max(axis=1, keepdims=True)
    probabilities = np.exp(scores)
    normalizer = probabilities.sum(axis=1, keepdims=True)
    loss = float(np.mean(np.log(normalizer[:, 0]) - scores[each, targets]))
    probabilities /= normalizer

    # Backward: d_v is the gradient of the loss with respect to v
    d_scores = probabilities
    d_scores[each, targets] -= 1
    d_scores /= num_steps
    d_outputs = d_scores @ W_hy.T  # (time, hidden)
    d_projected = np.empty_like(projected)
    d_h = np.zeros_like(h_0)  # what the steps after t say
    for t in reversed(range(num_steps)):
        d_projected[t] = (d_outputs[t] + d_h) * (1 - h[t + 1] ** 2)
        d_h = W_hh @ d_projected[t]
    rows, place = np.unique(tokens, return_inverse=True)
    d_rows = np.zeros((len(rows), x.shape[1]), x.dtype)
    np.add.at(d_rows, place, d_projected @ W_xh.T)  # a token that occurs twice gets both
    gradients = {
        "W_xh": x.T @ d_projected,
        "W_hh": h[:-1].T @ d_projected,
        "b_h": d_projected.sum(axis=0),
        "W_hy": h[1:].T @ d_scores,
        "b_y": d_scores.sum(axis=0),
    }

    # Clip and update
    norm = np.sqrt(sum(np.vdot(g, g) for g in [*gradients.values(), d_rows]))
    rate = h_0.dtype.type(learning_rate * min(1, clip_norm / norm))
    for name, gradient in gradients.items():
        gradient *= rate
        params[name] -= gradient
    params["embedding"][rows] -= rate * d_rows
    return loss, h[-1].copy()


def make_step(weights: Mapping[str, Any], *, learning_rate: float, clip_norm: float) -> Callable[[Any, Any], float]:
    """A function (tokens, targets) -> loss, of int (time,), that keeps state and parameters, `weights` at first."""
    params = {name.removeprefix("layer0."): value for name, value in weights.items()}
    h = np.zeros_like(params["b_h"])

    def step(tokens: Any, targets: Any) -> float:
        nonlocal h
        loss, h = training_step(params, tokens, targets, h, learning_rate=learning_rate, clip_norm=clip_norm)
        return loss

    return step
