"""Conversions of Aesara's operations to JAX, compared with Aesara's own Python implementations."""

import aesara
import aesara.tensor as T
import numpy as np
import pytest
from aesara.scalar import basic as scalar
from aesara.tensor import blas
from aesara.tensor.elemwise import Elemwise
from both_modes import by_xla, check, check_with_gradients

jax = pytest.importorskip("jax")

RNG = np.random.default_rng(4)
X = RNG.uniform(-3, 3, (3, 4))  # numbers of both signs
POSITIVE = np.abs(X) + 0.1
COUNTS = np.array([[-7, -3, -2, -1], [1, 2, 3, 7], [5, -5, 6, 4]])
DTYPES = ["float64", "float32", "int64", "int32", "int8", "bool"]

ANY_NUMBER = ["abs", "ceil", "floor", "trunc", "round_half_to_even", "square", "exp", "exp2", "expm1", "sin", "cos",
              "tan", "arctan", "sinh", "cosh", "tanh", "arcsinh", "deg2rad", "rad2deg", "erf", "erfc", "sigmoid",
              "softplus", "isnan", "isinf", "i0", "i1"]
POSITIVE_ONLY = ["sqrt", "log", "log2", "log10", "log1p", "reciprocal", "gamma", "gammaln", "psi", "tri_gamma"]
PAIRS = ["add", "sub", "mul", "true_divide", "floor_divide", "mod", "maximum", "minimum", "lt", "gt", "le", "ge",
         "eq", "neq", "second", "arctan2"]


def numbers(dtype, of=X):
    return (COUNTS if dtype[0] in "iu" else of).astype(dtype) if dtype != "bool" else COUNTS % 2 == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_of_one_number(dtype):
    """All outputs are in one graph, so that many functions need one compilation."""
    names = [name for name in ANY_NUMBER if not (name.startswith("round") and dtype[0] != "f")]
    if dtype == "bool":
        names.remove("softplus")  # Aesara's float16, which its NumPy gives up earlier
    else:
        names += ["neg", "sgn"]
    check(lambda x: [getattr(T, name)(x) for name in names], numbers(dtype))
    positive = numbers(dtype, POSITIVE) if dtype[0] == "f" else np.abs(numbers(dtype)) if dtype != "bool" else X < 9
    check(lambda x: [getattr(T, name)(x) for name in POSITIVE_ONLY], positive)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_functions_of_small_numbers(dtype):
    check(lambda x: [T.arcsin(x), T.arccos(x), T.arctanh(x), T.erfinv(x)], (X / 4).astype(dtype))
    check(lambda x: [T.arccosh(x + 1), T.log1mexp(-x), T.log1p(-T.exp(-x))], POSITIVE.astype(dtype))


@pytest.mark.parametrize("right", [*DTYPES, "uint8"])
@pytest.mark.parametrize("left", DTYPES)
def test_functions_of_two_numbers_of_any_two_kinds(left, right):
    """The precision is that of Aesara's result type, such as float64 for int32 and float32."""
    names = [name for name in PAIRS if "bool" not in (left, right) or name not in ("sub", "floor_divide", "mod")]
    other = np.roll(numbers(right), 1, axis=1)
    check(lambda x, y: [*(getattr(T, name)(x, y) for name in names), T.switch(x > y, x, y), T.switch(y, x, y)],
          numbers(left), other)  # fmt: skip


@pytest.mark.parametrize("dtype", ["int64", "int32", "int8", "uint8", "bool"])
def test_functions_of_bits(dtype):
    check(lambda x, y: [T.and_(x, y), T.or_(x, y), T.xor(x, y), T.invert(x)], numbers(dtype), numbers(dtype)[::-1])


@pytest.mark.parametrize("base", ["float64", "float32", "int32"])
@pytest.mark.parametrize("exponent", ["float64", "float32", "int32", "int8"])
def test_powers(base, exponent):
    check(lambda x, y: [x**y, x**2, x**3], np.abs(numbers(base)), np.abs(numbers(exponent)) % 4)


def test_powers_of_negative_numbers():
    check(lambda x, y: [x**y, x**2, 1 / x], X, np.round(X))


@pytest.mark.parametrize("to", DTYPES)
def test_casts(to):
    for dtype in DTYPES:
        check(lambda x: T.cast(x, to), numbers(dtype))


def test_clip_bounds_and_broadcasting():
    check(lambda x, low: [T.clip(x, -1, 1), T.clip(x, low, 2.0), T.clip(x, T.min(x), T.max(x))], X, X[:1] - 1)
    check(lambda x, y, z: [x + y * z, T.maximum(x, y) - z, T.add(x, y, z), T.mul(x, y, z)], X, X[:1], X[:, :1])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_composites_of_scalar_operations(dtype):
    x, y = (scalar.get_scalar_type(dtype)() for _ in "xy")
    one = Elemwise(scalar.Composite([x, y], [scalar.tanh(x * y) + scalar.constant(2, dtype=dtype)]))
    two = Elemwise(scalar.Composite([x, y], [x - y, scalar.switch(scalar.lt(x, y), x, y)]))
    check(lambda a, b: [one(a, b), *two(a, b)], X.astype(dtype), X[:1].astype(dtype))


def test_gradients_of_scalar_functions():
    check_with_gradients(lambda x: [T.tanh(x), T.sigmoid(x), T.softplus(x), T.erf(x), T.square(x), abs(x), x**3], X)
    check_with_gradients(lambda x: [T.sqrt(x), T.log(x), T.log1p(x), T.gammaln(x), T.gamma(x), T.reciprocal(x)],
                         POSITIVE)
    check_with_gradients(lambda x, y: [x / y, x * y, T.maximum(x, y), T.switch(x > 0, x, y), T.clip(x, -1, y)], X,
                         X[:1])


# Reductions


@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, (0, 2), (2, 1), (0, 1, 2)])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "int8"])
def test_reductions(dtype, axis):
    x = RNG.integers(-3, 4, (2, 3, 4)).astype(dtype)
    names = ["sum", "prod", "max", "min", "mean"] + ["var", "std"] * (dtype[0] == "f")
    check(lambda x: [getattr(T, name)(x, axis=axis) for name in names], x)
    check(lambda x: [T.all(x > -3, axis=axis), T.any(x > 2, axis=axis), T.sum(x > 0, axis=axis)], x)


def test_reductions_keep_dimensions_and_take_a_dtype():
    check(lambda x: [T.sum(x, axis=1, keepdims=True), T.max(x, axis=0, keepdims=True), T.mean(x, keepdims=True)], X)
    x = (1 + 1e-7 * np.arange(100)).astype("float32")
    check(lambda x: [T.sum(x, dtype="float64"), T.prod(x, dtype="float64")], x)
    check(lambda x: [T.sum(x, dtype="int32"), T.prod(x, dtype="int64")], np.full(9, 100, "int8"))


def test_gradients_of_reductions():
    check_with_gradients(lambda x: [x.sum(0), x.max(1), x.mean(), x.std(0), T.logsumexp(x, axis=1)], X)


@pytest.mark.parametrize("axis", [None, 0, 1, 2, (0, 2), (2, 1)])
def test_argmax_over_any_axes_is_the_first_largest(axis):
    for x in (RNG.normal(size=(2, 3, 4)), RNG.integers(3, size=(2, 3, 4)).astype("int32")):
        check(lambda x: [T.argmax(x, axis=axis), *T.max_and_argmax(x, axis=axis), T.argmin(x, axis=axis)], x)


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_cumulative_sums_and_products(axis):
    check_with_gradients(lambda x: [T.cumsum(x, axis=axis), T.cumprod(x, axis=axis)], X)
    check(lambda x: T.cumsum(x, axis=axis), COUNTS)


# Products and probabilities


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shapes", [((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 2)), ((3, 4), (4, 2)), ((1, 1), (1, 5))])
def test_dot(shapes, dtype):
    check_with_gradients(T.dot, *(RNG.normal(size=shape).astype(dtype) for shape in shapes))


def test_dot_of_mixed_and_whole_numbers():
    thirds = (X / 3).astype("float32")
    check(T.dot, COUNTS.astype("int32"), COUNTS.T.astype("int32"))
    check(T.dot, COUNTS.astype("int32"), thirds.T)
    check(T.dot, thirds, X.T)
    check(T.tensordot, RNG.normal(size=(2, 3, 4)), RNG.normal(size=(3, 4, 5)))


def test_products_as_the_c_engine_writes_them():
    """They occur in nested scans that the C engine has compiled before."""
    rng = np.random.default_rng(0)
    z, x, y, a, b = (rng.normal(size=shape) for shape in ((3, 2), (3, 4), (4, 2), (), ()))
    v, w = rng.normal(size=3), rng.normal(size=2)
    check(blas.Dot22(), x, y)
    check(blas.Dot22Scalar(), x, y, a)
    check(blas.Gemm(inplace=False), z, a, x, y, b)
    check(blas.Gemv(inplace=False), v, a, x, rng.normal(size=4), b)
    check(blas.Ger(destructive=False), z, a, v, w)


@pytest.mark.parametrize("shapes", [((2, 3, 4), (2, 4, 5)), ((2, 4), (2, 4, 5)), ((2, 3, 4), (2, 4)), ((2, 4), (2, 4))])
def test_batched_dot(shapes):
    check_with_gradients(T.batched_dot, *(RNG.normal(size=shape) for shape in shapes))


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_softmax(dtype, axis):
    x = X.astype(dtype)
    check_with_gradients(lambda x: [T.special.softmax(x, axis=axis), T.special.log_softmax(x, axis=axis)], x)
    check(lambda x: [T.special.softmax(x, axis=axis), T.special.log_softmax(x, axis=axis)], 1000 * x)


# What has no conversion


class Doubling(aesara.graph.op.Op):
    """An operation without a conversion."""

    __props__ = ()

    def make_node(self, x):
        return aesara.graph.basic.Apply(self, [x], [x.type()])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = 2 * inputs[0]


class DoublingWithConversion(Doubling):
    def as_jax(self, node):
        assert node.inputs[0].ndim == 2
        return lambda x: 2 * x


def test_an_operation_without_a_conversion_is_named_with_what_to_do():
    from theano_rnn.settings.base import UserError

    x = T.dmatrix()
    with pytest.raises(UserError, match=r"cannot run .*Doubling.*as_jax\(node\).*engine c") as caught:
        by_xla([x], [Doubling()(x)], X)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="cannot run the scalar operation .*Chi2SF.*C engine"):
        by_xla([x], [T.chi2sf(x, 2.0)], X)


def test_an_operation_may_bring_its_conversion():
    check(lambda x: [DoublingWithConversion()(x), 1 + DoublingWithConversion()(T.exp(x))], X)


@pytest.mark.parametrize("rows", [1, 2, 7, 30])
def test_few_rows_times_a_transposed_matrix_do_not_copy_the_matrix(rows):
    """Tied weights need this product for every generated token; the copy takes several times as long."""
    from theano_rnn.engine.lowering import lower_graph
    from theano_rnn.engine.xla import x64

    x, W = RNG.normal(size=(rows, 40)), RNG.normal(size=(1000, 40))
    check(lambda x, W: T.dot(x, W.T) + 1, x, W)
    symbols = T.dmatrix(), T.dmatrix()
    graph = aesara.graph.fg.FunctionGraph(symbols, [T.dot(symbols[0], symbols[1][:900].T) + 1], clone=False)
    with x64():
        program = jax.jit(lower_graph(graph)).lower(x, W).compile().as_text()
    assert "f64[40,900]" not in program
    assert rows == 1 or f"f64[900,{rows}]" in program  # the matrix, as it lies, times x transposed
