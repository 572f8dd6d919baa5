"""The largest scores of each row and their places, so that a search need not copy all scores from the device."""

from __future__ import annotations

import importlib
from typing import Any

import aesara.tensor as T
import numpy as np
from aesara.graph.basic import Apply
from aesara.graph.op import Op


def top_scores(scores: Any, count: int) -> tuple[Any, Any]:
    """Returns the `count` largest scores of each row, (rows, count), in decreasing order, and their int32 columns.

    Of equal scores, the one in the first column comes first.
    """
    values, columns = TopScores(count)(scores)
    return values, columns


class TopScores(Op):  # type: ignore[misc]
    """Maps scores (rows, columns) to the largest of each row and their columns, each (rows, count). Has no gradient."""

    __props__ = ("count",)

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        self.count = count

    def make_node(self, scores: Any) -> Apply:
        scores = T.as_tensor_variable(scores)
        return Apply(self, [scores], [scores.type.clone(shape=(None, None))(), T.imatrix()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        (scores,) = inputs
        columns = np.argsort(-scores, axis=1, kind="stable")[:, : self.count]
        outputs[0][0] = np.take_along_axis(scores, columns, axis=1)
        outputs[1][0] = columns.astype(np.int32)

    def infer_shape(self, fgraph: Any, node: Apply, shapes: list[Any]) -> list[Any]:
        rows, columns = shapes[0]
        size = T.minimum(columns, self.count)
        return [(rows, size), (rows, size)]

    def as_jax(self, node: Apply) -> Any:
        top_k = importlib.import_module("jax.lax").top_k

        def compute(scores: Any) -> list[Any]:
            values, columns = top_k(scores, min(self.count, scores.shape[1]))
            return [values, columns.astype(np.int32)]

        return compute
