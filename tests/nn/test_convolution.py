"""Convolution and pooling against PyTorch: values and gradients, on both engines."""

import aesara
import aesara.tensor as T
import numpy as np
import pytest
from conftest import ENGINES

from theano_rnn.engine.compiling import compile_function
from theano_rnn.nn.convolution import convolve, max_pool, num_places

CASES = [  # picture, kernel, stride, padding
    ((2, 7, 6, 3), (3, 3, 3, 5), 1, "same"),
    ((2, 8, 8, 3), (3, 3, 3, 5), 2, "same"),
    ((3, 9, 7, 2), (5, 3, 2, 4), 2, "same"),
    ((2, 9, 8, 2), (4, 2, 2, 3), 3, "valid"),
    ((1, 5, 5, 1), (1, 1, 1, 2), 1, "valid"),
    ((2, 7, 7, 2), (3, 3, 2, 4), 3, "same"),
]


def compiled(inputs, output, engine):
    """A function that returns the output, and the gradients of a weighted sum of it."""
    weights = T.tensor4("weights", dtype="float64")
    gradients = aesara.grad(T.sum(output * weights), inputs)
    return compile_function([*inputs, weights], [output, *gradients], [], name="tested", engine=engine)


def arrays(*shapes, seed=0):
    return [np.random.default_rng([seed, i]).normal(size=shape) for i, shape in enumerate(shapes)]


def channels_first(torch, array):
    return torch.tensor(array, requires_grad=True), lambda tensor: tensor.permute(0, 3, 1, 2)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("layer", CASES, ids=repr)
def test_convolution_is_that_of_pytorch(layer, engine):
    torch = pytest.importorskip("torch")
    picture, kernel, stride, padding = layer
    x, W = T.tensor4("x", dtype="float64"), T.tensor4("W", dtype="float64")
    function = compiled([x, W], convolve(x, W, stride=stride, padding=padding), engine)
    given, weights = arrays(picture, kernel)
    (pictures, first), kernels = channels_first(torch, given), torch.tensor(weights, requires_grad=True)
    zeros = (kernel[0] // 2, kernel[1] // 2) if padding == "same" else 0
    expected = torch.nn.functional.conv2d(first(pictures), kernels.permute(3, 2, 0, 1), stride=stride, padding=zeros)
    expected = expected.permute(0, 2, 3, 1)
    sizes = [num_places(size, length, stride, padding) for size, length in zip(picture[1:3], kernel[:2])]
    assert expected.shape[1:3] == tuple(sizes)
    (slope,) = arrays(expected.shape, seed=1)
    (expected * torch.tensor(slope)).sum().backward()
    found = function(given, weights, slope)
    for ours, theirs in zip(found, (expected.detach(), pictures.grad, kernels.grad)):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-10)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("shape", "size"), [((2, 6, 6, 3), 2), ((2, 7, 8, 2), 3)], ids=repr)
def test_pooling_is_that_of_pytorch_also_with_equal_values(shape, size, engine):
    torch = pytest.importorskip("torch")
    x = T.tensor4("x", dtype="float64")
    function = compiled([x], max_pool(x, size), engine)
    for given in (*arrays(shape), np.random.default_rng(2).integers(0, 2, shape).astype("float64")):
        pictures, first = channels_first(torch, given)
        expected = torch.nn.functional.max_pool2d(first(pictures), size).permute(0, 2, 3, 1)
        (slope,) = arrays(expected.shape, seed=1)
        (expected * torch.tensor(slope)).sum().backward()
        value, gradient = function(given, slope)
        np.testing.assert_allclose(value, expected.detach().numpy(), atol=1e-10)
        np.testing.assert_allclose(gradient, pictures.grad.numpy(), atol=1e-10)


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match="stride must be at least 1, got 0"):
        convolve(T.tensor4(), T.tensor4(), stride=0)
    with pytest.raises(ValueError, match="padding must be one of same, valid, got 'full'"):
        convolve(T.tensor4(), T.tensor4(), padding="full")
    with pytest.raises(TypeError, match="with 4 axes"):
        convolve(T.tensor3(), T.tensor4())
    x, W = T.tensor4("x", dtype="float64"), T.tensor4("W", dtype="float64")
    function = compile_function([x, W], [convolve(x, W)], [], name="tested", engine=ENGINES[-1])
    with pytest.raises(ValueError, match="odd size, got 2 x 3"):
        function(np.ones((1, 4, 4, 1)), np.ones((2, 3, 1, 1)))
