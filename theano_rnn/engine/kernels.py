"""Whether the kernels of `windows` can be used, and whether they shall be. This needs neither JAX nor Aesara."""

from __future__ import annotations

import importlib
import os
from typing import Any

VARIABLE = "THEANO_RNN_KERNELS"  # "none" turns the kernels off, for the whole process and those that it starts


def extension() -> Any:
    """Returns the extension module with the kernels; None if it was not compiled or this processor cannot run it.

    An extension that was compiled from older sources, before an update of the package, is none.
    """
    try:
        module = importlib.import_module("theano_rnn.engine._window")
    except ImportError:
        return None
    return module if module.instructions and hasattr(module, "sum_of_squares") else None


def resolve_kernels(kernels: str) -> str:
    """Returns "auto" if the kernels are used, else "none"; `kernels` is one of these.

    >>> resolve_kernels("none")
    'none'
    """
    is_off = kernels == "none" or os.environ.get(VARIABLE) == "none"
    return "none" if is_off or extension() is None else "auto"


def describe_kernels() -> str:
    """Returns the instructions that the kernels use on this machine, such as ``avx2``, or why there are none."""
    module = extension()
    if os.environ.get(VARIABLE) == "none":
        return f"none: the environment variable {VARIABLE} is none"
    return module.instructions if module else "none: not compiled at installation, or not for this processor"


def choose_kernels(kernels: str) -> None:
    """Make the choice of a command that of the whole process."""
    if kernels == "none":
        os.environ[VARIABLE] = kernels
