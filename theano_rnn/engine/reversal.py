"""Arrays in reverse order that need not be made.

The gradient of a scan runs backwards in time, which Aesara writes as a scan over reversed copies of everything that
the forward pass left, whose results are reversed again. JAX's scan can run from the end, so a reversed array is kept
as a `Reversed` until something other than a scan wants it.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp


class Reversed:
    """`array` in reverse order along its first axis."""

    def __init__(self, array: Any) -> None:
        self.array, self.shape, self.ndim, self.dtype = array, array.shape, array.ndim, array.dtype


def made(value: Any) -> Any:
    """The array that a value stands for."""
    return jnp.flip(value.array, 0) if isinstance(value, Reversed) else value


def reverse(value: Any) -> Any:
    """The value in reverse order."""
    return value.array if isinstance(value, Reversed) else Reversed(value)


def sliced(value: Any, index: Any) -> Any:
    """``value[index]``, lazily where `index` is one slice that reverses, or a value already reversed is cut."""
    if len(index) == 1 and isinstance(index[0], slice) and value.ndim > 1:
        only = index[0]
        if (only.start, only.stop, only.step) == (None, None, -1):
            return reverse(value)
        if isinstance(value, Reversed) and only.step in (None, 1):
            rows = value.shape[0]
            start, stop, _ = only.indices(rows)
            return Reversed(value.array[rows - max(stop, start) : rows - start])
    return made(value)[index]


def elementwise(function: Any, values: Any) -> Any:
    """``function(*values)`` of arrays that broadcast; reversed where all that vary along the first axis are."""
    if not any(isinstance(value, Reversed) for value in values):
        return function(*values)
    ndim = max(jnp.ndim(value) if not isinstance(value, Reversed) else value.ndim for value in values)

    def varies(value: Any) -> bool:
        shape = value.shape if isinstance(value, Reversed) else jnp.shape(value)
        return len(shape) == ndim and shape[0] != 1

    if all(isinstance(value, Reversed) == varies(value) for value in values):
        result = function(*(value.array if isinstance(value, Reversed) else value for value in values))
        return [Reversed(r) for r in result] if isinstance(result, list) else Reversed(result)
    return function(*map(made, values))
