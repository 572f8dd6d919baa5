"""Arithmetic with lengths and indices in plain Python: each fused expression a function of Python's own numbers.

Aesara's own Python implementation makes an array of every number on the way, which was most of a small model's step;
in C each expression is a module of its own, to be compiled first (measured: ../BENCHMARKS.md).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from aesara.graph.basic import Apply, Constant
from aesara.scalar import basic as scalar
from aesara.tensor.elemwise import Elemwise

WHOLE = ("bool", "int8", "int16", "int32", "int64")
SOURCES: dict[type[scalar.ScalarOp], Callable[..., str]] = {
    scalar.Add: lambda *numbers: " + ".join(numbers),
    scalar.Mul: lambda *numbers: " * ".join(numbers),
    scalar.Sub: "{} - {}".format,
    scalar.Neg: "-{}".format,
    scalar.Abs: "abs({})".format,
    scalar.FloorDivide: "{0} // {1} if {1} else 0".format,  # it may be for the branch that a Switch does not take
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
    scalar.Switch: "{1} if {0} else {2}".format,
    scalar.Identity: "{}".format,
}


def python_perform(node: Apply) -> Callable[[Apply, list[Any], list[Any]], None] | None:
    """What computes the one number that `node` gives, in place of `Op.perform`; None where it is not known how."""
    op = node.op.scalar_op if isinstance(node.op, Elemwise) else node.op
    if not (isinstance(op, scalar.ScalarOp) and len(node.outputs) == 1 and is_whole(node)):
        return None
    names = [f"given{i}" for i in range(len(node.inputs))]
    lines: list[str] = []
    result = write(op, names, lines)
    if result is None:
        return None
    dtype = np.dtype(node.outputs[0].type.dtype)
    as_stored = functools.partial(np.array, dtype=dtype) if isinstance(node.op, Elemwise) else dtype.type
    function = function_of(names, lines, result)

    def perform(node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        outputs[0][0] = as_stored(function(*[number.item() for number in inputs]))

    return perform


def is_whole(node: Apply) -> bool:
    """Whether an operation reads and gives single numbers only, whole ones or truth values."""
    types = [variable.type for variable in (*node.inputs, *node.outputs)]
    return all(getattr(type, "ndim", 0) == 0 and type.dtype in WHOLE for type in types)


def write(op: Any, operands: list[str], lines: list[str]) -> str | None:
    """Add to `lines` what `op` does with `operands`; the name of the result, None where it is not known how."""
    if isinstance(op, scalar.Composite):
        return write_expression(op.fgraph, operands, lines)
    if isinstance(op, scalar.Cast):
        source = f"bool({operands[0]})" if op.o_type.dtype == "bool" else f"int({operands[0]})"
    elif type(op) in SOURCES:
        source = SOURCES[type(op)](*operands)
    else:
        return None
    lines.append(f"number{len(lines)} = {source}")
    return f"number{len(lines) - 1}"


def write_expression(graph: Any, operands: list[str], lines: list[str]) -> str | None:
    """The same for a graph of several operations."""
    names: dict[Any, str] = dict(zip(graph.inputs, operands))
    for node in graph.toposort():
        names.update({v: str(np.asarray(v.data).item()) for v in node.inputs if isinstance(v, Constant)})
        result = write(node.op, [f"({names[v]})" for v in node.inputs], lines) if is_whole(node) else None
        if result is None:
            return None
        names[node.outputs[0]] = result
    return names[graph.outputs[0]]


def function_of(names: list[str], lines: list[str], result: str) -> Callable[..., int]:
    """A function of the `names` that executes the `lines` and returns the `result`."""
    body = "\n    ".join([*lines, f"return {result}"])
    namespace: dict[str, Any] = {}
    exec(f"def function({', '.join(names)}):\n    {body}", namespace)
    function: Callable[..., int] = namespace["function"]
    return function
