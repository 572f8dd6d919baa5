"""The largest scores of each row and their places, so that a search need not copy all scores from the device.

A search needs the log-probabilities of few words. `likeliest` finds them without those of all others:

    log P(v) = z_v - log(sum_u exp(z_u))                           z: the scores; the order is that of z
"""

from __future__ import annotations

import importlib
from typing import Any

import aesara.tensor as T
import numpy as np
from aesara.graph.basic import Apply
from aesara.graph.op import Op

BLOCK = 16  # columns; with 320 rows of 4,000 or 10,000 columns, 8 and 16 were fastest of 8, 16, 32, 64
MIN_BLOCKS = 64  # with fewer columns, sorting them all takes no longer


def top_scores(scores: Any, count: int) -> tuple[Any, Any]:
    """Returns the `count` largest scores of each row, (rows, count), in decreasing order, and their int32 columns.

    Of equal scores, the one in the first column comes first.
    """
    values, columns = TopScores(count)(scores)
    return values, columns


def likeliest(scores: Any, bias: Any, banned: Any, count: int) -> tuple[Any, Any]:
    """Returns the `count` largest log-probabilities of each row of ``softmax(scores + bias)``, and their int32 columns.

    Parameters
    ----------
    scores : float (rows, columns)
    bias : float (columns,)
    banned : float (columns,)
        Added to the log-probabilities: -inf for a column that may not come, else 0.

    Both results are (rows, count), in the order of the sums of all three, the largest first; of equal sums, the one in
    the first column comes first.
    """
    values, columns = Likeliest(count)(scores, bias, banned)
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
        jax = importlib.import_module("jax")

        def compute(scores: Any) -> list[Any]:
            count = min(self.count, scores.shape[1])
            if scores.shape[1] < MIN_BLOCKS * BLOCK:
                values, columns = jax.lax.top_k(scores, count)
            else:
                values, columns = top_of_blocks(jax, scores, count)
            return [values, columns.astype(np.int32)]

        return compute


class Likeliest(Op):  # type: ignore[misc]
    """The operation of `likeliest`. Has no gradient."""

    __props__ = ("count",)

    def __init__(self, count: int) -> None:
        self.top = TopScores(count)
        self.count = count

    def make_node(self, scores: Any, bias: Any, banned: Any) -> Apply:
        scores, bias, banned = map(T.as_tensor_variable, (scores, bias, banned))
        if not scores.dtype == bias.dtype == banned.dtype:
            raise TypeError(f"scores, bias and banned must be of one dtype, got {scores.type}, {bias.type} and "
                            f"{banned.type}")  # fmt: skip
        return Apply(self, [scores, bias, banned], [scores.type.clone(shape=(None, None))(), T.imatrix()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        scores, bias, banned = inputs
        logits = scores + bias
        highest = logits.max(axis=1, keepdims=True)
        normalizer = np.log(np.exp(logits - highest).sum(axis=1, keepdims=True)) + highest
        self.top.perform(node, [logits + banned], outputs)
        outputs[0][0] = outputs[0][0] - normalizer

    def infer_shape(self, fgraph: Any, node: Apply, shapes: list[Any]) -> list[Any]:
        found: list[Any] = self.top.infer_shape(fgraph, node, shapes[:1])
        return found

    def as_jax(self, node: Apply) -> Any:
        jax, top = importlib.import_module("jax"), self.top.as_jax(node)

        def compute(scores: Any, bias: Any, banned: Any) -> list[Any]:
            logits = scores + bias
            values, columns = top(logits + banned)
            return [values - jax.nn.logsumexp(logits, axis=1, keepdims=True), columns]

        return compute

    def as_kernel(self, node: Apply) -> Any:
        run, otherwise = importlib.import_module("theano_rnn.engine.likeliest").run_likeliest, self.as_jax(node)
        return lambda *arrays: run(*arrays, self.count) or otherwise(*arrays)


def top_of_blocks(jax: Any, scores: Any, count: int) -> tuple[Any, Any]:
    """Returns the same as `jax.lax.top_k`, which sorts: here, it sorts only the blocks with the largest maxima.

    The `count` largest scores are in the `count` blocks with the largest maxima: each of these blocks has a score that
    is larger than all scores of any other block, or as large and further left.
    """
    rows, columns = scores.shape
    num_blocks = -(-columns // BLOCK)
    padding = ((0, 0), (0, num_blocks * BLOCK - columns))
    blocks = jax.numpy.pad(scores, padding, constant_values=-np.inf).reshape(rows, num_blocks, BLOCK)
    best = jax.numpy.sort(jax.lax.top_k(blocks.max(axis=2), min(count, num_blocks))[1], axis=1)
    candidates = jax.numpy.take_along_axis(blocks, best[:, :, None], axis=1).reshape(rows, -1)
    values, places = jax.lax.top_k(candidates, count)
    return values, jax.numpy.take_along_axis(best, places // BLOCK, axis=1) * BLOCK + places % BLOCK
