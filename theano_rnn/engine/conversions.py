"""Conversions of Aesara's operations: functions of JAX arrays that compute the same results.

`convert(op, node)` finds the conversion for the class of `op`. Any operation can provide its own conversion as a method
``as_jax(node)`` that returns a function of arrays; `lowering` tries that first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from aesara.compile.ops import DeepCopyOp, OutputGuard, ViewOp
from aesara.graph.basic import Apply, Constant
from aesara.graph.fg import FunctionGraph
from aesara.ifelse import IfElse
from aesara.raise_op import CheckAndRaise
from aesara.scalar import basic as scalar
from aesara.scalar.math import Log1mexp, Psi, Sigmoid, Softplus, TriGamma
from aesara.tensor import basic, blas, math, special, subtensor
from aesara.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from aesara.tensor.extra_ops import BroadcastTo, CumOp
from aesara.tensor.shape import Reshape, Shape, Shape_i, SpecifyShape, Unbroadcast

from theano_rnn.engine.known_values import concrete_int, concrete_ints, is_concrete
from theano_rnn.engine.precision import dot, multiply
from theano_rnn.engine.reversal import Reversed, apply_elementwise, getitem, materialize
from theano_rnn.settings.base import UserError

Function = Callable[..., Any]
MIN_COLUMNS_PER_ROW = 16  # of a product; with more, it has few rows


@singledispatch
def convert(op: Any, node: Apply) -> Function:
    """Returns the conversion of an operation: a function of JAX arrays."""
    raise UserError(
        f"the XLA engine cannot run {op} ({type(op).__name__}): give the operation a method as_jax(node) that returns "
        "a function of JAX arrays, write the graph without it, or use the C engine (engine c)"
    )


# Elementwise operations: Aesara's scalar operations, applied to arrays


def scalar_function(op: Any) -> Function:
    """Returns the elementwise function of arrays for a scalar operation."""
    if type(op) in SCALARS:
        return SCALARS[type(op)]
    if isinstance(op, scalar.Cast):
        return lambda x: jnp.asarray(x).astype(op.o_type.dtype)
    if isinstance(op, scalar.Composite):
        inner = FunctionGraph(op.inputs, op.outputs, clone=True)
        steps = [(node, scalar_function_for(node.op, node)) for node in inner.toposort()]

        def composite(*arguments: Any) -> Any:
            values = dict(zip(inner.inputs, arguments))
            for node, compute in steps:
                inputs = [v.data if isinstance(v, Constant) else values[v] for v in node.inputs]
                values[node.outputs[0]] = compute(*inputs)
            results = [values[v] for v in inner.outputs]
            return results[0] if len(results) == 1 else results

        return composite
    name = (getattr(op, "nfunc_spec", None) or ("",))[0]
    for module in (jnp, jax.scipy.special):
        if hasattr(module, name.split(".")[-1]):
            function: Function = getattr(module, name.split(".")[-1])
            return function
    raise UserError(
        f"the XLA engine cannot run the scalar operation {op} ({type(op).__name__}): use the C engine (engine c)"
    )


def scalar_function_for(op: Any, node: Apply) -> Function:
    """Returns `scalar_function(op)` with results of the node's dtypes.

    Before a float result is computed, the inputs are converted to its dtype: JAX alone would divide an int32, or add it
    to a float32, in float32, but Aesara specifies float64.
    """
    function, dtypes = scalar_function(op), [v.dtype for v in node.outputs]
    is_float = dtypes[0].startswith("float") and not any(v.dtype.startswith("complex") for v in node.inputs)
    first = 1 if isinstance(op, scalar.Switch) else 0  # do not convert its condition
    converts = is_float and not isinstance(op, scalar.Composite)

    def compute(*numbers: Any) -> Any:
        if converts:
            numbers = (*numbers[:first], *(jnp.asarray(number, dtypes[0]) for number in numbers[first:]))
        results = function(*numbers)
        if len(dtypes) > 1:
            return [jnp.asarray(r).astype(d) for r, d in zip(results, dtypes)]
        return jnp.asarray(results).astype(dtypes[0])

    return compute


def variadic(function: Function) -> Function:
    """Returns a function of any number of arrays that applies a binary `function` from left to right."""

    def fold(*arrays: Any) -> Any:
        result = arrays[0]
        for array in arrays[1:]:
            result = function(result, array)
        return result

    return fold


SCALARS: dict[Any, Function] = {
    scalar.Add: variadic(jnp.add),
    scalar.Mul: variadic(jnp.multiply),
    scalar.ScalarMaximum: variadic(jnp.maximum),
    scalar.ScalarMinimum: variadic(jnp.minimum),
    scalar.AND: variadic(jnp.bitwise_and),
    scalar.OR: variadic(jnp.bitwise_or),
    scalar.XOR: variadic(jnp.bitwise_xor),
    scalar.Identity: lambda x: x,
    scalar.Second: lambda x, y: jnp.broadcast_to(y, jnp.broadcast_shapes(jnp.shape(x), jnp.shape(y))),
    scalar.Switch: jnp.where,
    scalar.Clip: lambda x, low, high: jnp.where(x < low, low, jnp.where(x > high, high, x)),
    scalar.Sqr: jnp.square,
    scalar.Reciprocal: jnp.reciprocal,
    scalar.Invert: jnp.bitwise_not,
    Sigmoid: jax.nn.sigmoid,
    Softplus: jax.nn.softplus,
    Log1mexp: lambda x: jnp.where(x < -np.log(2), jnp.log1p(-jnp.exp(x)), jnp.log(-jnp.expm1(x))),
    Psi: jax.scipy.special.digamma,
    TriGamma: lambda x: jax.scipy.special.polygamma(1, x),
}


@convert.register
def _(op: scalar.ScalarOp, node: Apply) -> Function:
    return scalar_function_for(op, node)


@convert.register
def _(op: Elemwise, node: Apply) -> Function:
    compute = scalar_function_for(op.scalar_op, node)
    return lambda *arrays: apply_elementwise(compute, arrays)


REDUCTIONS: dict[Any, Function] = {
    scalar.Add: jnp.sum,
    scalar.Mul: jnp.prod,
    scalar.ScalarMaximum: jnp.max,
    scalar.ScalarMinimum: jnp.min,
    scalar.AND: jnp.all,
    scalar.OR: jnp.any,
}


@convert.register
def _(op: CAReduce, node: Apply) -> Function:
    if type(op.scalar_op) not in REDUCTIONS:
        raise UserError(f"the XLA engine cannot reduce by {op.scalar_op}: use the C engine (engine c)")
    reduce, axis, dtype = REDUCTIONS[type(op.scalar_op)], op.axis, node.outputs[0].dtype
    # Aesara sums float32 in float64; XLA sums in a tree, so float32 is precise enough and much faster.
    wide = np.promote_types(node.inputs[0].dtype, dtype)
    return lambda x: reduce(jnp.asarray(x, wide), axis=axis).astype(dtype)


# Shapes


@convert.register
def _(op: DimShuffle, node: Apply) -> Function:
    kept_axes = [axis for axis in op.new_order if axis != "x"]
    added = [place for place, axis in enumerate(op.new_order) if axis == "x"]
    dropped = tuple(axis for axis in range(node.inputs[0].ndim) if axis not in kept_axes)
    order = [axis - sum(other < axis for other in dropped) for axis in kept_axes]

    def dimshuffle(x: Any) -> Any:
        x = jnp.squeeze(x, dropped) if dropped else jnp.asarray(x)
        x = jnp.transpose(x, order)
        return jnp.expand_dims(x, added) if added else x

    keeps_time = op.new_order[:1] == (0,)
    return lambda x: (
        Reversed(dimshuffle(x.array)) if keeps_time and isinstance(x, Reversed) else dimshuffle(materialize(x))
    )


@convert.register
def _(op: Shape, node: Apply) -> Function:
    return lambda x: np.asarray(np.shape(x) if is_concrete(x) else x.shape, "int64")


@convert.register
def _(op: Shape_i, node: Apply) -> Function:
    return lambda x: np.asarray((np.shape(x) if is_concrete(x) else x.shape)[op.i], "int64")


@convert.register
def _(op: Reshape, node: Apply) -> Function:
    return lambda x, new: jnp.reshape(x, concrete_ints(new, "a new shape"))


@convert.register
def _(op: CheckAndRaise, node: Apply) -> Function:
    def check(x: Any, *conditions: Any) -> Any:
        if not all(bool(np.all(condition)) for condition in conditions if is_concrete(condition)):
            raise op.exc_type(op.msg)
        return x

    return check


@convert.register
def _(op: SpecifyShape, node: Apply) -> Function:
    def check(x: Any, *sizes: Any) -> Any:
        expected = tuple(size if size is None else concrete_int(size, "a specified shape") for size in sizes)
        if any(size not in (None, actual) for size, actual in zip(expected, jnp.shape(x))):
            raise ValueError(f"expected an array of shape {expected}, got {jnp.shape(x)}")
        return x

    return check


@convert.register(Unbroadcast)
@convert.register(ViewOp)
@convert.register(DeepCopyOp)
@convert.register(OutputGuard)
def _(op: Any, node: Apply) -> Function:
    return lambda x, *_: x


@convert.register(basic.ScalarFromTensor)
@convert.register(basic.TensorFromScalar)
def _(op: Any, node: Apply) -> Function:
    return lambda x: x if is_concrete(x) else jnp.reshape(x, ())


@convert.register
def _(op: basic.MakeVector, node: Apply) -> Function:
    return lambda *numbers: jnp.stack([jnp.asarray(n, op.dtype) for n in numbers]) if numbers else np.zeros(0, op.dtype)


@convert.register
def _(op: basic.ARange, node: Apply) -> Function:
    return lambda *ends: np.arange(*(concrete_int(n, "the ends of a range") for n in ends), dtype=op.dtype)


@convert.register
def _(op: basic.Alloc, node: Apply) -> Function:
    return lambda x, *sizes: jnp.broadcast_to(x, tuple(concrete_int(n, "a new shape") for n in sizes))


@convert.register
def _(op: BroadcastTo, node: Apply) -> Function:
    return lambda x, *sizes: jnp.broadcast_to(x, tuple(concrete_int(n, "a new shape") for n in sizes))


@convert.register
def _(op: basic.AllocEmpty, node: Apply) -> Function:
    return lambda *sizes: jnp.zeros(tuple(concrete_int(n, "a new shape") for n in sizes), op.dtype)


@convert.register
def _(op: basic.Join, node: Apply) -> Function:
    dtype = node.outputs[0].dtype
    return lambda axis, *parts: jnp.concatenate([jnp.asarray(p, dtype) for p in parts], concrete_int(axis, "an axis"))


@convert.register
def _(op: basic.Split, node: Apply) -> Function:
    def split(x: Any, axis: Any, sizes: Any) -> Any:
        ends = np.cumsum(concrete_ints(sizes, "the sizes of a split"))
        return list(jnp.split(x, ends[:-1].tolist(), concrete_int(axis, "an axis")))

    return split


# Indices


def build_index(op: Any, arrays: Sequence[Any]) -> Any:
    """Returns the tuple of indices that the operation applies."""

    def end(value: Any) -> int | None:
        return None if value is None else concrete_int(value, "the ends of a slice")

    found = [
        slice(end(i.start), end(i.stop), end(i.step)) if isinstance(i, slice) else i
        for i in subtensor.indices_from_subtensor(arrays, getattr(op, "idx_list", None))
    ]
    return tuple(None if i is None else i for i in found)


@convert.register(subtensor.Subtensor)
@convert.register(subtensor.AdvancedSubtensor)
@convert.register(subtensor.AdvancedSubtensor1)
def _(op: Any, node: Apply) -> Function:
    def take(x: Any, *arrays: Any) -> Any:
        index = build_index(op, arrays)
        if isinstance(op, subtensor.Subtensor) and all(map(is_concrete, arrays)):
            np.broadcast_to(False, np.shape(x) if is_concrete(x) else x.shape)[index]  # may raise IndexError
            return getitem(jnp.asarray(x) if is_concrete(x) else x, index)
        for i in index:
            if str(getattr(i, "dtype", "")) == "bool":
                concrete_int(i, "the number of elements that a mask selects")
        # XLA cannot raise an IndexError and would take the nearest row. Here, an index out of range returns nan.
        return jnp.asarray(materialize(x)).at[index].get(mode="fill")

    return take


@convert.register(subtensor.IncSubtensor)
@convert.register(subtensor.AdvancedIncSubtensor)
@convert.register(subtensor.AdvancedIncSubtensor1)
def _(op: Any, node: Apply) -> Function:
    def increment(x: Any, y: Any, *arrays: Any) -> Any:
        x, index = jnp.asarray(x), build_index(op, arrays)
        block = contiguous_block(x.shape, index) if isinstance(op, subtensor.IncSubtensor) else None
        if block is None:
            return x.at[index].set(y) if op.set_instead_of_inc else x.at[index].add(y)
        starts, sizes, shape = block
        y = jnp.broadcast_to(y, shape).reshape(sizes).astype(x.dtype)
        if not op.set_instead_of_inc:
            y += jax.lax.slice(x, starts, [start + size for start, size in zip(starts, sizes)])
        return jax.lax.dynamic_update_slice(x, y, starts)

    return increment


def contiguous_block(shape: Sequence[int], index: Sequence[Any]) -> tuple[list[int], list[int], tuple[int, ...]] | None:
    """Returns the start and sizes of the block that `index` selects, and the selection's shape; None if it is no block.

    A block is written without XLA's scatter, which is slower and makes JAX 0.12 abort if a reversal follows.
    """
    if not all(is_concrete(i) for i in index):
        return None
    taken = np.broadcast_to(False, shape)[tuple(index)].shape  # may raise IndexError
    starts, sizes = [0] * len(shape), list(shape)
    for axis, (i, size) in enumerate(zip(index, shape)):
        start, stop, step = i.indices(size) if isinstance(i, slice) else (int(i) % size, int(i) % size + 1, 1)
        if step != 1:
            return None
        starts[axis], sizes[axis] = start, max(stop - start, 0)
    return starts, sizes, taken


# Products, maxima, probabilities


@convert.register(math.Dot)
def _(op: Any, node: Apply) -> Function:
    dtype = node.outputs[0].dtype
    if node.inputs[0].ndim == node.inputs[1].ndim == 1:  # XLA on a CPU sums a dot product sequentially: slow,
        return lambda x, y: jnp.sum(jnp.asarray(x, dtype) * y, dtype=dtype)  # and only four digits are right
    transposed = is_transposed(node.inputs[0]), is_transposed(node.inputs[1])
    if node.outputs[0].ndim == 2 and transposed[1]:
        return lambda x, y: dot_with_transposed(jnp.asarray(x, dtype), jnp.asarray(y, dtype), transposed[0])
    return lambda x, y: dot(jnp.asarray(x, dtype), jnp.asarray(y, dtype), transposed)


def is_transposed(matrix: Any) -> bool:
    """Returns whether a variable is the transpose of another."""
    return matrix.owner is not None and getattr(matrix.owner.op, "new_order", None) == (1, 0)


def dot_with_transposed(x: Any, y: Any, is_x_transposed: bool) -> Any:
    """Returns x y for y = W^T; if x has few rows, computed as (W x^T)^T, because XLA would copy W at every call.

    The copy takes longer than the product (../BENCHMARKS.md). Text generation with tied weights computes such products.
    """
    (rows, size), columns = x.shape, y.shape[1]
    if rows >= size or MIN_COLUMNS_PER_ROW * rows > columns:
        return dot(x, y, (is_x_transposed, True))
    return jax.lax.optimization_barrier(dot(y.T, x.T, (False, not is_x_transposed))).T


# Products as the C engine rewrites them. They occur in nested scans, whose graphs Aesara rewrites in place.


@convert.register
def _(op: blas.Dot22, node: Apply) -> Function:
    return dot


@convert.register
def _(op: blas.Dot22Scalar, node: Apply) -> Function:
    return lambda x, y, a: a * dot(x, y)


@convert.register(blas.Gemm)
@convert.register(blas.Gemv)
def _(op: Any, node: Apply) -> Function:
    return lambda z, a, x, y, b: b * z + a * dot(x, y)


@convert.register
def _(op: blas.Ger, node: Apply) -> Function:
    return lambda z, a, x, y: z + a * jnp.outer(x, y)


@convert.register(blas.BatchedDot)
def _(op: Any, node: Apply) -> Function:
    is_flat = 2 in (node.inputs[0].ndim, node.inputs[1].ndim)
    product = functools.partial(jnp.einsum, "b...i,bi...->b..." if is_flat else "bij,bjk->bik")
    return lambda x, y: multiply(product, x, y)


@convert.register
def _(op: math.Argmax, node: Apply) -> Function:
    dtype = node.outputs[0].dtype
    return lambda x: max_with_index(x, op.axis)[1].astype(dtype)


@convert.register
def _(op: math.MaxAndArgmax, node: Apply) -> Function:
    dtype = node.outputs[1].dtype

    def max_and_argmax(x: Any) -> Any:
        top, place = max_with_index(x, op.axis)
        return [top, place.astype(dtype)]

    return max_and_argmax


def max_with_index(x: Any, axes: Sequence[int] | None) -> tuple[Any, Any]:
    """Returns the maximum over `axes`, and its index in these axes flattened into one."""
    axes = tuple(range(x.ndim)) if axes is None else tuple(axes)
    kept_axes = [axis for axis in range(x.ndim) if axis not in axes]
    flat = jnp.transpose(x, (*kept_axes, *axes)).reshape(*(x.shape[axis] for axis in kept_axes), -1)
    return flat.max(-1), flat.argmax(-1)


@convert.register
def _(op: special.Softmax, node: Apply) -> Function:
    return lambda x: jax.nn.softmax(x, op.axis)


@convert.register
def _(op: special.LogSoftmax, node: Apply) -> Function:
    return lambda x: jax.nn.log_softmax(x, op.axis)


@convert.register
def _(op: special.SoftmaxGrad, node: Apply) -> Function:
    return lambda dy, y: dy * y - (dy * y).sum(op.axis, keepdims=True) * y


@convert.register
def _(op: CumOp, node: Apply) -> Function:
    cumulate = {"add": jnp.cumsum, "mul": jnp.cumprod}[op.mode]
    return lambda x: cumulate(x, op.axis)


@convert.register
def _(op: IfElse, node: Apply) -> Function:
    def choose(condition: Any, *values: Any) -> Any:
        yes, no = values[: op.n_outs], values[op.n_outs :]
        if is_concrete(condition):
            return list(yes if condition else no)
        for a, b in zip(yes, no):
            if jnp.shape(a) != jnp.shape(b):
                raise UserError(
                    "the XLA engine computes both branches of an ifelse, which must have the same shape, "
                    f"got {jnp.shape(a)} and {jnp.shape(b)}: use the C engine (engine c)"
                )
        return [jnp.where(condition, a, b) for a, b in zip(yes, no)]

    return choose
