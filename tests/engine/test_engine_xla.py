"""The XLA engine: its errors, compilations and numbers, and that it leaves Aesara and JAX unchanged."""

import functools
import sys
import warnings

import aesara
import aesara.tensor as T
import numpy as np
import pytest
from aesara.compile.mode import get_default_mode, predefined_linkers
from aesara.link.basic import Container
from aesara.scan.op import Scan
from aesara.tensor.math import Dot
from conftest import ENGINES, compiled_once

from theano_rnn.engine.compiling import compile_function
from theano_rnn.model import RNNLM
from theano_rnn.settings.base import UserError
from theano_rnn.settings.network import ModelConfig

jax = pytest.importorskip("jax")

from theano_rnn.engine import xla  # noqa: E402


@pytest.fixture
def engine():
    return "jax"


def compiled(inputs, outputs, updates=()):
    return compile_function(inputs, outputs, list(updates), name="tested", engine="jax", device="auto")


# What it refuses


def test_arguments_are_checked(tanh):
    arguments = [*tanh.inputs(), 0.5]
    for place, wrong in [(0, arguments[0].astype("int64")), (0, arguments[0][0]), (2, arguments[2].astype("complex64")),
                         (3, arguments[3][None]), (4, np.ones(2)), (0, arguments[2])]:  # fmt: skip
        with pytest.raises(TypeError):
            tanh.functions.train(*arguments[:place], wrong, *arguments[place + 1 :])
    for count in (0, 4, 6):
        with pytest.raises(TypeError, match=f"train takes 5 arguments, got {count}"):
            tanh.functions.train(*(arguments * 2)[:count])


def test_device_arrays_are_taken_as_they_are_and_checked_too():
    x = T.fmatrix("x")
    double = compiled([x], [2 * x])
    (twice,) = double(np.ones((2, 3), "float32"))
    np.testing.assert_array_equal(double(twice)[0], np.full((2, 3), 4))
    assert not twice.is_deleted()
    for wrong in (jax.numpy.ones((2, 3), "int32"), jax.numpy.ones(3, "float32")):
        with pytest.raises(TypeError, match=r"expected .*float32.*, got (int32 with 2|float32 with 1) dimensions"):
            double(wrong)


def test_xla_compiles_once_for_arrays_of_numpy_and_for_its_own(caplog):
    """A run starts with a state from the host and continues with one from the device."""
    model = RNNLM(ModelConfig(cell="tanh", embedding_size=3, hidden_size=4, vocab_size=7), rng=np.random.default_rng(0))
    train = model.compile("train", engine="jax").train
    tokens, state = np.zeros((2, 3), "int32"), model.initial_state(3)
    counts = []
    with jax.log_compiles():
        for _ in range(3):
            caplog.clear()
            _, *state = train(tokens, tokens, np.ones((2, 3), "float32"), *state, np.float32(0.1))
            counts.append(sum("Finished XLA compilation of jit(traced)" in message for message in caplog.messages))
    assert counts == [1, 0, 0]


@pytest.mark.parametrize("shape", [(350, 100, 560), (200, 300, 1200), (20, 200, 800)])
def test_a_product_reads_the_value_of_a_matrix_after_each_update_in_place(shape):
    """Fails with JAX 0.7.1 for the first two shapes if XLA uses XNNPACK."""
    num_rows, num_inputs, num_outputs = shape
    rng = np.random.default_rng(0)
    value = rng.normal(size=(num_inputs, num_outputs)).astype("float32")
    x_value = rng.normal(size=(num_rows, num_inputs)).astype("float32")
    matrix, x = aesara.shared(value, name="matrix"), T.fmatrix("x")
    product = compile_function([x], [T.dot(x, matrix)], engine="jax", device="cpu")
    halve = compile_function([], [matrix[0, 0]], [(matrix, matrix * np.float32(0.5))], engine="jax", device="cpu")
    for power in range(4):
        np.testing.assert_allclose(product(x_value)[0], x_value @ value * 0.5**power, atol=1e-3)
        halve()


def test_a_kind_of_device_that_jax_does_not_see_is_refused_in_one_line():
    seen = {device.platform for device in jax.devices()}
    missing = "gpu" if "gpu" not in seen else "rocm"
    x = T.dvector()
    message = f"JAX sees no {missing} .*install the extra cuda12 or cuda13.*--device cpu"
    with pytest.raises(UserError, match=message) as caught:
        compile_function([x], [x], engine="jax", device=missing)
    assert "\n" not in str(caught.value)


def test_many_shapes_are_warned_of_and_fewer_are_not():
    x = T.dvector("x")
    double = compiled([x], [2 * x])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for length in [*range(1, xla.MAX_SHAPES + 1), *range(1, xla.MAX_SHAPES + 1)]:
            double(np.ones(length))
    with pytest.warns(UserWarning, match=f"compiled one function for {xla.MAX_SHAPES + 1} shapes.*use fewer lengths"):
        double(np.ones(100))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        double(np.ones(101))


# What it leaves as it was

FLAGS = ("allow_gc", "mode", "linker", "floatX", "cxx", "optimizer", "optimizer_excluding")


def test_other_programs_of_aesara_and_jax_are_left_as_they_were(adam):
    before = {name: getattr(aesara.config, name) for name in FLAGS}
    linkers = dict(predefined_linkers)
    adam.functions.train(*adam.inputs(), 0.01)
    x = T.dmatrix("x")
    with pytest.raises(UserError):
        compiled([x], [T.nonzero(x)[0]])
    compiled([x], [2 * x])(np.ones((2, 2)))
    assert {name: getattr(aesara.config, name) for name in FLAGS} == before
    assert predefined_linkers == linkers and not isinstance(get_default_mode().linker, xla.XLALinker)
    assert not [name for name in sys.modules if name.startswith("aesara.link.jax.dispatch")]
    assert jax.config.jax_enable_x64 is False and jax.config.jax_default_device is None
    assert jax.numpy.ones(2).dtype == "float32" and jax.numpy.arange(2).dtype == "int32"


def test_a_graph_compiled_here_can_still_be_compiled_by_others(python_mode):
    x, other = T.dvector("x"), aesara.shared(np.ones(2), name="other")
    total, _ = aesara.scan(lambda a, b: a + b, sequences=[x], outputs_info=[T.zeros(())])
    (scan,) = [node.op for node in aesara.graph.basic.io_toposort([x], [total]) if isinstance(node.op, Scan)]
    mode = scan.mode_instance
    ours = compiled([x], [total, x.shape[0] + 1])
    assert scan.mode_instance is mode
    theirs = aesara.function([x], [total, x.shape[0] + 1])
    for function in (ours, theirs, ours):
        sums, length = function(np.array([1.0, 2.0, 3.0]))
        np.testing.assert_array_equal(sums, [1, 3, 6])
        assert length == 4
    assert type(other.container) is Container


# The compiled graph


@pytest.mark.parametrize("model", ["tanh", "relu", "lstm", "adam"])
def test_each_scan_takes_one_product_a_step(model, request):
    """Forward h W_hh, backward the gradient of h; the gradient of W_hh is one product outside the scan."""
    train = request.getfixturevalue(model).functions.train
    cell = "LSTMCell" if model == "lstm" else "RNNCell"

    def products(graph):
        return len([node for node in graph.toposort() if isinstance(node.op, Dot) and node.outputs[0].ndim == 2])

    assert {name: products(graph) for name, graph in train.vm.scans.items()} == {
        f"unroll_{cell}": 1, f"grad_of_unroll_{cell}": 1,
    }  # fmt: skip
    assert products(train.maker.fgraph) == 7


# Beside the C engine


@functools.cache
def model_and_train(engine):
    """Returns a new float32 model and its compiled `train`."""
    config = ModelConfig(cell="tanh", embedding_size=5, hidden_size=6, vocab_size=7, tie_weights=False)
    model = RNNLM(config, rng=np.random.default_rng(0))
    return model, model.compile("train", engine=engine).train


def losses(train, dtype):
    """Returns the losses of 50 steps on repeated sentences, so that the model learns much."""
    rng = np.random.default_rng(1)
    tokens = rng.integers(7, size=(5, 6, 3), dtype="int32")
    state, rate = np.zeros((3, 6), dtype), np.array(0.5, dtype)
    return [float(train(tokens[i % 5], np.roll(tokens[i % 5], -1, 0), np.ones((6, 3), dtype), state, rate)[0])
            for i in range(50)]  # fmt: skip


@pytest.mark.slow
@pytest.mark.learns
@pytest.mark.skipif("c" not in ENGINES, reason="Aesara's C code does not compile here")
def test_both_engines_train_alike():
    """Rounding differences grow to at most 1e-5 in 50 float32 steps, and to at most 1e-9 in float64."""
    ours, theirs = (losses(model_and_train(engine)[1], "float32") for engine in ("jax", "c"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert ours[-1] < 0.9 * ours[0]
    ours, theirs = (losses(compiled_once("tanh", engine).reset().functions.train, "float64") for engine in ("jax", "c"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    assert ours != theirs  # else one of them was compared with itself


def test_float32_stays_float32():
    model, train = model_and_train("jax")
    tokens = np.zeros((2, 3), "int32")
    loss, state = train(tokens, tokens, np.ones((2, 3), "float32"), np.zeros((3, 6), "float32"), np.float32(0.1))
    assert {loss.dtype.name, state.dtype.name,
            *(p.container.storage[0].dtype.name for p in model.params.values())} == {"float32"}


def test_a_function_compiled_for_a_shape_is_not_compiled_again_for_it(monkeypatch):
    model = compiled_once("tanh", "jax", "train", "predict", "loss", "step").reset()
    traced = []
    runner = model.functions.train.vm
    monkeypatch.setattr(runner, "warn_of_many_shapes", lambda arguments: traced.append(arguments[0].shape))
    inputs, before = model.inputs(17), model.params()
    for _ in range(2):
        model.functions.train.compile_for(*inputs, 1.0)
    assert traced == [(17, 3)]
    for name, value in model.params().items():
        np.testing.assert_array_equal(value, before[name])
    model.functions.train(*inputs, 1.0)
    assert traced == [(17, 3)]
