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
from aesara.tensor.exceptions import NotScalarConstantError
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


def known(length: Any) -> int | None:
    """The number that a variable stands for in every run, where a look at it and a few below it tells."""
    try:
        return int(basic.get_scalar_constant_value(length))
    except NotScalarConstantError:
        return None


@contextlib.contextmanager
def cheap_static_shapes() -> Iterator[None]:
    """Where Aesara finds lengths by `static_shape`; also a decorator of what builds or compiles a graph."""
    before = basic.infer_static_shape
    basic.infer_static_shape = static_shape
    try:
        yield
    finally:
        basic.infer_static_shape = before
