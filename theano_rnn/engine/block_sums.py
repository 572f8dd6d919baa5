"""Sums of gradients of blocks of rows: one concatenation in place of an addition to a large array for each block.

If an output layer reads its matrix in blocks, and words are looked up in the same matrix, Aesara computes the gradient
as zeros, to which it adds the looked-up rows and then each block. Each addition reads and writes an array as large as
the matrix. Here, the blocks are put together first, and the looked-up rows are added to the result.
"""

from __future__ import annotations

import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np
from aesara.graph.basic import Apply, Constant
from aesara.graph.op import Op
from aesara.tensor.basic import Alloc
from aesara.tensor.subtensor import AdvancedIncSubtensor, AdvancedIncSubtensor1, IncSubtensor

LOOKUPS = (AdvancedIncSubtensor, AdvancedIncSubtensor1)


class BlockSum(Op):  # type: ignore[misc]
    """The operation (zeros, blocks..., then rows and ids in turn) -> sum; zeros tell its shape.

    Parameters
    ----------
    bounds : tuple of (int, int)
        First row of each block, and the one after its last; in increasing order, without overlaps.
    """

    __props__ = ("bounds",)

    def __init__(self, bounds: tuple[tuple[int, int], ...]) -> None:
        self.bounds = bounds

    def make_node(self, zeros: Any, *others: Any) -> Apply:
        return Apply(self, [zeros, *others], [zeros.type()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        raise NotImplementedError("only engine jax has this operation")

    def as_jax(self, node: Apply) -> Any:
        def compute(zeros: Any, *others: Any) -> Any:
            blocks, rows = others[: len(self.bounds)], others[len(self.bounds) :]
            parts, end, (num_rows, *columns) = [], 0, zeros.shape
            for bounds, block in zip(self.bounds, blocks):
                start, stop = (min(bound, num_rows) for bound in bounds)
                parts.append(jnp.zeros((start - end, *columns), zeros.dtype))
                parts.append(jnp.broadcast_to(block, (stop - start, *columns)))
                end = stop
            parts.append(jnp.zeros((num_rows - end, *columns), zeros.dtype))
            found = jnp.concatenate([jnp.asarray(part, zeros.dtype) for part in parts if part.shape[0]])
            for y, ids in zip(rows[::2], rows[1::2]):
                found = found.at[ids].add(y)
            return found

        return compute


def join_blocks(graph: Any) -> None:
    """Replace additions of blocks of rows to zeros in a `FunctionGraph`, unless something reads the sums between."""
    for node in reversed(graph.toposort()):
        if node in graph.apply_nodes and isinstance(node.op, (IncSubtensor, *LOOKUPS)):
            found = parts_of(graph, node)
            if found is not None:
                zeros, blocks, rows = found
                bounds = tuple(block[:2] for block in blocks)
                total = BlockSum(bounds)(zeros, *(block[2] for block in blocks), *rows)
                graph.replace(node.outputs[0], total, import_missing=True, reason="join_blocks")


def parts_of(graph: Any, node: Apply) -> tuple[Any, list[Any], list[Any]] | None:
    """Returns what a chain of additions that ends with `node` consists of; None if it is something else.

    That is the zeros; (first row, end, block) for each block, in order; and rows and ids of each lookup in turn.
    """
    blocks: list[tuple[int, int, Any]] = []
    rows: list[Any] = []
    total = node.outputs[0]
    while total.owner is not None and not isinstance(total.owner.op, Alloc):
        if total is not node.outputs[0] and len(graph.clients[total]) > 1:
            return None
        op, inputs = total.owner.op, total.owner.inputs
        if isinstance(op, LOOKUPS) and not op.set_instead_of_inc and has_row_numbers(inputs[2:]):
            rows = [inputs[1], inputs[2], *rows]
        elif isinstance(op, IncSubtensor) and not op.set_instead_of_inc and (bounds := bounds_of(op, inputs[2:])):
            blocks.append((*bounds, inputs[1]))
        else:
            return None
        if inputs[1].type.ndim != total.type.ndim or inputs[1].type.dtype != total.type.dtype:
            return None
        total = inputs[0]
    blocks.sort(key=lambda block: block[0])
    overlap = any(before[1] > after[0] for before, after in itertools.pairwise(blocks))
    if total.owner is None or not is_zero(total.owner.inputs[0]) or overlap:
        return None
    if not blocks or (len(blocks) == 1 and not rows):  # nothing to put together
        return None
    return total, blocks, rows


def bounds_of(op: Any, arrays: list[Any]) -> tuple[int, int] | None:
    """Returns the first row and the one after the last, if the operation adds to a block of rows with known bounds."""
    if len(op.idx_list) != 1 or not isinstance(op.idx_list[0], slice) or op.idx_list[0].step is not None:
        return None
    values = iter(arrays)
    ends = [next(values) if end is not None else None for end in (op.idx_list[0].start, op.idx_list[0].stop)]
    if ends[1] is None or not all(end is None or isinstance(end, Constant) for end in ends):
        return None
    start, stop = (0 if end is None else int(end.data) for end in ends)
    return (start, stop) if 0 <= start < stop else None


def has_row_numbers(arrays: list[Any]) -> bool:
    """Returns whether the index of a lookup is a vector of row numbers."""
    return len(arrays) == 1 and arrays[0].type.ndim == 1 and arrays[0].type.dtype.startswith("int")


def is_zero(value: Any) -> bool:
    return isinstance(value, Constant) and not np.any(value.data)
