"""Gradients before the optimizer: gradients of looked-up rows, norms, clipping and weight decay.

Every function takes gradients by the names of their parameters and returns gradients. In the equations, g is a gradient
and p is its parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import aesara.tensor as T
import numpy as np
from aesara.tensor.var import TensorVariable

Gradients = Mapping[str, Any]  # by the parameters' names


class RowGradient(NamedTuple):
    """The gradient of a matrix of which only some rows were looked up, such as an embedding.

    It stands for a matrix (num_rows, columns) that is zero except for the sum of ``rows[i]`` at each row ``ids[i]``.

    Attributes
    ----------
    rows : float (n, columns)
    ids : int32 (n,)
        Row indices of the matrix; they may repeat.
    num_rows : int
    """

    rows: TensorVariable
    ids: TensorVariable
    num_rows: int

    def to_dense(self) -> TensorVariable:
        """Returns the gradient as a matrix (num_rows, columns)."""
        zeros = T.zeros((self.num_rows, self.rows.shape[1]), dtype=self.rows.dtype)
        return T.inc_subtensor(zeros[self.ids], self.rows)

    def merge_repeated(self) -> TensorVariable:
        """Add up the rows that have the same id: one of them becomes the sum, the others zero. Returns (n, columns).

        Its norm is the norm of the matrix.
        """
        places = T.arange(self.ids.shape[0], dtype="int32")
        slots = T.set_subtensor(T.zeros((self.num_rows,), dtype="int32")[self.ids], places)  # one place per id
        return T.inc_subtensor(T.zeros_like(self.rows)[slots[self.ids]], self.rows)

    def scale(self, factor: TensorVariable) -> RowGradient:
        """Returns the gradient times a scalar."""
        return self._replace(rows=factor * self.rows)


def squared_norm(gradient: TensorVariable | RowGradient) -> TensorVariable:
    """Returns the sum of the squares of a gradient."""
    flat = (gradient.merge_repeated() if isinstance(gradient, RowGradient) else gradient).flatten()
    return T.dot(flat, flat)


def global_norm(gradients: Gradients) -> TensorVariable:
    """Returns the L2 norm of all gradients, taken as one vector."""
    return T.sqrt(sum(squared_norm(g) for g in gradients.values()))


def clip_global_norm(gradients: Gradients, clip_norm: float) -> dict[str, Any]:
    """Returns gradients scaled by ``min(1, clip_norm / norm)``, with the norm of all gradients.

    Raises
    ------
    ValueError
        `clip_norm` is not positive.

    References
    ----------
    Pascanu et al. (2013), algorithm 1.
    """
    if not clip_norm > 0:
        raise ValueError(f"clip_norm must be positive, got {clip_norm}")
    norm = global_norm(gradients)
    one, limit = np.ones((), norm.dtype), np.asarray(clip_norm, norm.dtype)
    scale = T.switch(norm > limit, limit / norm, one)
    return {name: g.scale(scale) if isinstance(g, RowGradient) else scale * g for name, g in gradients.items()}


def clip_value(gradients: Gradients, limit: float) -> dict[str, Any]:
    """Returns gradients with each element limited to the interval from -`limit` to `limit`.

    The rows of a `RowGradient` that belong to the same id are added up first, so the limit applies to the elements of
    the matrix.

    Raises
    ------
    ValueError
        `limit` is not positive.
    """
    if not limit > 0:
        raise ValueError(f"limit must be positive, got {limit}")

    def clip(g: TensorVariable) -> TensorVariable:
        bound = np.asarray(limit, g.dtype)
        return T.clip(g, -bound, bound)

    return {name: g._replace(rows=clip(g.merge_repeated())) if isinstance(g, RowGradient) else clip(g)
            for name, g in gradients.items()}  # fmt: skip


def add_weight_decay(params: Mapping[str, Any], gradients: Gradients, weight_decay: float) -> dict[str, Any]:
    """Returns ``g + weight_decay p``, the gradients of the loss plus ``weight_decay / 2 sum p^2``.

    A `RowGradient` becomes a matrix. As in PyTorch's optimizers, weight decay comes after clipping. `adamw` has its
    own.

    Raises
    ------
    ValueError
        `weight_decay` is negative.
    """
    if not weight_decay >= 0:
        raise ValueError(f"weight_decay must not be negative, got {weight_decay}")
    return {name: to_dense(g) + np.asarray(weight_decay, params[name].dtype) * params[name]
            for name, g in gradients.items()}  # fmt: skip


def to_dense(gradient: TensorVariable | RowGradient) -> TensorVariable:
    """Returns a gradient as an array of its parameter's shape."""
    return gradient.to_dense() if isinstance(gradient, RowGradient) else gradient


def norms_of(*rows: Iterable[Any]) -> TensorVariable:
    """The L2 norms of variables or gradients, row by row."""
    return T.sqrt(T.stack([T.stack([squared_norm(each) for each in row]) for row in rows]))
