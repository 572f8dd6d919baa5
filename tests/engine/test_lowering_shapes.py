"""Conversions of shapes, indices and joins, and which shapes may depend on values."""

import aesara
import aesara.tensor as T
import numpy as np
import pytest
from aesara.ifelse import ifelse
from aesara.raise_op import Assert
from both_modes import by_xla, check, check_with_gradients

from theano_rnn.settings.base import UserError

jax = pytest.importorskip("jax")

RNG = np.random.default_rng(5)
X = RNG.normal(size=(4, 3))
CUBE = RNG.normal(size=(2, 3, 4))
ROWS = np.array([2, 0, 2, 3, 2], "int32")  # repeated, so that gradients add up
LONG = RNG.normal(size=100)  # more numbers than are kept as constants


# Shapes


@pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "bool"])
def test_axes_are_moved_added_and_dropped(dtype):
    x = (CUBE > 0).astype(dtype)
    check(lambda x: [x.dimshuffle(2, "x", 0, 1), x.T, x.dimshuffle("x", 1, 0, 2, "x"), x.transpose(1, 2, 0)], x)
    check(lambda x: [T.specify_shape(x, (None, 1, None)).dimshuffle(2, 0),
                     T.specify_shape(x, (2, 1, 4)).squeeze()], x[:, :1])


def test_reshape_by_symbolic_shapes():
    def expression(x, y):
        rows, columns, depth = x.shape
        return [x.reshape((columns, rows * depth)), x.reshape((-1, depth)), x.flatten(), x.flatten(2), x.ravel(),
                x.reshape(T.concatenate([y.shape[:1], [-1]])), y.reshape((y.size, 1, 1)),
                x.reshape([2, 12], ndim=2)]  # fmt: skip

    check_with_gradients(expression, CUBE, X[:3])


def test_arithmetic_on_shapes_is_done_while_tracing():
    """Traced lengths could not be the lengths of new arrays."""

    def expression(x, y):
        rows, columns = x.shape
        half = T.switch(rows > columns, rows // 2, T.maximum(columns, 1))
        sizes = T.stack([half, T.minimum(rows, columns) % 2 + 1])
        return [T.zeros((half, rows + 1)), T.arange(rows * 2, dtype="int32"), x[: T.cast(half, "int64")], T.ones(sizes),
                T.arange(y.size) * 0.5, x.shape, T.eye(2).shape, T.prod(x.shape), ifelse(rows > 1, rows, columns),
                T.zeros(ifelse(rows > 1, rows, columns)), T.mean(y),
                T.arange(y.shape[0])[T.cast(half, "int32")]]  # fmt: skip

    check(expression, X, LONG)


def test_alloc_and_likes():
    check_with_gradients(
        lambda x: [T.alloc(x, 5, *x.shape), T.zeros_like(x), T.ones_like(x), T.full_like(x, 2),
                   T.alloc(0.5, x.shape[1]),
                   T.fill(x, x[0, 0]), T.zeros((0, 3)), T.tile(x, (2, 1)), T.repeat(x, 2, axis=1)], X)  # fmt: skip


@pytest.mark.parametrize("ends", [(5,), (2, 9), (2, 9, 3), (9, 2, -2)])
@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
def test_ranges(ends, dtype):
    check(lambda x: [T.arange(*ends, dtype=dtype), T.arange(x.shape[0], dtype=dtype),
                     T.cast(T.arange(*ends), dtype)], X)


def test_joins_and_splits():
    def expression(x, y):
        first, second = T.split(y, [1, y.shape[0] - 1], 2, axis=0)
        parts = T.split(x, [2, 1], 2, axis=1)
        return [T.concatenate([x, y], axis=0), T.concatenate([x, x], axis=-1), T.join(0, x, T.zeros((1, 3))), *parts,
                first, second, T.stack([x, 2 * x]), T.stack([x[0], y[0], x[1]], axis=1),
                T.stack([x[0, 0], 1.5])]  # fmt: skip

    check_with_gradients(expression, X, X[:3] + 1)
    check(lambda x, y: T.concatenate([x, y]), X.astype("float32"), np.arange(12).reshape(4, 3))
    check(lambda x: [T.stack([x.shape[0], x.shape[1]]), T.concatenate([x.shape, [7]]),
                     T.concatenate([x.shape] * 40)], X)


# Indices


def test_slices_and_places():
    def expression(x, y):
        n = x.shape[0]
        return [x[1], x[-1], x[::-1], x[::2], x[3:0:-2], x[:, 1], x[1:, :-1], x[None, :, 0],
                x[:, None, ::-1], x[..., -1],
                x[-3:-1], x[n // 2], x[: n - 1], x[n - 1 :: -1], x[y.shape[0] :], x[5:], x[1, 2],
                x[:-9], y[n - 2 :, ::-2]]  # fmt: skip

    check_with_gradients(expression, X, X[:2])


def test_places_given_as_values():
    i, n = np.array(2, "int32"), np.array(-1)
    check_with_gradients(lambda x, i, n: [x[i], x[n], x[i, n], x[:, i], x[i - 1, ::-1], x[None, i], x[n, 1:]], X, i, n)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int32"])
def test_parts_are_set_and_incremented(dtype):
    x, y = (10 * X).astype(dtype), (10 * X[:2] + 50).astype(dtype)

    def expression(x, y):
        changes = []
        for change in (T.set_subtensor, T.inc_subtensor):
            changes += [change(x[:2], y), change(x[1], y[0]), change(x[::-2], y), change(x[1:, 0], y[0, 0]),
                        change(x[: y.shape[0], ::-1], y), change(x[x.shape[0] - 1, 2], y[0, 0]),
                        change(x[:, 1:], 3)]  # fmt: skip
        return changes

    check(expression, x, y)
    if dtype == "float64":
        check_with_gradients(expression, x, y)


def test_rows_by_an_index_array_and_gradients_add_up_where_indices_repeat():
    check_with_gradients(lambda x, rows: [x[rows], x[rows, 1:], x[rows.reshape((5, 1))], x[-rows]], X, ROWS)
    x, rows = T.dmatrix("x"), T.ivector("rows")
    (slope,) = by_xla([x, rows], [T.grad(x[rows].sum(), x)], X, ROWS)
    np.testing.assert_array_equal(slope[:, 0], [1, 0, 3, 1])


def test_several_index_arrays_and_gradients():
    columns = np.array([0, 2, 0, 1, -1])

    def expression(x, rows, columns):
        return [x[rows, columns], x[columns], x[:, columns], x[rows[:2], :, None], x[T.arange(x.shape[0]), columns[:4]],
                x[T.arange(2)[:, None], columns], x[1, columns], x[rows - 4]]  # fmt: skip

    check_with_gradients(expression, X, ROWS, columns)
    i, j = ROWS[:2] // 2, columns[:2]
    check_with_gradients(lambda x, i, j: [x[i, :, j], x[:, i, j], x[..., j], x[None, i]], CUBE, i, j)


def test_index_arrays_set_and_increment():
    once = np.array([3, 0])

    def expression(x, y, once, rows):
        return [T.set_subtensor(x[once], y), T.inc_subtensor(x[rows], y[0]), T.set_subtensor(x[once, once - 2], 7.0),
                T.inc_subtensor(x[rows, rows - 2], y[0, 0]), T.inc_subtensor(x[:, once - 1], 1.0),
                T.inc_subtensor(x[rows], 1.0), T.set_subtensor(x[-once - 1], y)]  # fmt: skip

    check_with_gradients(expression, X, X[:2] + 9, once, ROWS)


def test_an_index_array_out_of_range_gives_nan_and_no_other_row():
    x, rows = T.dmatrix(), T.ivector()
    (taken,) = by_xla([x, rows], [x[rows]], X, np.array([1, 4, -4, -5], "int32"))
    np.testing.assert_array_equal(taken[[0, 2]], X[[1, 0]])
    assert np.isnan(taken[[1, 3]]).all()
    (taken,) = by_xla([x, rows], [x[rows, rows]], X, np.array([1, 3, -5], "int32"))
    assert taken[0] == X[1, 1] and np.isnan(taken[1:]).all()


@pytest.mark.parametrize("place", [4, -5])
def test_one_place_out_of_range_gives_nan_where_it_is_a_value_and_an_error_where_it_is_not(place):
    x, i = T.dmatrix(), T.iscalar()
    for taken in by_xla([x, i], [x[i], x[i, 1], x[:1, i]], X, np.array(place, "int32")):
        assert np.isnan(taken).all()
    with pytest.raises(IndexError, match="out of bounds"):
        by_xla([x], [x[place]], X)
    with pytest.raises(IndexError, match="out of bounds"):
        by_xla([x], [T.set_subtensor(x[place], 0.0)], X)


# Choices and checks


def test_ifelse():
    def expression(x, c):
        both = ifelse(c > 0, [x, x[0]], [2 * x, x[1]])
        return [ifelse(c > 0, x, -x), *both, ifelse(x.shape[0] > 3, x[:1], x[:2]), ifelse(x.shape[0] > 9, x[:1], x[:2])]

    for choice in (0, 1):
        check_with_gradients(expression, X, np.array(choice))
    x, c = T.dmatrix(), T.iscalar()
    with pytest.raises(UserError, match=r"ifelse, which must have the same shape, got \(1, 3\) and \(4, 3\)"):
        by_xla([x, c], [ifelse(c, x[:1], x)], X, np.array(1, "int32"))


def test_stated_shapes_are_checked():
    x = T.dmatrix()
    outputs = [T.specify_shape(x, (4, 3)) + 1, T.specify_shape(x, (None, 3))]
    for actual, expected in zip(by_xla([x], outputs, X), [X + 1, X]):
        np.testing.assert_array_equal(actual, expected)
    with pytest.raises(ValueError, match=r"expected an array of shape \(4, 3\), got \(2, 3\)"):
        by_xla([x], outputs[:1], X[:2])


def test_assertions_about_shapes_are_checked():
    x = T.dmatrix()
    output = Assert("four rows are needed")(x, T.eq(x.shape[0], 4))
    np.testing.assert_array_equal(by_xla([x], [2 * output], X)[0], 2 * X)
    with pytest.raises(AssertionError, match="four rows are needed"):
        by_xla([x], [2 * output], X[:2])


# Shapes that depend on values

N = T.iscalar("n")
M = T.dmatrix("m")


@pytest.mark.parametrize(
    ("output", "what"),
    [
        (T.zeros(N), "a new shape"),
        (T.alloc(M[0, 0], N, 2), "a new shape"),
        (T.arange(N), "the ends of a range"),
        (M.reshape((N, 6)), "a new shape"),
        (M.flatten()[:N], "the ends of a slice"),
        (T.split(M, [N, 4 - N], 2)[0], "the sizes of a split"),
        (T.join(N, M, M), "an axis"),
        (T.set_subtensor(M[:N], 0), "the ends of a slice"),
        (aesara.scan(lambda x: 2 * x, outputs_info=[M], n_steps=N)[0], "a new shape"),
    ],
)
def test_a_shape_that_depends_on_values_is_refused_with_what_it_is(output, what):
    with pytest.raises(UserError, match=f"the XLA engine must know {what} from the shapes .* depends on their values"):
        by_xla([N, M], [output + 0 * M[0, 0]], np.array(2, "int32"), X)


@pytest.mark.parametrize("output", [M[M[:, 0] > 0], T.nonzero(M)[0], T.extra_ops.unique(M.flatten())])
def test_what_gives_as_many_numbers_as_its_values_say_is_refused(output):
    with pytest.raises(UserError, match=r"the XLA engine (cannot run|must know) "):
        by_xla([M], [output], X)
