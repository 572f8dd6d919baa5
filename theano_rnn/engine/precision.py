"""The precision of products of matrices: how many bits of the factors count.

A product of float32 matrices takes less time if a processor may round the factors. `ALGORITHMS` lists the precisions
and JAX's names of them. Products are added up in float32, and everything else is computed in float32.

A GPU has units for these precisions. On a CPU, JAX accepts the names but multiplies in float32 all the same. There,
kernels multiply in bfloat16 where the processor has instructions for it, see `products` and `windows`. Otherwise the
factors are rounded before they are multiplied, which gives the numbers of that precision but saves no time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp

from theano_rnn.engine.products import run_product

ALGORITHMS = {
    "float32": "highest",
    "tensorfloat32": "TF32_TF32_F32",
    "bfloat16x3": "BF16_BF16_F32_X3",
    "bfloat16": "BF16_BF16_F32",
}
FRACTION_BITS = {"tensorfloat32": 10, "bfloat16x3": 7, "bfloat16": 7}  # float32 has 23
rounding: ContextVar[str] = ContextVar("rounding", default="float32")  # of the products that are traced, on a CPU
by_kernels: ContextVar[bool] = ContextVar("by_kernels", default=False)  # whether kernels may compute them


@contextlib.contextmanager
def products_in(precision: str, platform: str, has_kernels: bool = False) -> Iterator[None]:
    """Trace products for a platform of JAX in a precision; with "auto", as JAX does without a request.

    JAX then multiplies in float32 on a CPU, and in TF32 on a GPU, unless ``JAX_DEFAULT_MATMUL_PRECISION`` is set. If it
    `has_kernels`, they may compute products.
    """
    if platform == "cpu":
        tokens = rounding.set("float32" if precision == "auto" else precision), by_kernels.set(has_kernels)
        try:
            yield
        finally:
            rounding.reset(tokens[0])
            by_kernels.reset(tokens[1])
    elif precision == "auto":
        yield
    else:
        with jax.default_matmul_precision(ALGORITHMS[precision]):
            yield


def multiply(product: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
    """Returns product(x, y), a function linear in both arrays, in the precision of this trace.

    With bfloat16x3, each factor is the sum of two bfloat16 numbers, and their smallest product is left out.
    """
    precision = rounding.get()
    if precision == "float32" or not x.dtype == y.dtype == "float32":
        return product(x, y)
    high_x, high_y = rounded(x, precision), rounded(y, precision)
    if precision != "bfloat16x3":
        return product(high_x, high_y)
    low_x, low_y = rounded(x - high_x, precision), rounded(y - high_y, precision)
    return product(high_x, high_y) + (product(high_x, low_y) + product(low_x, high_y))


def rounded(x: Any, precision: str) -> Any:
    """Returns float32 numbers with as many bits after the point as the precision has."""
    return jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=FRACTION_BITS[precision])


def dot(x: Any, y: Any, transposed: tuple[bool, bool] = (False, False)) -> Any:
    """Returns the product of two arrays as ``jax.numpy.dot``, in the precision of this trace.

    `transposed` tells which of two matrices are transposes of others.
    """
    if by_kernels.get() and x.dtype == y.dtype == "float32":
        product = run_product(x, y, rounding.get(), transposed)
        if product is not None:
            return product
    return multiply(jnp.dot, x, y)
