"""Batch normalization against PyTorch, values and gradients, on both engines; its statistics."""

import aesara
import aesara.tensor as T
import numpy as np
import pytest
from conftest import ENGINES

from theano_rnn.engine.compiling import compile_function
from theano_rnn.nn.batch_normalization import moved, normalized, normalized_in_batch

SHAPE = (4, 3, 5, 6)
IS_REAL = np.array([1.0, 0.0, 1.0, 1.0])


def arrays(*shapes):
    return [np.random.default_rng([0, i]).normal(0.7, 1.3, shape) for i, shape in enumerate(shapes)]


def compiled(engine):
    """A function of (x, is_real, gain, bias, weights): the results, and gradients of a weighted sum of the first."""
    x, weights, is_real, gain, bias = T.dtensor4(), T.dtensor4(), T.dvector(), T.dvector(), T.dvector()
    results = normalized_in_batch(x, is_real, gain, bias)
    gradients = aesara.grad(T.sum(results[0] * weights), [x, gain, bias])
    return compile_function(
        [x, is_real, gain, bias, weights], [*results, *gradients], [], name="tested", engine=engine
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_it_is_that_of_pytorch_of_the_pictures_that_count(engine):
    torch = pytest.importorskip("torch")
    given, gains, biases, slope = arrays(SHAPE, 6, 6, SHAPE)
    slope = slope * IS_REAL[:, None, None, None]
    pictures, gained, biased = (torch.tensor(each, requires_grad=True) for each in (given, gains, biases))
    statistics = torch.zeros(6, dtype=torch.float64), torch.zeros(6, dtype=torch.float64)
    real = pictures[IS_REAL > 0].permute(0, 3, 1, 2)
    expected = torch.nn.functional.batch_norm(real, *statistics, gained, biased, training=True, momentum=1)
    (expected.permute(0, 2, 3, 1) * torch.tensor(slope[IS_REAL > 0])).sum().backward()
    value, mean, variance, *gradients = map(np.asarray, compiled(engine)(given, IS_REAL, gains, biases, slope))
    np.testing.assert_allclose(value[IS_REAL > 0], expected.permute(0, 2, 3, 1).detach().numpy(), atol=1e-10)
    np.testing.assert_allclose(mean, statistics[0].numpy(), atol=1e-10)
    count = 3 * SHAPE[1] * SHAPE[2]
    np.testing.assert_allclose(variance, statistics[1].numpy() * (count - 1) / count, atol=1e-10)  # PyTorch: unbiased
    for ours, theirs in zip(gradients, (pictures.grad, gained.grad, biased.grad)):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-10)


@pytest.mark.parametrize("engine", ENGINES)
def test_pictures_that_do_not_count_are_normalized_like_the_others(engine):
    """Their gradients, too, are those of a function of these pictures alone."""
    given, gains, biases, slope = arrays(SHAPE, 6, 6, SHAPE)
    slope[IS_REAL > 0] = 0
    value, mean, variance, of_x, *_ = map(np.asarray, compiled(engine)(given, IS_REAL, gains, biases, slope))
    scale = gains / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(value, (given - mean) * scale + biases, atol=1e-10)
    np.testing.assert_allclose(of_x[1], slope[1] * scale, atol=1e-10)
    assert abs(of_x[0]).max() > 1e-3  # the others change it by the mean and the variance
    nothing = compiled(engine)(given, np.zeros(4), gains, biases, slope)
    assert all(np.isfinite(np.asarray(each)).all() for each in nothing)


def test_in_use_it_is_a_function_of_stored_statistics():
    x, mean, variance, gain, bias = T.dtensor4(), *(T.dvector() for _ in range(4))
    function = compile_function([x, mean, variance, gain, bias], [normalized(x, mean, variance, gain, bias)], [],
                                name="tested", engine=ENGINES[-1])  # fmt: skip
    given, means, variances, gains, biases = arrays(SHAPE, 6, 6, 6, 6)
    (found,) = function(given, means, variances**2, gains, biases)
    expected = (given - means) / np.sqrt(variances**2 + 1e-5) * gains + biases
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-10)
    assert moved(np.float64(2.0), np.float64(4.0)) == pytest.approx(2.2)


def test_statistics_have_no_gradient():
    x, is_real, gain = T.dtensor4(), T.dvector(), T.dvector()
    _, mean, _ = normalized_in_batch(x, is_real, gain, gain)
    with pytest.raises(aesara.gradient.DisconnectedInputError):
        aesara.grad(T.sum(mean), x)
