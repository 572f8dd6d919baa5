"""Values that are known while JAX traces a function, as all do that follow from shapes alone."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from theano_rnn.engine.reversal import Reversed
from theano_rnn.settings.base import UserError


def is_concrete(value: Any) -> bool:
    """Whether a value is known while tracing."""
    return not isinstance(value, (jax.Array, Reversed))


def concrete(value: Any, what: str) -> int:
    """An int that must be known while tracing."""
    if not is_concrete(value):
        raise UserError(f"the XLA engine needs {what} to follow from shapes alone, not from values in arrays")
    return int(value)


def concretes(values: Any, what: str) -> list[int]:
    """A vector of ints that must be known while tracing."""
    if not is_concrete(values):
        concrete(values, what)
    return [int(value) for value in np.ravel(values)]
