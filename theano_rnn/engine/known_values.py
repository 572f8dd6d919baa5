"""Concrete values: those that are known while JAX traces a function, such as everything computed from shapes alone."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from theano_rnn.engine.reversal import Reversed
from theano_rnn.settings.base import UserError


def is_concrete(value: Any) -> bool:
    """Returns whether a value is known while tracing."""
    return not isinstance(value, (jax.Array, Reversed))


def concrete_int(value: Any, description: str) -> int:
    """Returns `value` as an int.

    Raises
    ------
    UserError
        The value is not known while tracing; `description` names it in the message.
    """
    if not is_concrete(value):
        raise UserError(
            f"the XLA engine must know {description} from the shapes of arrays, but here it depends on their values: "
            "compute it from shapes, or use the C engine (engine c)"
        )
    return int(value)


def concrete_ints(values: Any, description: str) -> list[int]:
    """Returns a vector as ints; raises `UserError` as `concrete_int` does."""
    if not is_concrete(values):
        concrete_int(values, description)
    return [int(value) for value in np.ravel(values)]
