"""Convolutional layers for pictures: convolution and max pooling.

    y_bijo = sum over k, l, c of x_b,(si + k - p),(sj + l - p),c W_klco           convolution with stride s, padding p

Pictures are arrays (batch, height, width, channels), and kernels (height, width, channels, output channels). With
padding "same" a kernel of odd size n is padded with n // 2 zeros on every side, so an output has ceil(height / stride)
rows, as of ``torch.nn.Conv2d`` with ``padding=n // 2``; with "valid" there is no padding.

The convolution is an operation of its own: XLA has one, cuDNN's on a GPU, and the engine c multiplies matrices of
patches. (On two CPU cores, training steps with shifted slices and one product per layer take as long, but they store
every picture nine times.)
"""

from __future__ import annotations

import importlib
from typing import Any

import aesara.tensor as T
import numpy as np
from aesara.graph.basic import Apply
from aesara.graph.op import Op

PADDINGS = ("same", "valid")


def convolve(x: Any, W: Any, *, stride: int = 1, padding: str = "same") -> Any:
    """Returns the convolution of pictures (batch, height, width, channels) with a kernel.

    Parameters
    ----------
    W : float (kernel height, kernel width, channels, output channels)
    stride : int
    padding : {"same", "valid"}
        "same" needs a kernel of odd height and width.

    Returns
    -------
    float (batch, rows, columns, output channels)
    """
    return Convolution(stride, padding)(x, W)


def max_pool(x: Any, size: int) -> Any:
    """Returns the maximum of each `size` by `size` square of x (batch, height, width, channels).

    Rows and columns that do not fill a square are left out. If several values of a square are the greatest, the
    gradient goes to the first one.
    """
    rows, columns = x.shape[1] // size, x.shape[2] // size
    whole = x[:, : rows * size, : columns * size]
    squares = whole.reshape((x.shape[0], rows, size, columns, size, x.shape[3]))
    best, *others = [squares[:, :, i, :, j] for i in range(size) for j in range(size)]
    for other in others:
        best = T.switch(T.gt(other, best), other, best)
    return best


def num_places(size: Any, kernel: Any, stride: int, padding: str = "same") -> Any:
    """Returns the number of rows (or columns) of the convolution of a picture with `size` rows (or columns).

    >>> num_places(64, 3, 2), num_places(5, 3, 1, "valid")
    (32, 3)
    """
    return (size + 2 * num_zeros(kernel, padding) - kernel) // stride + 1


def num_zeros(kernel: Any, padding: str) -> Any:
    """Returns the number of rows (or columns) of zeros on each side of a picture."""
    return kernel // 2 if padding == "same" else 0


class Convolution(Op):  # type: ignore[misc]
    """The operation (pictures, kernel) -> convolution; see `convolve`."""

    __props__ = ("stride", "padding")

    def __init__(self, stride: int, padding: str) -> None:
        if stride < 1:
            raise ValueError(f"stride must be at least 1, got {stride}")
        if padding not in PADDINGS:
            raise ValueError(f"padding must be one of {', '.join(PADDINGS)}, got {padding!r}")
        self.stride, self.padding = stride, padding

    def make_node(self, x: Any, W: Any) -> Apply:
        x, W = T.as_tensor_variable(x), T.as_tensor_variable(W)
        if x.ndim != 4 or W.ndim != 4 or x.dtype != W.dtype:
            raise TypeError(f"expected two arrays of one dtype with 4 axes, got {x.type} and {W.type}")
        return Apply(self, [x, W], [T.TensorType(x.dtype, shape=(None,) * 4)()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        x, W = inputs
        self.check(W)
        patches = self.patches(x, W.shape[:2])
        rows = patches.reshape(-1, W[..., 0].size) @ W.reshape(-1, W.shape[3])
        outputs[0][0] = rows.reshape(*patches.shape[:3], W.shape[3])

    def L_op(self, inputs: list[Any], outputs: list[Any], output_gradients: list[Any]) -> list[Any]:
        x, W = inputs
        (slope,) = output_gradients
        options = self.stride, self.padding
        return [GradientOfPictures(*options)(x, W, slope), GradientOfKernel(*options)(x, W, slope)]

    def infer_shape(self, fgraph: Any, node: Apply, shapes: list[Any]) -> list[Any]:
        (batch, height, width, _), (rows, columns, _, channels) = shapes
        places = [num_places(*sizes, self.stride, self.padding) for sizes in ((height, rows), (width, columns))]
        return [(batch, *places, channels)]

    def as_jax(self, node: Apply) -> Any:
        return self.with_jax

    def with_jax(self, x: Any, W: Any) -> Any:
        """Compute the convolution of JAX arrays."""
        self.check(W)
        zeros = [(num_zeros(size, self.padding),) * 2 for size in W.shape[:2]]
        convolution = importlib.import_module("jax").lax.conv_general_dilated
        axes = ("NHWC", "HWIO", "NHWC")
        return convolution(x, W, (self.stride, self.stride), zeros, dimension_numbers=axes)

    def check(self, W: Any) -> None:
        """Raises `ValueError` if a kernel cannot have this padding."""
        if self.padding == "same" and not (W.shape[0] % 2 and W.shape[1] % 2):
            raise ValueError(f"padding same needs a kernel of odd size, got {W.shape[0]} x {W.shape[1]}")

    def padded(self, x: Any, kernel: tuple[int, int]) -> Any:
        """Returns the pictures with zeros around them."""
        (above, beside) = (num_zeros(size, self.padding) for size in kernel)
        return np.pad(x, ((0, 0), (above, above), (beside, beside), (0, 0)))

    def patches(self, x: Any, kernel: tuple[int, int]) -> Any:
        """Returns what a kernel sees at each place: (batch, rows, columns, kernel height, kernel width, channels)."""
        view: Any = np.lib.stride_tricks.sliding_window_view  # whose stubs know one axis only
        windows = view(self.padded(x, kernel), kernel, axis=(1, 2))
        return np.ascontiguousarray(windows[:, :: self.stride, :: self.stride].transpose(0, 1, 2, 4, 5, 3))


class GradientOfKernel(Convolution):
    """The operation (pictures, kernel, gradient of the convolution) -> gradient of the kernel."""

    def make_node(self, x: Any, W: Any, slope: Any) -> Apply:  # type: ignore[override]
        return Apply(self, [x, W, T.as_tensor_variable(slope)], [W.type.clone(shape=(None,) * 4)()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        x, W, slope = inputs
        patches = self.patches(x, W.shape[:2]).reshape(-1, W[..., 0].size)
        outputs[0][0] = (patches.T @ slope.reshape(-1, W.shape[3])).reshape(W.shape)

    def L_op(self, inputs: list[Any], outputs: list[Any], output_gradients: list[Any]) -> list[Any]:
        raise NotImplementedError("the convolution has no second derivative")

    def infer_shape(self, fgraph: Any, node: Apply, shapes: list[Any]) -> list[Any]:
        return [shapes[1]]

    def as_jax(self, node: Apply) -> Any:
        def compute(x: Any, W: Any, slope: Any) -> Any:
            vjp = importlib.import_module("jax").vjp
            (found,) = vjp(lambda kernel: self.with_jax(x, kernel), W)[1](slope)
            return found

        return compute


class GradientOfPictures(GradientOfKernel):
    """The operation (pictures, kernel, gradient of the convolution) -> gradient of the pictures."""

    def make_node(self, x: Any, W: Any, slope: Any) -> Apply:  # type: ignore[override]
        return Apply(self, [x, W, T.as_tensor_variable(slope)], [x.type.clone(shape=(None,) * 4)()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        x, W, slope = inputs
        batch, rows, columns, channels = slope.shape
        height, width = W.shape[:2]
        patches = slope.reshape(-1, channels) @ W.reshape(-1, channels).T
        patches = patches.reshape(batch, rows, columns, height, width, W.shape[2])
        total = np.zeros_like(self.padded(x, (height, width)))
        for i in range(height):
            for j in range(width):
                part = total[:, i : i + rows * self.stride : self.stride, j : j + columns * self.stride : self.stride]
                part += patches[:, :, :, i, j]
        above, beside = (num_zeros(size, self.padding) for size in (height, width))
        outputs[0][0] = np.ascontiguousarray(total[:, above : above + x.shape[1], beside : beside + x.shape[2]])

    def infer_shape(self, fgraph: Any, node: Apply, shapes: list[Any]) -> list[Any]:
        return [shapes[0]]

    def as_jax(self, node: Apply) -> Any:
        def compute(x: Any, W: Any, slope: Any) -> Any:
            vjp = importlib.import_module("jax").vjp
            (found,) = vjp(lambda pictures: self.with_jax(pictures, W), x)[1](slope)
            return found

        return compute
