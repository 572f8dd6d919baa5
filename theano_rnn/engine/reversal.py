"""Lazily reversed arrays.

The gradient of a scan runs backwards in time. Aesara writes it as a scan over reversed copies of all that the forward
pass stored, and reverses the results again. JAX's scan can run backwards without copies, so a reversed array stays a
`Reversed` until something other than a scan reads it.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp


class Reversed:
    """`array` in reverse order along its first axis, without a copy."""

    def __init__(self, array: Any) -> None:
        self.array, self.shape, self.ndim, self.dtype = array, array.shape, array.ndim, array.dtype


def materialize(value: Any) -> Any:
    """Returns a `Reversed` as an array; any other value as it is."""
    return jnp.flip(value.array, 0) if isinstance(value, Reversed) else value


def reverse(value: Any) -> Any:
    """Returns the value in reverse order, without a copy."""
    return value.array if isinstance(value, Reversed) else Reversed(value)


def getitem(value: Any, index: Any) -> Any:
    """Returns ``value[index]``.

    It is lazy if `index` is a single slice that either reverses the value or cuts a `Reversed`.
    """
    if len(index) == 1 and isinstance(index[0], slice) and value.ndim > 1:
        only = index[0]
        if (only.start, only.stop, only.step) == (None, None, -1):
            return reverse(value)
        if isinstance(value, Reversed) and only.step in (None, 1):
            rows = value.shape[0]
            start, stop, _ = only.indices(rows)
            return Reversed(value.array[rows - max(stop, start) : rows - start])
    return materialize(value)[index]


def apply_elementwise(function: Any, values: Any) -> Any:
    """Apply `function` elementwise with broadcasting.

    The result is a `Reversed` if every input that varies along the first axis is one.
    """
    if not any(isinstance(value, Reversed) for value in values):
        return function(*values)
    ndim = max(jnp.ndim(value) if not isinstance(value, Reversed) else value.ndim for value in values)

    def varies(value: Any) -> bool:
        shape = value.shape if isinstance(value, Reversed) else jnp.shape(value)
        return len(shape) == ndim and shape[0] != 1

    if all(isinstance(value, Reversed) == varies(value) for value in values):
        result = function(*(value.array if isinstance(value, Reversed) else value for value in values))
        return [Reversed(r) for r in result] if isinstance(result, list) else Reversed(result)
    return function(*map(materialize, values))
