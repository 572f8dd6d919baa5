"""Find the lengths of arrays while a graph is built and rewritten, with little work.

- For the type of each new array of zeros, Aesara's ``infer_static_shape`` copies and rewrites everything that its shape
  is computed from, including all layers below. This took most of the time of a deep network's ``T.grad``. Here, a
  length is known only if it can be read from its variable.
- For the length of a sum or product, Aesara compares the operands' lengths as graphs and, if they differ, adds a check
  and a maximum to the graph. This took half of the rewriting for engine C. Here, the length is that of one operand.

Neither affects results.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import aesara.tensor.basic as basic
from aesara.graph.basic import Apply, Constant
from aesara.scalar import Add, Cast, Mul, Sub
from aesara.tensor.basic import MakeVector, ScalarFromTensor, TensorFromScalar
from aesara.tensor.elemwise import Elemwise
from aesara.tensor.exceptions import ShapeError
from aesara.tensor.shape import Shape, Shape_i
from aesara.tensor.subtensor import Subtensor
from aesara.tensor.type import integer_dtypes

from theano_rnn.engine.changed_flags import AESARA_LOCK


def static_shape(shape: Sequence[Any]) -> tuple[list[Any], tuple[int | None, ...]]:
    """Returns each length as a scalar variable and as an int or None, like Aesara's ``infer_static_shape``.

    Raises
    ------
    TypeError
        A length is not an integer.

    >>> static_shape([2, basic.as_tensor_variable(3)])[1]
    (2, 3)
    """
    lengths = [basic.as_tensor_variable(length, ndim=0) for length in shape]
    for length in lengths:
        if length.type.dtype not in integer_dtypes:
            raise TypeError(f"Shapes must be scalar integers; got {length}")
    return lengths, tuple(map(constant_value, lengths))


def constant_value(length: Any, depth: int = 10) -> int | None:
    """Returns the int that a variable always has; None if its definition does not tell.

    Aesara's own ``get_scalar_constant_value`` is wrong for an initial state given to scan (the shape of an
    ``Unbroadcast``): it returns 0 for each length, and scan then creates an array without rows.
    """
    if isinstance(length, Constant):
        return int(length.data)
    if length.owner is None or depth == 0:
        return None
    op, inputs = length.owner.op, length.owner.inputs
    if isinstance(op, Shape_i):
        return static_length(inputs[0], op.i)
    if isinstance(op, Subtensor) and len(inputs) == 2:
        index = constant_value(inputs[1], depth - 1)
        return None if index is None else vector_element(inputs[0], index, depth)
    if isinstance(op, ScalarFromTensor | TensorFromScalar):
        return constant_value(inputs[0], depth - 1)
    if isinstance(op, Elemwise) and isinstance(op.scalar_op, Add | Sub | Mul | Cast):
        numbers = [constant_value(number, depth - 1) for number in inputs]
        return None if None in numbers else int(op.scalar_op.impl(*numbers))
    return None


def vector_element(vector: Any, index: int, depth: int) -> int | None:
    """Returns the int at `index` of a vector of lengths, or None if it is unknown."""
    if isinstance(vector, Constant):
        return int(vector.data[index])
    if vector.owner is not None and isinstance(vector.owner.op, Shape):
        return static_length(vector.owner.inputs[0], index)
    if vector.owner is not None and isinstance(vector.owner.op, MakeVector):
        return constant_value(vector.owner.inputs[index], depth - 1)
    return None


def static_length(array: Any, axis: int) -> int | None:
    """Returns the length of an axis if the array's type or value determines it, else None."""
    length: int | None = (array.data if isinstance(array, Constant) else array.type).shape[axis]
    return length


def elementwise_shape(op: Elemwise, fgraph: Any, node: Apply, input_shapes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Returns the shape of an elementwise operation's output, given those of its inputs; replaces ``infer_shape``.

    Lengths of 1 that are not known to be 1 must not be broadcast. Aesara's gradients have this condition, too.

    Raises
    ------
    ShapeError
        The operation has several outputs; Aesara then reads the shape from each output.
    """
    if len(node.outputs) > 1:
        raise ShapeError("an operation with several outputs")
    known = node.outputs[0].type.shape
    return [tuple(map(common_length, known, zip(*input_shapes)))]


def common_length(known: int | None, lengths: Sequence[Any]) -> Any:
    """Returns the length of one axis as a variable: `known` if that is an int, else that of an operand, if possible
    a constant.
    """
    if known is not None:
        return basic.constant(known, dtype="int64", ndim=0)
    longer = [length for length in lengths if not (isinstance(length, Constant) and length.data == 1)]
    constants = [length for length in longer if isinstance(length, Constant)]
    return [*constants, *longer, *lengths][0]


@contextlib.contextmanager
def cheap_shapes() -> Iterator[None]:
    """Make Aesara find lengths by `static_shape` and `elementwise_shape` within this context.

    Also a decorator for functions that build or compile a graph. Other threads wait before theirs.
    """
    with AESARA_LOCK:
        before = basic.infer_static_shape, Elemwise.infer_shape
        basic.infer_static_shape, Elemwise.infer_shape = static_shape, elementwise_shape
        try:
            yield
        finally:
            basic.infer_static_shape, Elemwise.infer_shape = before
