"""Batch normalization (Ioffe & Szegedy 2015): each channel gets mean 0 and variance 1, then a gain and a bias.

    y = (x - mean) / sqrt(variance + epsilon) * gain + bias

In training, mean and variance are those of the batch. In use, they are running averages, which are stored with the
parameters, so that a picture's result does not depend on the others in its batch.

In training it is an operation of its own, with the gradient in closed form. With d = (x - mean) / sqrt(variance +
epsilon), the share s_n of each place n in the mean, and the gradient g_n of y_n:

    gradient of bias = sum_n g_n                          gradient of gain = sum_n g_n d_n
    gradient of x_n  = gain / sqrt(variance + epsilon) * (g_n - s_n (gradient of bias + d_n * gradient of gain))

Differentiating the mean and the variance step by step gives the same, but passes more often over arrays that are as
large as all pictures of the batch.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import aesara.tensor as T
import numpy as np
from aesara.gradient import disconnected_type
from aesara.graph.basic import Apply
from aesara.graph.op import Op

from theano_rnn.engine.parallel import MESH_AXIS, batch_is_divided, sum_over_devices

MOMENTUM = 0.1  # of the statistics of a new batch in their running averages
NORM_EPSILON = 1e-5  # added to the variance, as in PyTorch


def normalized(x: Any, mean: Any, variance: Any, gain: Any, bias: Any) -> Any:
    """Returns ``(x - mean) / sqrt(variance + epsilon) * gain + bias``; the last axis is that of the channels."""
    return (x - mean) * (gain / T.sqrt(variance + np.asarray(NORM_EPSILON, x.dtype))) + bias


def normalized_in_batch(x: Any, is_real: Any, gain: Any, bias: Any) -> tuple[Any, Any, Any]:
    """Returns x, normalized by the mean and the variance of its batch, and that mean and variance (channels,).

    If several devices share the batch, these are of the whole batch. Gradients go through x, gain and bias; the
    returned mean and variance have none.

    Parameters
    ----------
    x : float (batch, height, width, channels)
    is_real : float (batch,)
        1 for each picture that counts, 0 for the others. These are normalized by the mean and variance of those.
    gain, bias : float (channels,)
    """
    count = sum_over_devices(T.sum(is_real, dtype=x.dtype, acc_dtype=x.dtype))
    num_places = T.cast(x.shape[1] * x.shape[2], x.dtype)  # of a picture
    shares = is_real / T.maximum(count * num_places, np.ones((), x.dtype))
    y, mean, variance = BatchNormalization(batch_is_divided())(x, shares, gain, bias)
    return y, mean, variance


def moved(average: Any, value: Any) -> Any:
    """Returns the running average after a new value."""
    return average + np.asarray(MOMENTUM, average.dtype) * (value - average)


class BatchNormalization(Op):  # type: ignore[misc]
    """The operation (x, shares, gain, bias) -> y, mean, variance.

    `shares` (batch,) are those of a place of each picture in the mean of all places; their sum over all places is 1. If
    the batch is divided among devices, the sums of all of them are added.
    """

    __props__ = ("is_divided",)

    def __init__(self, is_divided: bool = False) -> None:
        self.is_divided = is_divided

    def make_node(self, x: Any, shares: Any, gain: Any, bias: Any) -> Apply:
        return Apply(self, [x, shares, gain, bias], [x.type.clone(shape=(None,) * 4)(), gain.type(), gain.type()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        for storage, value in zip(outputs, self.compute(lambda value: value, *inputs)):
            storage[0] = value

    def as_jax(self, node: Apply) -> Callable[..., Any]:
        psum = importlib.import_module("jax").lax.psum
        total = (lambda value: psum(value, MESH_AXIS)) if self.is_divided else (lambda value: value)
        return lambda *inputs: self.compute(total, *inputs)

    def compute(self, total: Callable[[Any], Any], x: Any, shares: Any, gain: Any, bias: Any) -> list[Any]:
        """Returns the results for arrays of NumPy or JAX; `total` sums over devices.

        Sums over places are products with a vector, which XLA computes several times faster than sums over first axes.
        """
        rows, weights = rows_of(x), weights_of(shares, x)
        mean = total(weights @ rows)
        variance = total(weights @ (rows - mean) ** 2)
        return [((rows - mean) * (gain * scale_of(variance)) + bias).reshape(x.shape), mean, variance]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[name != "shares", False, False] for name in ("x", "shares", "gain", "bias")]

    def L_op(self, inputs: list[Any], outputs: list[Any], output_gradients: list[Any]) -> list[Any]:
        x, shares, gain, _ = inputs
        _, *statistics = outputs
        slopes = NormalizationGradient(self.is_divided)(x, shares, gain, *statistics, output_gradients[0])
        return [slopes[0], disconnected_type(), *slopes[1:]]

    def infer_shape(self, fgraph: Any, node: Apply, shapes: list[Any]) -> list[Any]:
        return [shapes[0], shapes[2], shapes[2]]


class NormalizationGradient(BatchNormalization):
    """The operation (x, shares, gain, mean, variance, gradient of y) -> gradients of x, gain and bias."""

    def make_node(self, x: Any, shares: Any, gain: Any, mean: Any, variance: Any, slope: Any) -> Apply:  # type: ignore[override]
        results = [x.type.clone(shape=(None,) * 4)(), gain.type(), gain.type()]
        return Apply(self, [x, shares, gain, mean, variance, slope], results)

    def compute(  # type: ignore[override]
        self, total: Callable[[Any], Any], x: Any, shares: Any, gain: Any, mean: Any, variance: Any, slope: Any
    ) -> list[Any]:
        scale, slopes = scale_of(variance), rows_of(slope)
        deviations, ones = (rows_of(x) - mean) * scale, np.ones(len(slopes), x.dtype)
        of_bias, of_gain = ones @ slopes, ones @ (slopes * deviations)  # of this device's part of the batch
        common = weights_of(shares, x)[:, None] * (total(of_bias) + deviations * total(of_gain))
        return [((slopes - common) * (gain * scale)).reshape(x.shape), of_gain, of_bias]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[True] * 3 for _ in node.inputs]

    def L_op(self, inputs: list[Any], outputs: list[Any], output_gradients: list[Any]) -> list[Any]:
        raise NotImplementedError("batch normalization has no second derivative")


def rows_of(x: Any) -> Any:
    """Returns x (batch, height, width, channels) as a matrix with a row for each place of each picture."""
    return x.reshape(-1, x.shape[3])


def weights_of(shares: Any, x: Any) -> Any:
    """Returns the share of each place of each picture in the mean."""
    return (shares[:, None] * np.ones((1, x.shape[1] * x.shape[2]), x.dtype)).reshape(-1)


def scale_of(variance: Any) -> Any:
    """Returns ``1 / sqrt(variance + epsilon)``."""
    return (variance + np.asarray(NORM_EPSILON, variance.dtype)) ** -0.5
