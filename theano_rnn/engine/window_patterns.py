"""Recognize the scan of an LSTM or a GRU, and that of its gradient, by the equations of one step.

`nn.unrolling.unroll` makes scans of any cell, and ``T.grad`` makes scans of their gradients. What such a scan computes
is the graph of one step. `find_window` compares it with the equations below, operation by operation. The order of
terms and factors does not matter; everything else must be equal, so a cell whose step differs in any way is not
recognized. Where the equations match, a name in them stands for the same input of the scan everywhere.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import aesara.tensor as T
import numpy as np
from aesara.graph.basic import Constant
from aesara.scalar.basic import Add, Mul
from aesara.tensor.basic import Split
from aesara.tensor.elemwise import DimShuffle, Elemwise

Bindings = dict[Any, Any]  # what variables of the equations stand for


class Equations(NamedTuple):
    """One step of a scan.

    kind
        The kernel that computes it.
    inputs
        The names of the equations: ``{"mask": variable, ...}``.
    fixed
        The names of what the previous step left, and with a gradient of a state also what is added to it.
    results
        The new values, in the order of the scan's states.
    stored
        What a step may store for the caller, by name.
    sizes
        How the columns of an array are split, in hidden sizes: ``[(variable, (1, 1, 1)), ...]``.
    """

    kind: str
    inputs: dict[str, Any]
    fixed: list[str]
    results: list[Any]
    stored: dict[str, Any]
    sizes: list[tuple[Any, tuple[int, ...]]]


class Found(NamedTuple):
    """A recognized scan.

    places
        Where the names of the equations are among the inputs of one step, as ``("sequence", 2)``.
    stored
        For each output of the scan that is no state, what it is; None if it was not looked for.
    hidden_size
        As the graph's constants say.
    """

    kind: str
    places: dict[str, tuple[str, int]]
    stored: list[str | None]
    hidden_size: int


def names(**ndims: int) -> dict[str, Any]:
    """Returns a float32 variable for each name, with that many dimensions."""
    return {name: T.TensorType("float32", (None,) * ndim)(name) for name, ndim in ndims.items()}


def split(x: Any, *sizes: int) -> tuple[list[Any], tuple[Any, tuple[int, ...]]]:
    """Returns blocks of columns, whose `sizes` are multiples of a hidden size still to be found, and that condition."""
    widths = T.lvector()
    return T.split(x, widths, len(sizes), axis=1), (widths, sizes)


@functools.cache
def lstm_forward() -> Equations:
    """The step of `nn.cells.LSTMCell`."""
    v = names(mask=1, projected=2, h=2, c=2, W=2)
    (gates, candidate), first = split(v["projected"] + T.dot(v["h"], v["W"]), 3, 1)
    gates, g = T.sigmoid(gates), T.tanh(candidate)
    (i, f, o), second = split(gates, 1, 1, 1)
    c = f * v["c"] + i * g
    tanh_c = T.tanh(c)
    out = o * tanh_c
    is_real = v["mask"].dimshuffle(0, "x")
    results = [T.switch(is_real, out, v["h"]), T.switch(is_real, c, v["c"])]
    stored = {"out": out, "tanh_c": tanh_c, "gates": gates, "g": g}
    return Equations("lstm_forward", v, ["h", "c"], results, stored, [first, second])


@functools.cache
def lstm_backward(has_d_out: bool) -> Equations:
    """The gradient of that step: d_x stands for d loss / d x; d_h and d_c arrive from the step after it.

    If the loss does not depend on the output itself (not `has_d_out`), Aesara applies the mask to the products.
    """
    v = names(mask=1, c_tm1=2, tanh_c=2, gates=2, g=2, d_out=2, d_h=2, d_c=2, add_h=2, add_c=2, W_transposed=2)
    (i, f, o), first = split(v["gates"], 1, 1, 1)
    is_real, early, late = masking(v["mask"], has_d_out)
    d_out = early(v["d_h"]) + v["d_out"] if has_d_out else v["d_h"]
    d_c = d_out * o * (1 - T.square(v["tanh_c"])) + early(v["d_c"])
    d_gates = T.join(1, late(d_c * v["g"]), late(d_c * v["c_tm1"]), late(d_out * v["tanh_c"]))
    d_gates = d_gates * v["gates"] * (1 - v["gates"])
    d_projected = T.join(1, d_gates, late(d_c * i * (1 - T.square(v["g"]))))
    d_h_tm1 = T.dot(d_projected, v["W_transposed"]) + T.switch(is_real, 0, v["d_h"]) + v["add_h"]
    d_c_tm1 = late(d_c * f) + T.switch(is_real, 0, v["d_c"]) + v["add_c"]
    fixed = ["d_h", "add_h", "d_c", "add_c"]
    return Equations("lstm_backward", v, fixed, [d_h_tm1, d_c_tm1], {"d_projected": d_projected}, [first])


def masking(mask: Any, is_early: bool) -> tuple[Any, Any, Any]:
    """Returns which steps are real, and two functions: one sets the others to zero, one changes nothing."""
    is_real = mask.dimshuffle(0, "x")

    def apply(x: Any) -> Any:
        return T.switch(is_real, x, 0)

    def keep(x: Any) -> Any:
        return x

    return (is_real, apply, keep) if is_early else (is_real, keep, apply)


@functools.cache
def gru_forward() -> Equations:
    """The step of `nn.cells.GRUCell`."""
    v = names(mask=1, projected=2, h=2, W=2, bias=2)
    product = T.dot(v["h"], v["W"])
    (x_rz, x_n), first = split(v["projected"], 2, 1)
    (h_rz, h_n), second = split(product, 2, 1)
    gates = T.sigmoid(x_rz + h_rz)
    (r, z), third = split(gates, 1, 1)
    n = T.tanh(x_n + r * (h_n + v["bias"]))
    out = (1 - z) * n + z * v["h"]
    results = [T.switch(v["mask"].dimshuffle(0, "x"), out, v["h"])]
    stored = {"out": out, "n": n, "gates": gates, "product": product}
    return Equations("gru_forward", v, ["h"], results, stored, [first, second, third])


@functools.cache
def gru_backward(has_d_out: bool) -> Equations:
    """The gradient of that step."""
    v = names(mask=1, h_tm1=2, n=2, gates=2, product=2, d_out=2, d_h=2, add_h=2, d_bias=1, W_transposed=2, bias=2)
    (r, z), first = split(v["gates"], 1, 1)
    (_, h_n), second = split(v["product"], 2, 1)
    is_real, early, late = masking(v["mask"], has_d_out)
    d_out = early(v["d_h"]) + v["d_out"] if has_d_out else v["d_h"]
    d_n = d_out * (1 - z) * (1 - T.square(v["n"]))
    d_gates = T.join(1, late(d_n * (h_n + v["bias"])), late(-1 * d_out * v["n"] + d_out * v["h_tm1"]))
    d_gates = d_gates * v["gates"] * (1 - v["gates"])
    d_product = T.join(1, d_gates, late(d_n * r))
    d_h_tm1 = T.dot(d_product, v["W_transposed"]) + late(d_out * z) + T.switch(is_real, 0, v["d_h"]) + v["add_h"]
    stored = {"d_projected": T.join(1, d_gates, late(d_n)), "d_product": d_product}
    results = [d_h_tm1, v["d_bias"] + T.sum(late(d_n * r), axis=0)]
    return Equations("gru_backward", v, ["d_h", "add_h", "d_bias"], results, stored, [first, second])


FORWARD = (lstm_forward, gru_forward)
BACKWARD = (lstm_backward, gru_backward)


def find_window(op: Any, graph: Any) -> Found | None:
    """Returns which kernel computes a scan and from which inputs, or None if it is another scan.

    Parameters
    ----------
    op
        Aesara's Scan.
    graph
        The graph of one step, after the engine's rewrites.
    """
    info = op.info
    num_splits = sum(isinstance(node.op, Split) for node in graph.apply_nodes)
    if not num_splits or info.n_mit_sot or info.n_shared_outs or info.as_while:
        return None
    groups = {
        "sequence": op.inner_seqs(graph.inputs),
        "state": [*op.inner_mitmot(graph.inputs), *op.inner_sitsot(graph.inputs)],
        "fixed": op.inner_non_seqs(graph.inputs),
    }
    where = {variable: (kind, i) for kind, group in groups.items() for i, variable in enumerate(group)}
    new = [*op.inner_mitmot_outs(graph.outputs), *op.inner_sitsot_outs(graph.outputs)]
    if info.n_mit_mot:
        if set(info.mit_mot_in_slices) != {(0, 1)} or set(info.mit_mot_out_slices) != {(1,)}:
            return None
        candidates = [make(has_d_out) for make in BACKWARD for has_d_out in (True, False)]
    else:
        candidates = [make() for make in FORWARD]
    for equations in candidates:
        counts = len(equations.fixed), len(equations.results), len(equations.sizes)
        if counts == (len(groups["state"]), len(new), num_splits):
            found = compare(equations, groups["state"], new, op.inner_nitsot_outs(graph.outputs), where)
            if found is not None:
                return found
    return None


def compare(
    equations: Equations, state: Sequence[Any], new: Sequence[Any], others: Sequence[Any], where: Mapping[Any, Any]
) -> Found | None:
    """Returns the scan as `Found` if its new states are those of the equations, else None."""
    given = {equations.inputs[name]: v for name, v in zip(equations.fixed, state)}
    bindings = first_match(list(zip(equations.results, new)), given)
    if bindings is None:
        return None
    stored: list[str | None] = []
    for other in others:
        found = (n for n, v in equations.stored.items() if first_match([(v, other)], bindings) is not None)
        stored.append(next(found, None))
    sizes = [(bindings[v], shares) for v, shares in equations.sizes]
    widths = [(np.asarray(v.data), shares) for v, shares in sizes if isinstance(v, Constant)]
    hidden_sizes = {int(data[0]) // shares[0] for data, shares in widths}
    if len(widths) < len(sizes) or len(hidden_sizes) != 1:
        return None
    (size,) = hidden_sizes
    if any(list(data) != [size * share for share in shares] for data, shares in widths):
        return None
    bound = {name: bindings[v] for name, v in equations.inputs.items() if v in bindings}
    if any(v not in where or v.dtype != "float32" for v in bound.values()):
        return None
    return Found(equations.kind, {name: where[v] for name, v in bound.items()}, stored, size)


def first_match(pairs: list[tuple[Any, Any]], bindings: Bindings) -> Bindings | None:
    """Returns `bindings`, with more variables bound, under which the two graphs of each pair are equal; else None."""
    return next(matches(pairs, bindings), None)


def matches(pairs: Sequence[tuple[Any, Any]], bindings: Bindings) -> Iterator[Bindings]:
    """Yields each way to bind variables so that the graphs of all pairs, a pattern and another, are equal."""
    if not pairs:
        yield bindings
        return
    (pattern, other), *rest = pairs
    if pattern in bindings:
        if bindings[pattern] is other:
            yield from matches(rest, bindings)
        return
    number = scalar_value(pattern)
    if number is not None or isinstance(pattern, Constant):
        if number is not None and scalar_value(other) == number:
            yield from matches(rest, bindings)
        return
    if pattern.owner is None:
        if other.owner is None and pattern.ndim == other.ndim:
            yield from matches(rest, bindings | {pattern: other})
        return
    if other.owner is None or not is_same_op(pattern.owner, other.owner):
        return
    if pattern.owner.outputs.index(pattern) != other.owner.outputs.index(other):
        return
    ours, theirs = operands(pattern), operands(other)
    if len(ours) != len(theirs):
        return
    orders: Any = itertools.permutations(theirs) if is_commutative(pattern.owner.op) else [theirs]
    bound = bindings | {pattern: other}
    for order in orders:
        yield from matches([*zip(ours, order), *rest], bound)


def scalar_value(variable: Any) -> float | None:
    """Returns the number that a constant of one element is, whatever its dimensions; None for other variables."""
    while variable.owner is not None and isinstance(variable.owner.op, DimShuffle):
        variable = variable.owner.inputs[0]
    if isinstance(variable, Constant) and np.size(variable.data) == 1:
        return float(np.reshape(variable.data, ()))
    return None


def is_same_op(ours: Any, theirs: Any) -> bool:
    """Returns whether two nodes compute the same function; whether one works in place does not matter."""
    if isinstance(ours.op, Elemwise) and isinstance(theirs.op, Elemwise):
        return type(ours.op.scalar_op) is type(theirs.op.scalar_op)
    if isinstance(ours.op, DimShuffle) and isinstance(theirs.op, DimShuffle):
        return tuple(ours.op.new_order) == tuple(theirs.op.new_order)
    return bool(ours.op == theirs.op)


def is_commutative(op: Any) -> bool:
    """Returns whether an operation is a sum or a product, elementwise."""
    return isinstance(op, Elemwise) and isinstance(op.scalar_op, (Add, Mul))


def operands(variable: Any) -> list[Any]:
    """Returns a node's inputs; those of a sum or product include the terms or factors of its inputs."""
    op = variable.owner.op
    if not is_commutative(op):
        return list(variable.owner.inputs)
    found: list[Any] = []
    for v in variable.owner.inputs:
        nested = v.owner is not None and is_commutative(v.owner.op) and is_same_op(variable.owner, v.owner)
        found += operands(v) if nested else [v]
    return found
