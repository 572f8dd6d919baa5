"""The kernel that adds up the squares of a vector, compared with NumPy in double precision."""

import aesara.tensor as T
import numpy as np
import pytest

pytest.importorskip("jax")

from theano_rnn.engine import kernels, lowering
from theano_rnn.engine.compiling import compile_function
from theano_rnn.learning.gradients import squared_norm

# The kernel adds 32 numbers at a time, 4,096 in a block, and 32 blocks in a part, which is one thread's
SIZES = [0, 1, 7, 8, 31, 32, 33, 4_095, 4_096, 4_097, 131_071, 131_072, 131_073, 400_003]

pytestmark = [
    pytest.mark.skipif(kernels.extension() is None, reason="there is no kernel here"),
    pytest.mark.usefixtures("kernels_are_on"),
]


def compiled(x, graph):
    return compile_function(x, [graph], [], name="squares", engine="jax", device="cpu")


@pytest.fixture
def num_found(monkeypatch):
    """How many sums of squares were calls of the kernel."""
    found, find = [], lowering.find_sum_of_squares

    def spy(node):
        function = find(node)
        found.extend([node] if function else [])
        return function

    monkeypatch.setattr(lowering, "find_sum_of_squares", spy)
    return lambda: len(found)


@pytest.fixture
def squares():
    """The squared norm of a vector."""
    x = T.fvector("x")
    return compiled([x], squared_norm(x))


@pytest.mark.parametrize("size", SIZES)
def test_any_size(squares, size):
    x = np.random.default_rng(size).normal(size=size).astype("float32")
    np.testing.assert_allclose(np.asarray(squares(x)[0]), np.sum(x.astype("float64") ** 2), rtol=3e-7)


@pytest.mark.parametrize("place", [0, 40, 4_100])  # among those added 32 at a time, and in what is left
def test_infinities_and_nan_remain(squares, place):
    x = np.ones(4_101, "float32")
    for bad in (np.inf, np.nan):
        x[place] = bad
        np.testing.assert_equal(np.asarray(squares(x)[0]), bad)


def test_numbers_of_any_size(squares):
    assert np.asarray(squares(np.full(10_000, 1e30, "float32"))[0]) == np.inf
    np.testing.assert_allclose(np.asarray(squares(np.full(10_000, 1e-15, "float32"))[0]), 1e-26, rtol=1e-5)


def test_the_norm_of_a_matrix_is_a_call(num_found):
    x = T.fmatrix("x")
    matrix = np.random.default_rng(0).normal(size=(300, 70)).astype("float32")
    exact = np.sum(matrix.astype("float64") ** 2)
    np.testing.assert_allclose(np.asarray(compiled([x], squared_norm(x))(matrix)[0]), exact, rtol=3e-7)
    assert num_found() == 1


def test_other_products_are_none(num_found):
    x, y, z = T.fvector("x"), T.fvector("y"), T.dvector("z")
    compiled([x, y], T.dot(x, y))(np.ones(3, "float32"), np.ones(3, "float32"))
    compiled([z], T.dot(z, z))(np.ones(3))
    assert num_found() == 0
