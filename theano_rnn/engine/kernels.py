"""Whether the kernels of `windows` can be used, and whether they shall be. This needs neither JAX nor Aesara."""

from __future__ import annotations

import importlib
import os
from typing import Any

VARIABLE = "THEANO_RNN_KERNELS"
# "none" turns the kernels off, for the whole process and those that it starts; "avx2", "avx512" or "avx512_bf16" limits
# them to these instructions and older ones


def extension() -> Any:
    """Returns the extension module with the kernels; None if it was not compiled or this processor cannot run it.

    An extension that was compiled from older sources, before an update of the package, is none.
    """
    try:
        module = importlib.import_module("theano_rnn.engine._window")
    except ImportError:
        return None
    return module if module.instructions and hasattr(module, "bfloat16_unit") else None


def resolve_kernels(kernels: str, precision: str = "float32") -> str:
    """Returns "auto" if the kernels are used, else "none"; `kernels` is one of these.

    They multiply in float32, and in bfloat16 on processors with instructions for it.

    >>> resolve_kernels("none")
    'none'
    """
    module, is_off = extension(), kernels == "none" or os.environ.get(VARIABLE) == "none"
    if is_off or module is None:
        return "none"
    is_possible = precision in ("auto", "float32") or (precision.startswith("bfloat16") and module.bfloat16_unit())
    return "auto" if is_possible else "none"


def describe_kernels() -> str:
    """Returns the instructions that the kernels use on this machine, such as ``avx2``, or why there are none."""
    module = extension()
    if os.environ.get(VARIABLE) == "none":
        return f"none: the environment variable {VARIABLE} is none"
    if module is None:
        return "none: not compiled at installation, or not for this processor"
    unit = module.bfloat16_unit()
    return f"{module.instructions}; {unit} for bfloat16" if unit else str(module.instructions)


def choose_kernels(kernels: str) -> None:
    """Make the choice of a command that of the whole process."""
    if kernels == "none":
        os.environ[VARIABLE] = kernels
