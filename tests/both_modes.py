"""The same graph by the XLA engine and by Aesara's Python implementations, one operation at a time."""

import aesara
import aesara.tensor as T
import numpy as np
from aesara.compile.mode import Mode

PRECISION = {"float64": 1e-11, "float32": 2e-5}  # relative, and absolute for numbers below 1


def by_xla(inputs, outputs, *values):
    """NumPy arrays."""
    from theano_rnn.engine.xla import compile_function

    return [np.asarray(result) for result in compile_function(inputs, outputs, name="tested")(*values)]


def by_python(inputs, outputs, *values):
    """NumPy arrays; neither Aesara's rewrites for speed nor a compiler take part."""
    with aesara.config.change_flags(mode="FAST_COMPILE", cxx=""):  # also of the scans in it
        return aesara.function(inputs, outputs, mode=Mode("py", None), on_unused_input="ignore")(*values)


def assert_same(inputs, outputs, *values):
    """Both give arrays of the same dtype, shape and numbers, which are returned."""
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    expected, actual = by_python(inputs, outputs, *values), by_xla(inputs, outputs, *values)
    assert len(actual) == len(expected)
    for ours, theirs in zip(actual, expected):
        theirs = np.asarray(theirs)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        bound = PRECISION.get(str(ours.dtype), 0)
        np.testing.assert_allclose(ours, theirs, rtol=bound, atol=bound)
    return actual


def symbol(value, name=None):
    """An input for a NumPy array, whose shape only its value tells."""
    return T.TensorType(str(value.dtype), shape=(None,) * value.ndim)(name)


def check(expression, *values):
    """`expression`, a function of symbols, is the same in both modes for `values`."""
    values = [np.asarray(value) for value in values]
    symbols = [symbol(value) for value in values]
    return assert_same(symbols, expression(*symbols), *values)


def check_with_gradients(expression, *values):
    """Besides, so are the gradients of the weighted sum of its outputs with respect to all float inputs."""
    values = [np.asarray(value) for value in values]
    symbols = [symbol(value) for value in values]
    outputs = expression(*symbols)
    outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    dtype = next(s.dtype for s in symbols if s.dtype.startswith("float"))
    with aesara.config.change_flags(floatX=dtype):
        total = sum(T.sum(T.cos(T.cast(i + 1, dtype) * output)) for i, output in enumerate(outputs))
        gradients = T.grad(total, [s for s in symbols if s.dtype.startswith("float")], disconnected_inputs="ignore")
    return assert_same(symbols, [*outputs, *gradients], *values)
