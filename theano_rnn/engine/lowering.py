"""Lowering: turn an Aesara graph into a function of JAX arrays.

JAX traces the function with arrays whose shapes are known. Whatever depends on shapes alone, such as lengths, slices
and ranges, is computed by NumPy while tracing, with the operation's own Python implementation. Everything else is
computed by the operation's conversion to JAX: its method ``as_jax(node)``, `lower_scan`, or the entry for its class in
`conversions`. An operation that a kernel computes on a CPU has a method ``as_kernel(node)``, too.
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
from theano_rnn.engine.lowered_scan import lower_scan
from theano_rnn.engine.reversal import materialize
from theano_rnn.engine.squares import find_sum_of_squares

REVERSED_AWARE = (DimShuffle, Elemwise, Scan, Shape, Shape_i, subtensor.Subtensor)
MAX_CONSTANT_SIZE = 64  # elements; XLA computes larger arrays that depend on shapes alone


def lower_graph(graph: Any, scans: dict[str, Any] | None = None, has_kernels: bool = False) -> Function:
    """Returns a function that takes the graph's inputs and returns a list of its outputs.

    The inner graphs of scans are stored in `scans`, by name. If it `has_kernels`, scans that a kernel of `windows`
    computes are calls of it, and so are operations with a kernel.

    Raises
    ------
    UserError
        An operation has no conversion.
    """
    scans = {} if scans is None else scans
    steps = [(node, lower_node(node, graph, scans, has_kernels)) for node in graph.toposort()]
    constants = {v: v.data for node in graph.apply_nodes for v in node.inputs if isinstance(v, Constant)}
    constants |= {v: v.data for v in graph.outputs if isinstance(v, Constant)}

    def function(*arguments: Any) -> list[Any]:
        values = constants | dict(zip(graph.inputs, arguments))
        for node, compute in steps:
            arrays = [values[variable] for variable in node.inputs]
            if not isinstance(node.op, REVERSED_AWARE):
                arrays = list(map(materialize, arrays))
            results = compute_in_python(node, arrays) if is_shape_arithmetic(node, arrays) else compute(*arrays)
            if len(node.outputs) == 1 and not isinstance(results, (list, tuple)):
                results = [results]
            values.update(zip(node.outputs, results))
        return [jnp.asarray(materialize(values[variable])) for variable in graph.outputs]

    return function


def is_shape_arithmetic(node: Apply, arrays: Sequence[Any]) -> bool:
    """Returns whether a node's results are computed while tracing: all its inputs are concrete and small."""
    if hasattr(node.op, "as_jax") or isinstance(node.op, (Scan, IfElse, basic.Alloc, basic.AllocEmpty)):
        return False
    if not all(map(is_concrete, arrays)):
        return False
    return all(np.size(array) <= MAX_CONSTANT_SIZE for array in arrays if array is not None)


def compute_in_python(node: Apply, arrays: Sequence[Any]) -> list[Any]:
    """Returns a node's results, computed by its own Python implementation."""
    if isinstance(node.op, Elemwise):
        node.op.prepare_node(node, None, None, "py")
    values = [v.type.filter(np.asarray(a), allow_downcast=True) if hasattr(v.type, "ndim") and v.type.ndim else
              v.type.filter(a, allow_downcast=True) if hasattr(v.type, "dtype") else a
              for v, a in zip(node.inputs, arrays)]  # fmt: skip
    storage: list[list[Any]] = [[None] for _ in node.outputs]
    params = [node.run_params()] if getattr(node.op, "params_type", None) is not None else []
    node.op.perform(node, values, storage, *params)
    return [cell[0] for cell in storage]


def lower_node(node: Apply, graph: Any, scans: dict[str, Any], has_kernels: bool) -> Function:
    """Returns the function of JAX arrays that computes `node`."""
    if hasattr(node.op, "as_jax"):
        own: Function = (node.op.as_kernel if has_kernels and hasattr(node.op, "as_kernel") else node.op.as_jax)(node)
        return own
    if isinstance(node.op, Scan):
        return lower_scan(node, graph, scans, lower_graph, has_kernels)
    return (find_sum_of_squares(node) if has_kernels else None) or convert(node.op, node)
