"""Lengths that Aesara knows while it builds a graph, found without rewriting the graph.

For the type of each new array of zeros, ``aesara.tensor.basic.infer_static_shape`` copies and rewrites everything that
its shape was computed from, the layers below it included: of a deep network's ``T.grad`` and compilation that was most
of the time. Here a length is known where it can be read off its variable; which others are known changes no result.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import aesara.tensor.basic as basic
from aesara.graph.basic import Constant
from aesara.scalar import Add, Cast, Mul, Sub
from aesara.tensor.basic import MakeVector, ScalarFromTensor, TensorFromScalar
from aesara.tensor.elemwise import Elemwise
from aesara.tensor.shape import Shape, Shape_i
from aesara.tensor.subtensor import Subtensor
from aesara.tensor.type import integer_dtypes


def static_shape(shape: Sequence[Any]) -> tuple[list[Any], tuple[int | None, ...]]:
    """As Aesara's ``infer_static_shape``: each length as a scalar variable, and as a number where it is known.

    Raises
    ------
    TypeError
        A length is not of whole numbers.

    >>> static_shape([2, basic.as_tensor_variable(3)])[1]
    (2, 3)
    """
    lengths = [basic.as_tensor_variable(length, ndim=0) for length in shape]
    for length in lengths:
        if length.type.dtype not in integer_dtypes:
            raise TypeError(f"Shapes must be scalar integers; got {length}")
    return lengths, tuple(map(known, lengths))


def known(length: Any, depth: int = 10) -> int | None:
    """The number that a variable stands for in every run, where it and what it is computed from tell.

    Aesara's own ``get_scalar_constant_value`` takes for 0 each length of a first state that is given to scan (the shape
    of an ``Unbroadcast``), and scan then makes an array of no rows.
    """
    if isinstance(length, Constant):
        return int(length.data)
    if length.owner is None or depth == 0:
        return None
    op, inputs = length.owner.op, length.owner.inputs
    if isinstance(op, Shape_i):
        return static_length(inputs[0], op.i)
    if isinstance(op, Subtensor) and len(inputs) == 2:
        index = known(inputs[1], depth - 1)
        return None if index is None else element(inputs[0], index, depth)
    if isinstance(op, ScalarFromTensor | TensorFromScalar):
        return known(inputs[0], depth - 1)
    if isinstance(op, Elemwise) and isinstance(op.scalar_op, Add | Sub | Mul | Cast):
        numbers = [known(number, depth - 1) for number in inputs]
        return None if None in numbers else int(op.scalar_op.impl(*numbers))
    return None


def element(vector: Any, index: int, depth: int) -> int | None:
    """The number at a place of a vector of lengths."""
    if isinstance(vector, Constant):
        return int(vector.data[index])
    if vector.owner is not None and isinstance(vector.owner.op, Shape):
        return static_length(vector.owner.inputs[0], index)
    if vector.owner is not None and isinstance(vector.owner.op, MakeVector):
        return known(vector.owner.inputs[index], depth - 1)
    return None


def static_length(array: Any, axis: int) -> int | None:
    """The length of an axis that an array's type or value tells."""
    length: int | None = (array.data if isinstance(array, Constant) else array.type).shape[axis]
    return length


@contextlib.contextmanager
def cheap_static_shapes() -> Iterator[None]:
    """Where Aesara finds lengths by `static_shape`; also a decorator of what builds or compiles a graph."""
    before = basic.infer_static_shape
    basic.infer_static_shape = static_shape
    try:
        yield
    finally:
        basic.infer_static_shape = before
