"""Lowering: an Aesara graph becomes a function of JAX arrays.

JAX traces the function with arrays whose shapes are known. So whatever depends on shapes alone, such as lengths, slices
and ranges, is computed by NumPy while tracing, by the operation's own Python implementation; everything else by the
operation's conversion: its own method ``as_jax(node)``, `lowered_scan`, or the entry of `conversions` for its class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from aesara.graph.basic import Apply, Constant
from aesara.ifelse import IfElse
from aesara.scan.op import Scan
from aesara.tensor import basic, subtensor
from aesara.tensor.elemwise import DimShuffle, Elemwise
from aesara.tensor.shape import Shape, Shape_i

from theano_rnn.engine.conversions import Function, convert
from theano_rnn.engine.known_values import is_concrete
from theano_rnn.engine.lowered_scan import lowered_scan
from theano_rnn.engine.reversal import made

UNDERSTAND_REVERSED = (DimShuffle, Elemwise, Scan, Shape, Shape_i, subtensor.Subtensor)


BIG = 64  # numbers; arrays that depend on shapes alone and are larger are made by XLA, not kept as constants


def lowered(graph: Any, scans: dict[str, Any] | None = None) -> Function:
    """A function of the graph's inputs that returns a list of its outputs; `scans` receives inner graphs by name.

    Raises
    ------
    UserError
        An operation has no conversion.
    """
    scans = {} if scans is None else scans
    steps = [(node, converted(node, graph, scans)) for node in graph.toposort()]
    constants = {v: v.data for node in graph.apply_nodes for v in node.inputs if isinstance(v, Constant)}
    constants |= {v: v.data for v in graph.outputs if isinstance(v, Constant)}

    def function(*arguments: Any) -> list[Any]:
        values = constants | dict(zip(graph.inputs, arguments))
        for node, compute in steps:
            arrays = [values[variable] for variable in node.inputs]
            if not isinstance(node.op, UNDERSTAND_REVERSED):
                arrays = list(map(made, arrays))
            results = concretely(node, arrays) if is_shape_arithmetic(node, arrays) else compute(*arrays)
            if len(node.outputs) == 1 and not isinstance(results, (list, tuple)):
                results = [results]
            values.update(zip(node.outputs, results))
        return [jnp.asarray(made(values[variable])) for variable in graph.outputs]

    return function


def is_shape_arithmetic(node: Apply, arrays: Sequence[Any]) -> bool:
    """Whether a node can be computed at once, and is worth it."""
    if hasattr(node.op, "as_jax") or isinstance(node.op, (Scan, IfElse, basic.Alloc, basic.AllocEmpty)):
        return False
    if not all(map(is_concrete, arrays)):
        return False
    return all(np.size(array) <= BIG for array in arrays if array is not None)


def concretely(node: Apply, arrays: Sequence[Any]) -> list[Any]:
    """A node's results by its own Python implementation."""
    if isinstance(node.op, Elemwise):
        node.op.prepare_node(node, None, None, "py")
    values = [v.type.filter(np.asarray(a), allow_downcast=True) if hasattr(v.type, "ndim") and v.type.ndim else
              v.type.filter(a, allow_downcast=True) if hasattr(v.type, "dtype") else a
              for v, a in zip(node.inputs, arrays)]  # fmt: skip
    storage: list[list[Any]] = [[None] for _ in node.outputs]
    params = [node.run_params()] if getattr(node.op, "params_type", None) is not None else []
    node.op.perform(node, values, storage, *params)
    return [cell[0] for cell in storage]


def converted(node: Apply, graph: Any, scans: dict[str, Any]) -> Function:
    """The function of arrays that computes `node`."""
    if hasattr(node.op, "as_jax"):
        own: Function = node.op.as_jax(node)
        return own
    if isinstance(node.op, Scan):
        return lowered_scan(node, graph, scans, lowered)
    return convert(node.op, node)
