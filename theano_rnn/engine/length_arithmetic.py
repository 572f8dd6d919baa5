"""Length arithmetic in plain Python: each fused expression of lengths and indices becomes a Python function of ints.

Aesara's own Python implementation creates an array for every intermediate number, which took most of a small model's
step. In C, each expression is a module of its own that must be compiled first (../BENCHMARKS.md has the measurements).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from aesara.graph.basic import Apply, Constant
from aesara.scalar import basic as scalar
from aesara.tensor.elemwise import Elemwise

INTEGER_DTYPES = ("bool", "int8", "int16", "int32", "int64")
PYTHON_EXPRESSIONS: dict[type[scalar.ScalarOp], Callable[..., str]] = {
    scalar.Add: lambda *numbers: " + ".join(numbers),
    scalar.Mul: lambda *numbers: " * ".join(numbers),
    scalar.Sub: "{} - {}".format,
    scalar.Neg: "-{}".format,
    scalar.Abs: "abs({})".format,
    scalar.FloorDivide: "{0} // {1} if {1} else 0".format,  # the branch that a Switch does not take may divide by 0
    scalar.ScalarMinimum: "min({}, {})".format,
    scalar.ScalarMaximum: "max({}, {})".format,
    scalar.LT: "{} < {}".format,
    scalar.GT: "{} > {}".format,
    scalar.LE: "{} <= {}".format,
    scalar.GE: "{} >= {}".format,
    scalar.EQ: "{} == {}".format,
    scalar.NEQ: "{} != {}".format,
    scalar.AND: "{} & {}".format,
    scalar.OR: "{} | {}".format,
    scalar.Invert: "not {0} if isinstance({0}, bool) else ~{0}".format,
    scalar.Switch: "{1} if {0} else {2}".format,
    scalar.Identity: "{}".format,
}


def make_perform(node: Apply) -> Callable[[Apply, list[Any], list[Any]], None] | None:
    """Returns a replacement for ``Op.perform`` that computes the one integer that `node` returns.

    None if the node's operation has no entry in `PYTHON_EXPRESSIONS` or is not on integers.
    """
    op = node.op.scalar_op if isinstance(node.op, Elemwise) else node.op
    if not (isinstance(op, scalar.ScalarOp) and len(node.outputs) == 1 and is_integer_scalar(node)):
        return None
    names = [f"given{i}" for i in range(len(node.inputs))]
    lines: list[str] = []
    result = write_op(op, names, lines)
    if result is None:
        return None
    dtype = np.dtype(node.outputs[0].type.dtype)
    to_storage = functools.partial(np.array, dtype=dtype) if isinstance(node.op, Elemwise) else dtype.type
    function = build_function(names, lines, result)

    def perform(node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        outputs[0][0] = to_storage(function(*[number.item() for number in inputs]))

    return perform


def is_integer_scalar(node: Apply) -> bool:
    """Returns whether all inputs and outputs of a node are integer or boolean scalars."""
    types = [variable.type for variable in (*node.inputs, *node.outputs)]
    return all(getattr(type, "ndim", 0) == 0 and type.dtype in INTEGER_DTYPES for type in types)


def write_op(op: Any, operands: list[str], lines: list[str]) -> str | None:
    """Append Python source that applies `op` to `operands`. Returns the result's name; None if it is unsupported."""
    if isinstance(op, scalar.Composite):
        return write_graph(op.fgraph, operands, lines)
    if isinstance(op, scalar.Cast):
        source = f"bool({operands[0]})" if op.o_type.dtype == "bool" else f"int({operands[0]})"
    elif type(op) in PYTHON_EXPRESSIONS:
        source = PYTHON_EXPRESSIONS[type(op)](*operands)
    else:
        return None
    lines.append(f"number{len(lines)} = {source}")
    return f"number{len(lines) - 1}"


def write_graph(graph: Any, operands: list[str], lines: list[str]) -> str | None:
    """Append Python source for a graph of several operations. Returns the result's name, or None as `write_op` does."""
    names: dict[Any, str] = dict(zip(graph.inputs, operands))
    for node in graph.toposort():
        names.update({v: str(np.asarray(v.data).item()) for v in node.inputs if isinstance(v, Constant)})
        result = write_op(node.op, [f"({names[v]})" for v in node.inputs], lines) if is_integer_scalar(node) else None
        if result is None:
            return None
        names[node.outputs[0]] = result
    return names[graph.outputs[0]]


def build_function(names: list[str], lines: list[str], result: str) -> Callable[..., int]:
    """Returns a function with parameters `names` that executes `lines` and returns `result`."""
    body = "\n    ".join([*lines, f"return {result}"])
    namespace: dict[str, Any] = {}
    exec(f"def function({', '.join(names)}):\n    {body}", namespace)
    function: Callable[..., int] = namespace["function"]
    return function
