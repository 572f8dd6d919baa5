"""The precision of products: which numbers they give on a CPU, and what a GPU is asked for."""

import aesara.tensor as T
import numpy as np
import pytest

from theano_rnn.engine.compiling import compile_function
from theano_rnn.settings.base import UserError

jax = pytest.importorskip("jax")

FRACTION_BITS = {"float32": 23, "tensorfloat32": 10, "bfloat16": 7}
LIMITS = {"float32": 2e-6, "bfloat16x3": 3e-5, "tensorfloat32": 1e-3, "bfloat16": 1e-2}  # of the largest errors
SHAPES = {  # of the factors; those of few rows and a transposed matrix are computed in another order
    "matrices": ((30, 40), (40, 20)),
    "few rows": ((2, 40), (40, 50)),
    "batched": ((3, 5, 40), (3, 40, 6)),
    "a vector": ((40,), (40, 20)),
}


def rounded(x, bits):
    """The nearest number with that many bits after the point; with two that are as near, the even one."""
    integers, dropped = np.asarray(x, "float32").view("uint32").astype("uint64"), 23 - bits
    if dropped:
        integers += (1 << (dropped - 1)) - 1 + ((integers >> dropped) & 1)
        integers &= ~np.uint64((1 << dropped) - 1)
    return integers.astype("uint32").view("float32").astype("float64")


def factors(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def product(x, y, precision, which="matrices"):
    """x y, computed by the engine."""
    a, b = (T.TensorType("float32", (None,) * value.ndim)() for value in (x, y))
    result = T.batched_dot(a, b) if which == "batched" else T.dot(a, b)
    if which == "few rows":
        y, result = y.T, T.dot(a, b.T)
    return np.asarray(compile_function([a, b], [result], engine="jax", device="cpu", precision=precision)(x, y)[0])


@pytest.mark.parametrize("which", SHAPES)
@pytest.mark.parametrize("precision", FRACTION_BITS)
def test_factors_are_rounded_and_sums_are_not(which, precision):
    x, y = factors(SHAPES[which])
    expected = np.matmul(*(rounded(value, FRACTION_BITS[precision]) for value in (x, y)))
    np.testing.assert_allclose(product(x, y, precision, which), expected, atol=2e-5)


def test_precisions_have_their_order():
    x, y = factors(((200, 300), (300, 100)))
    exact = x.astype("float64") @ y
    errors = {name: np.abs(product(x, y, name) - exact).max() / np.abs(exact).max() for name in LIMITS}
    assert list(errors.values()) == sorted(errors.values())
    assert all(errors[name] < limit for name, limit in LIMITS.items()), errors


def test_auto_is_float32_on_a_cpu():
    x, y = factors(SHAPES["matrices"])
    np.testing.assert_array_equal(product(x, y, "auto"), product(x, y, "float32"))


@pytest.mark.parametrize(
    ("precision", "asked"),
    [
        ("float32", "HIGHEST"), ("tensorfloat32", "lhs_precision_type = tf32"),
        ("bfloat16x3", "num_primitive_operations = 3"), ("bfloat16", "lhs_precision_type = bf16"),
    ],
)  # fmt: skip
def test_a_gpu_is_asked_for_its_own_products(precision, asked):
    from theano_rnn.engine.precision import dot, products_in

    def function(x, y):
        with products_in(precision, "gpu"):
            return dot(x, y)

    text = jax.jit(function).trace(*factors(SHAPES["matrices"])).lower(lowering_platforms=("cuda",)).as_text()
    (line,) = (line for line in text.splitlines() if "dot_general" in line)
    assert asked in line
    assert "reduce_precision" not in text


def test_engine_c_has_float32_alone():
    x = T.matrix()
    with pytest.raises(UserError, match="precision bfloat16 needs engine jax: choose that engine, or"):
        compile_function([x], [T.dot(x, x)], engine="c", precision="bfloat16")
