"""Products of matrices on a CPU, by a kernel of the extension module ``_window``.

XLA multiplies bfloat16 numbers more slowly than float32 on a CPU, although processors have instructions for them: AMX,
and those of AVX-512 for pairs of bfloat16 numbers. Sums are float32. With ``bfloat16x3``, a factor is the sum of two
bfloat16 numbers; see `precision.multiply`. In float32, the kernel computes products with many columns, such as the
scores of all words, which take XLA 15 to 40 % longer on a processor with AVX-512.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from theano_rnn.engine.kernels import extension

NAME = "theano_rnn_product"
TERMS = {"float32": 0, "bfloat16": 1, "bfloat16x3": 3}  # products of bfloat16 numbers in the place of one product
MIN_SIZE = 2**16  # multiplications; for fewer, the call takes longer than the product
MIN_COLUMNS, MIN_ROWS = 2_000, 64  # of a float32 product; XLA multiplies smaller matrices as fast


@functools.cache
def register() -> None:
    """Tell XLA where the kernel is."""
    jax.ffi.register_ffi_target(NAME, extension().product, platform="cpu")


def run_product(x: Any, y: Any, precision: str, transposed: tuple[bool, bool]) -> Any:
    """Returns the product of two float32 arrays; None if the kernel cannot compute it or is not worth the call.

    Parameters
    ----------
    precision : str
        A key of `TERMS`, else the kernel cannot compute it. For bfloat16, the processor has a unit.
    transposed
        Whether each factor is the transpose of an array; the kernel then reads that array, and nothing is copied.
    """
    if precision not in TERMS or not x.ndim == y.ndim == 2:
        return None
    rows, columns = x.shape[0], y.shape[1]
    if precision == "float32" and (rows < MIN_ROWS or columns < MIN_COLUMNS or extension().instructions != "avx512"):
        return None
    if rows * x.shape[1] * columns < MIN_SIZE:
        return None
    register()
    result = jax.ShapeDtypeStruct((rows, columns), jnp.float32)
    x, y = (array.T if is_transposed else array for array, is_transposed in zip((x, y), transposed))
    names = ("transposed_x", "transposed_y")
    flags = {name: np.int64(is_transposed) for name, is_transposed in zip(names, transposed)}
    return jax.ffi.ffi_call(NAME, result)(x, y, terms=np.int64(TERMS[precision]), **flags)
