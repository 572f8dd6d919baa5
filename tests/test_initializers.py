"""Initial parameters."""

import numpy as np
import pytest

from theano_rnn.initializers import normal, uniform


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
