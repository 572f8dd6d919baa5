"""Products of matrices rounded to bfloat16 on a CPU, by a kernel of the extension module ``_window``.

XLA multiplies such numbers more slowly than float32 on a CPU, although processors have instructions for them: AMX, and
those of AVX-512 for pairs of bfloat16 numbers. Sums are float32. With ``bfloat16x3``, a factor is the sum of two
bfloat16 numbers; see `precision.multiply`.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from theano_rnn.engine.kernels import extension

NAME = "theano_rnn_product"
TERMS = {"bfloat16": 1, "bfloat16x3": 3}  # products of bfloat16 numbers for one of the factors
MIN_SIZE = 2**16  # multiplications; for fewer, the call takes longer than the product


@functools.cache
def register() -> None:
    """Tell XLA where the kernel is."""
    jax.ffi.register_ffi_target(NAME, extension().product, platform="cpu")


def run_product(x: Any, y: Any, precision: str, transposed: tuple[bool, bool]) -> Any:
    """Returns the product of two float32 arrays; None if the kernel cannot compute it or is not worth the call.

    Parameters
    ----------
    precision : str
        A key of `TERMS`, else the kernel cannot compute it.
    transposed
        Whether each factor is the transpose of an array; the kernel then reads that array, and nothing is copied.
    """
    if precision not in TERMS or not x.ndim == y.ndim == 2 or x.shape[0] * x.shape[1] * y.shape[1] < MIN_SIZE:
        return None
    register()
    result = jax.ShapeDtypeStruct((x.shape[0], y.shape[1]), jnp.float32)
    x, y = (array.T if is_transposed else array for array, is_transposed in zip((x, y), transposed))
    names = ("transposed_x", "transposed_y")
    flags = {name: np.int64(is_transposed) for name, is_transposed in zip(names, transposed)}
    return jax.ffi.ffi_call(NAME, result)(x, y, terms=np.int64(TERMS[precision]), **flags)
