"""Initial values of parameters."""

import numpy as np
import pytest

from theano_rnn.nn.initializers import normal, orthogonal, uniform


def test_same_generator_same_numbers():
    first, again, other = (uniform((7, 5), rng=np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first.shape == (7, 5)
    assert first.dtype == np.float64


@pytest.mark.parametrize(("shape", "limit", "bound"), [((16, 400), None, 0.25), ((3, 4000), 0.1, 0.1)])
def test_uniform_fills_its_interval(shape, limit, bound):
    W = uniform(shape, rng=np.random.default_rng(0), limit=limit)
    assert -bound <= W.min() < -0.99 * bound
    assert 0.99 * bound < W.max() < bound
    assert abs(W.mean()) < 0.03 * bound
    np.testing.assert_allclose(W.std(), bound / 3**0.5, rtol=0.03)


def test_normal_numbers_have_mean_zero_and_deviation_one():
    values = normal((300, 400), rng=np.random.default_rng(0))
    assert values.shape == (300, 400)
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1) < 0.01


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (1, 1)])
def test_the_shorter_axis_of_an_orthogonal_matrix_is_orthonormal(shape):
    W = orthogonal(shape, rng=np.random.default_rng(0))
    assert W.shape == shape and W.dtype == np.float64
    product = W.T @ W if shape[0] > shape[1] else W @ W.T
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-14)
    np.testing.assert_array_equal(W, orthogonal(shape, rng=np.random.default_rng(0)))


def test_orthogonal_matrices_are_all_equally_likely():
    """QR alone gives a diagonal with mostly one sign; elements should have mean 0 and variance 1/n."""
    rng = np.random.default_rng(1)
    drawn = np.array([orthogonal((3, 3), rng=rng) for _ in range(4000)])
    assert np.abs(drawn.mean(axis=0)).max() < 0.04
    np.testing.assert_allclose((drawn**2).mean(axis=0), 1 / 3, rtol=0.06)
    assert abs((np.linalg.det(drawn) > 0).mean() - 0.5) < 0.03
