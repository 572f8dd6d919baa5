"""Windows as one call: which scans the kernels compute, and that they compute the same."""

import functools

import aesara.tensor as T
import numpy as np
import pytest

from theano_rnn.engine import kernels
from theano_rnn.engine.compiling import compile_function
from theano_rnn.model import RNNLM, gradients
from theano_rnn.nn.cells import CELLS
from theano_rnn.nn.unrolling import unroll
from theano_rnn.settings.network import ModelConfig

pytest.importorskip("jax")
pytestmark = [
    pytest.mark.skipif(kernels.extension() is None, reason="there are no kernels here"),
    pytest.mark.usefixtures("kernels_are_on"),
]

TIME, BATCH = 7, 13  # more rows than a block of the kernels has
SIZES = [6, 16, 37]  # below, at and above the width of a panel, with and without a rest
KINDS = dict(CELLS)


@pytest.fixture
def calls(monkeypatch):
    """The kinds of kernels that are traced."""
    from theano_rnn.engine import windows

    found, call = [], windows.call
    monkeypatch.setattr(windows, "call", lambda window, *rest: (found.append(window.kind), call(window, *rest))[1])
    return found


def arrays(kind, size, dtype="float32", seed=3):
    """A ragged batch, with one column of padding alone, and a state that is not zero."""
    rng, cell = np.random.default_rng(seed), KINDS[kind](4, size, rng=np.random.default_rng(1), dtype=dtype)
    projected = rng.normal(size=(TIME, BATCH, cell.blocks * size))
    lengths = np.r_[0, TIME, rng.integers(1, TIME, BATCH - 2)]
    mask = np.arange(TIME)[:, None] < lengths
    states = [rng.normal(size=(BATCH, size)) for _ in range(cell.num_states)]
    for parameter in cell.params.values():
        parameter.set_value(rng.normal(size=parameter.get_value().shape).astype(dtype) / np.sqrt(size).astype(dtype))
    return cell, [array.astype(dtype) for array in (projected, mask, *states)]


def window(kind, size, *, which="auto", read=("outputs", "states"), backwards=False, dtype="float32",
           precision="auto"):
    """Outputs, final states, and the gradients of everything, of one layer over a ragged batch."""
    cell, values = arrays(kind, size, dtype)
    projected, mask, *states = (T.TensorType(dtype, (None,) * value.ndim)() for value in values)
    params = {name: cell.params[name] for name in cell.recurrent}
    outputs, final = unroll(cell, projected, mask, states, params=params, backwards=backwards)
    results = [*(outputs if "outputs" in read else []), *(final if "states" in read else [])]
    loss = sum(T.sum(T.square(r + 0.5) * (1 if r.ndim == 2 else mask[:, :, None])) for r in results)
    wanted = {"projected": projected, **{f"state{i}": s for i, s in enumerate(states)}, **params}
    grads = gradients(loss, wanted)
    function = compile_function(
        [projected, mask, *states], [*outputs, *final, *grads.values()], name="window", engine="jax", device="cpu",
        kernels=which, precision=precision,
    )  # fmt: skip
    names = [*(f"output{i}" for i, _ in enumerate(outputs)), *(f"final{i}" for i, _ in enumerate(final)), *grads]
    found = dict(zip(names, map(np.asarray, function(*values))))
    found["output0"] = found["output0"] * values[1][:, :, None]  # undefined at padding
    return found


def assert_near(actual, expected, tolerance=1e-5):
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert np.abs(actual[name] - value).max() <= tolerance * np.abs(value).max(), name


def kinds_of(kind):
    return [f"{kind}_forward", f"{kind}_backward"]


@pytest.mark.slow
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("read", [("outputs",), ("states",), ("outputs", "states")])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_window_has_the_numbers_of_the_scan(kind, read, backwards, calls):
    options = {"read": read, "backwards": backwards}
    ours = window(kind, 37, **options)
    assert calls == kinds_of(kind)
    assert_near(ours, window(kind, 37, which="none", **options))
    assert calls == kinds_of(kind)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_window_is_as_exact_as_the_scan(kind, size, calls):
    exact = window(kind, size, dtype="float64")
    assert not calls  # which compute in float32 alone
    assert_near(window(kind, size), exact, 3e-6)
    assert calls == kinds_of(kind)


@pytest.mark.slow
def test_the_numbers_are_the_same_in_every_run():
    for first, second in zip(window("lstm", 37).values(), window("lstm", 37).values()):
        np.testing.assert_array_equal(first, second)


def test_other_cells_stay_scans(calls):
    window("tanh", 6)
    assert not calls


def test_a_step_that_differs_in_a_number_stays_a_scan(calls, monkeypatch):
    from theano_rnn.nn.cells import gru

    class HalfGRU(gru.GRUCell):
        def step(self, projected_t, h_tm1, W_hh, b_hn):
            (h_t, _), half = super().step(projected_t, h_tm1, W_hh, b_hn), np.float32(0.5)
            return half * h_t, half * h_t

    monkeypatch.setitem(KINDS, "half", HalfGRU)
    window("half", 6)
    assert not calls


@functools.cache
def trained(kind, num_layers, which, num_steps=3):
    """Losses and parameters of a language model that is trained on a ragged batch, with the carried state."""
    config = ModelConfig(cell=kind, num_layers=num_layers, vocab_size=11, embedding_size=5, hidden_size=12,
                         tie_weights=False)  # fmt: skip
    model = RNNLM(config, rng=np.random.default_rng(0))
    train = model.compile("train", optimizer="adam", clip_norm=1.0, engine="jax", device="cpu", kernels=which).train
    rng, state, losses = np.random.default_rng(5), model.initial_state(BATCH), []
    for _ in range(num_steps):
        tokens, targets = rng.integers(0, 11, (2, TIME, BATCH)).astype("int32")
        mask = (np.arange(TIME)[:, None] < rng.integers(1, TIME + 1, BATCH)).astype("float32")
        loss, *state = train(tokens, targets, mask, *state, np.float32(0.01))
        losses.append(float(loss))
    arrays = {name: parameter.get_value() for name, parameter in model.params.items()}
    return np.array(losses), arrays, list(map(np.asarray, state))


@pytest.mark.slow
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_language_model_trains_with_kernels_in_every_layer(kind, num_layers, calls):
    trained.cache_clear()
    losses, parameters, state = trained(kind, num_layers, "auto")
    assert sorted(calls) == sorted(kinds_of(kind) * num_layers)
    expected_losses, expected, expected_state = trained(kind, num_layers, "none")
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    for ours, theirs in zip(state, expected_state):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for name, value in expected.items():
        assert np.abs(parameters[name] - value).max() <= 1e-3 * 0.01 * 3, name  # of the way that three steps make


def test_the_environment_turns_the_kernels_off(calls, monkeypatch):
    assert kernels.resolve_kernels("auto") == "auto"
    kernels.choose_kernels("auto")
    assert kernels.resolve_kernels("auto") == "auto"
    monkeypatch.setenv(kernels.VARIABLE, "none")
    assert kernels.resolve_kernels("auto") == "none"
    assert kernels.describe_kernels() == "none: the environment variable THEANO_RNN_KERNELS is none"
    window("lstm", 6)
    assert not calls


def test_without_the_extension_everything_is_a_scan(calls, monkeypatch):
    monkeypatch.setattr(kernels, "extension", lambda: None)
    assert kernels.resolve_kernels("auto") == "none"
    assert kernels.describe_kernels().startswith("none: not compiled")
    window("lstm", 6)
    assert not calls


def test_a_kernel_refuses_arrays_of_other_shapes():
    import jax.numpy as jnp

    from theano_rnn.engine import windows
    from theano_rnn.engine.window_patterns import Found

    found, zeros = Found("lstm_forward", {}, [], 4), functools.partial(jnp.zeros, dtype="float32")
    operands = [zeros((3, 2)), zeros((4, 16)), zeros((3, 2, 15)), zeros((2, 4)), zeros((2, 4))]
    shapes = [(3, 2, 4)] * 2 + [(0,)] * 4
    with pytest.raises(Exception, match="a window's operand has the wrong shape"):
        np.asarray(windows.call(found, operands, shapes, False)[0])
