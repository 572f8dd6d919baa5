"""Optimizers: from gradients to update dictionaries. The learning rate is symbolic, so annealing never recompiles.

An optimizer returns ``(updates, state)``: `updates` maps shared variables to their new values, parameters and state
alike; `state` names the optimizer's own shared variables, for the checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import aesara
import aesara.tensor as T
import numpy as np
from aesara.tensor.var import TensorVariable

Params = Mapping[str, Any]
Updates = dict[Any, TensorVariable]
State = dict[str, Any]


class RowGradient(NamedTuple):
    """The gradient of a matrix of which only some rows were looked up: the sum of ``rows[i]`` at row ``ids[i]``.

    An embedding's gradient is one: (vocab, columns) as an array, nearly all of it zero.

    `rows` : float (n, columns); `ids` : int32 (n,), the same row any number of times; `num_rows` : int, of the matrix
    """

    rows: TensorVariable
    ids: TensorVariable
    num_rows: int

    def dense(self) -> TensorVariable:
        """The gradient as a matrix (num_rows, columns)."""
        zeros = T.zeros((self.num_rows, self.rows.shape[1]), dtype=self.rows.dtype)
        return T.inc_subtensor(zeros[self.ids], self.rows)

    def merged(self) -> TensorVariable:
        """The matrix's rows that are not zero, and rows of zeros: (n, columns), its norm that of the whole."""
        places = T.arange(self.ids.shape[0], dtype="int32")
        slots = T.set_subtensor(T.zeros((self.num_rows,), dtype="int32")[self.ids], places)  # one place for each id
        return T.inc_subtensor(T.zeros_like(self.rows)[slots[self.ids]], self.rows)

    def scaled(self, factor: TensorVariable) -> RowGradient:
        """The gradient times a number."""
        return self._replace(rows=factor * self.rows)


def squared_norm(gradient: TensorVariable | RowGradient) -> TensorVariable:
    """Sum of squares of a gradient."""
    flat = (gradient.merged() if isinstance(gradient, RowGradient) else gradient).flatten()
    return T.dot(flat, flat)


def global_norm(gradients: Params) -> TensorVariable:
    """L2 norm of all gradients taken as one vector."""
    return T.sqrt(sum(squared_norm(g) for g in gradients.values()))


def clip_global_norm(gradients: Params, clip_norm: float) -> dict[str, Any]:
    """Gradients scaled by ``min(1, clip_norm / norm)``, norm over all of them (Pascanu et al. 2013, algorithm 1).

    Raises
    ------
    ValueError
        `clip_norm` is not positive.
    """
    if not clip_norm > 0:
        raise ValueError(f"clip_norm must be positive, got {clip_norm}")
    norm = global_norm(gradients)
    one, limit = np.ones((), norm.dtype), np.asarray(clip_norm, norm.dtype)
    scale = T.switch(norm > limit, limit / norm, one)
    return {name: g.scaled(scale) if isinstance(g, RowGradient) else scale * g for name, g in gradients.items()}


def sgd(params: Params, gradients: Params, learning_rate: TensorVariable) -> tuple[Updates, State]:
    """Gradient descent, ``p <- p - learning_rate g``; of a `RowGradient` the rows that it names, which is the same."""
    updates = {}
    for name, g in gradients.items():
        p = params[name]
        if isinstance(g, RowGradient):
            updates[p] = T.inc_subtensor(p[g.ids], g.scaled(-learning_rate).rows)
        else:
            updates[p] = p - learning_rate * g
    return updates, {}


def adam(
    params: Params,
    gradients: Params,
    learning_rate: TensorVariable,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> tuple[Updates, State]:
    """Adam (Kingma & Ba 2015, algorithm 1).

    ``m <- beta1 m + (1 - beta1) g``, ``v <- beta2 v + (1 - beta2) g^2``,
    ``p <- p - learning_rate m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon)``, t counting from 1.
    """
    dtype = learning_rate.dtype
    b1, b2, eps, one = (np.asarray(value, dtype) for value in (beta1, beta2, epsilon, 1))
    count = aesara.shared(np.zeros((), "int32"), name="t")
    t = count + np.int32(1)
    time = T.cast(t, dtype)
    rate = learning_rate / (one - b1**time)
    root_correction = T.sqrt(one - b2**time)
    state: State = {"t": count}
    updates: Updates = {count: t}
    for name, g in gradients.items():
        p = params[name]
        g = g.dense() if isinstance(g, RowGradient) else g
        m, v = (aesara.shared(np.zeros_like(p.get_value(borrow=True)), name=f"{kind}.{name}") for kind in "mv")
        state |= {f"m.{name}": m, f"v.{name}": v}
        updates[m] = b1 * m + (one - b1) * g
        updates[v] = b2 * v + (one - b2) * T.square(g)
        updates[p] = p - rate * updates[m] / (T.sqrt(updates[v]) / root_correction + eps)
    return updates, state


OPTIMIZERS = {"sgd": sgd, "adam": adam}
