"""Clipping, weight decay, optimizers and averages, as functions of gradients."""

import aesara
import aesara.tensor as T
import numpy as np
import pytest

from theano_rnn.engine.compiling import compile_function
from theano_rnn.learning.averaging import exponential_average, running_mean
from theano_rnn.learning.gradients import RowGradient, add_weight_decay, clip_global_norm, clip_value, global_norm
from theano_rnn.learning.optimizers import OPTIMIZERS, adam, sgd

pytestmark = pytest.mark.usefixtures("python_mode")

SHAPES = {"W": (4, 3), "b": (3,), "s": ()}


def constants(scale=1.0):
    rng = np.random.default_rng(0)
    return {name: scale * rng.normal(size=shape) for name, shape in SHAPES.items()}


def symbols(values):
    return {name: T.as_tensor_variable(value) for name, value in values.items()}


def norm_of(values):
    """Returns the L2 norm of all arrays, taken as one vector."""
    return np.sqrt(sum((value**2).sum() for value in values.values()))


def clipped(values, limit):
    return dict(zip(values, aesara.function([], list(clip_global_norm(symbols(values), limit).values()))()))


def optimized(optimizer, gradients, learning_rates, dtype="float64"):
    """Returns parameters that start at 1, and the state, after an update with the same gradients per learning rate."""
    params = {name: aesara.shared(np.ones(shape, dtype), name=name) for name, shape in SHAPES.items()}
    rate = T.scalar("learning_rate", dtype)
    arrays = symbols({name: np.asarray(value, dtype) for name, value in gradients.items()})
    updates, state = optimizer(params, arrays, rate)
    step = aesara.function([rate], [], updates=list(updates.items()))
    for learning_rate in learning_rates:
        step(np.asarray(learning_rate, dtype))
    return {name: p.get_value() for name, p in params.items()}, {name: s.get_value() for name, s in state.items()}


def test_global_norm_is_of_all_gradients_as_one_vector():
    assert float(global_norm(symbols({"a": np.array([[3.0]]), "b": np.array([0.0, 4.0])})).eval()) == 5.0


@pytest.mark.parametrize("limit", [0.001, 1.0, 4.9])
def test_norm_after_clipping_is_the_limit(limit):
    values = constants(5 / norm_of(constants()))
    after = clipped(values, limit)
    assert norm_of(after) == pytest.approx(limit, rel=1e-14)
    for name, value in values.items():  # the direction stays
        np.testing.assert_allclose(after[name], value * limit / 5, rtol=1e-14)


@pytest.mark.parametrize("limit", [5.1, 1e6])
def test_gradients_below_the_limit_are_unchanged(limit):
    values = constants(5 / norm_of(constants()))
    for name, after in clipped(values, limit).items():
        np.testing.assert_array_equal(after, values[name])


def test_gradients_of_zero_stay_zero():
    for after in clipped(constants(0.0), 1.0).values():
        np.testing.assert_array_equal(after, 0)


def test_clipping_keeps_single_precision():
    gradients = clip_global_norm({"a": T.fmatrix(), "b": T.fvector()}, 1.0)
    assert {gradient.dtype for gradient in gradients.values()} == {"float32"}


@pytest.mark.parametrize("limit", [0, -1.0, float("nan")])
def test_a_limit_that_is_not_positive_is_refused(limit):
    with pytest.raises(ValueError, match=f"clip_norm must be positive, got {limit}"):
        clip_global_norm(symbols(constants()), limit)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_clipping_by_value_moves_elements_to_the_limit(dtype):
    values = {name: value.astype(dtype) for name, value in constants(2.0).items()}
    for name, symbol in clip_value(symbols(values), 1.5).items():
        after = symbol.eval()
        assert after.dtype == dtype
        np.testing.assert_array_equal(after, values[name].clip(-1.5, 1.5))


def test_clipping_by_value_adds_up_rows_of_one_id_before(engine):
    """Compiled by the engines, which exclude a rewrite of Aesara that is wrong for repeated ids."""
    rows = np.array([[3.0, 0.4], [-2.5, 0.4], [0.2, 9.0]])
    gradient = RowGradient(T.as_tensor_variable(rows), T.as_tensor_variable(np.array([2, 2, 0], "int32")), 4)
    after = clip_value({"embedding": gradient}, 0.7)["embedding"]
    outputs = [after.to_dense(), after.merge_repeated()]
    dense, merged = map(np.asarray, compile_function([], outputs, engine=engine, name="clipped")())
    np.testing.assert_allclose(dense, [[0.2, 0.7], [0, 0], [0.5, 0.7], [0, 0]])
    np.testing.assert_allclose(norm_of({"merged": merged}), norm_of({"dense": dense}))


@pytest.mark.parametrize("limit", [0, -1.0, float("nan")])
def test_a_limit_of_values_that_is_not_positive_is_refused(limit):
    with pytest.raises(ValueError, match=f"limit must be positive, got {limit}"):
        clip_value(symbols(constants()), limit)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weight_decay_adds_a_multiple_of_each_parameter(dtype):
    values = {name: np.asarray(value, dtype) for name, value in constants().items()}
    params = {name: aesara.shared(np.asarray(3 * value, dtype), name=name) for name, value in values.items()}
    for name, symbol in add_weight_decay(params, symbols(values), 0.5).items():
        after = symbol.eval()
        assert after.dtype == dtype
        np.testing.assert_allclose(after, 2.5 * values[name], rtol=1e-6)


def test_weight_decay_makes_a_gradient_of_rows_dense():
    params = {"embedding": aesara.shared(np.ones((4, 2)))}
    rows, ids = T.as_tensor_variable(np.ones((3, 2))), T.as_tensor_variable(np.array([2, 2, 0], "int32"))
    after = add_weight_decay(params, {"embedding": RowGradient(rows, ids, 4)}, 0.1)["embedding"]
    np.testing.assert_allclose(after.eval(), [[1.1, 1.1], [0.1, 0.1], [2.1, 2.1], [0.1, 0.1]])


@pytest.mark.parametrize("weight_decay", [-0.1, float("nan")])
def test_a_negative_weight_decay_is_refused(weight_decay):
    with pytest.raises(ValueError, match=f"weight_decay must not be negative, got {weight_decay}"):
        add_weight_decay({}, {}, weight_decay)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_outside_its_range_is_refused(decay):
    with pytest.raises(ValueError, match=f"decay must be at least 0 and less than 1, got {decay}"):
        exponential_average({}, {}, decay)


@pytest.mark.parametrize("average", [lambda *args: exponential_average(*args, 0.5), running_mean])
def test_a_parameter_without_an_update_is_averaged_as_it_stays(average):
    params = {key: aesara.shared(np.ones(shape, "float32"), name=key) for key, shape in SHAPES.items()}
    updates, state = average(params, {})
    assert set(updates) == set(state.values())
    aesara.function([], [], updates=list(updates.items()))()
    for name, variable in state.items():
        if name != "num_averaged":
            assert variable.dtype == "float32"
            np.testing.assert_array_equal(variable.get_value(), 1)


def test_sgd_is_its_equation():
    gradients = constants()
    params, state = optimized(sgd, gradients, [0.5, 0.25])
    assert state == {}
    for name, gradient in gradients.items():
        np.testing.assert_allclose(params[name], 1 - 0.75 * gradient, rtol=1e-14)


def test_adam_is_its_equation():
    gradients, rates = constants(), [0.1, 0.01, 0.1, 0.05]
    params, state = optimized(adam, gradients, rates)
    assert state["t"] == 4
    for name, g in gradients.items():
        p, m, v = np.ones_like(g), np.zeros_like(g), np.zeros_like(g)
        for t, rate in enumerate(rates, start=1):
            m = 0.9 * m + 0.1 * g
            v = 0.999 * v + 0.001 * g**2
            p = p - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(params[name], p, rtol=1e-12)
        np.testing.assert_allclose(state[f"m.{name}"], m, rtol=1e-12)
        np.testing.assert_allclose(state[f"v.{name}"], v, rtol=1e-12)


def test_first_step_of_adam_is_the_learning_rate_whatever_the_gradient():
    for scale in (1e-3, 1.0, 1e3):
        gradients = constants(scale)
        params, _ = optimized(adam, gradients, [0.1])
        for name, gradient in gradients.items():
            np.testing.assert_allclose(1 - params[name], 0.1 * np.sign(gradient), rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_parameters_and_state_keep_their_dtype(name, dtype):
    params, state = optimized(OPTIMIZERS[name], constants(), [0.1, 0.1], dtype)
    counters = {key: value for key, value in state.items() if key in ("t", "num_averaged")}
    floats = [value for key, value in state.items() if key not in counters]
    assert {value.dtype.name for value in [*params.values(), *floats]} == {dtype}
    assert all(value.dtype == np.int32 and value.shape == () for value in counters.values())
    expected, _ = optimized(OPTIMIZERS[name], constants(), [0.1, 0.1])
    for key, value in params.items():
        np.testing.assert_allclose(value, expected[key], rtol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_name_every_parameter_and_every_state(name):
    params = {key: aesara.shared(np.ones(shape), name=key) for key, shape in SHAPES.items()}
    updates, state = OPTIMIZERS[name](params, symbols(constants()), T.dscalar())
    assert set(updates) == {*params.values(), *state.values()}


def test_clipped_gradient_descent_moves_by_limit_times_learning_rate():
    params = {key: aesara.shared(np.ones(shape), name=key) for key, shape in SHAPES.items()}
    rate = T.dscalar()
    updates, _ = sgd(params, clip_global_norm(symbols(constants(100.0)), 2.0), rate)
    aesara.function([rate], [], updates=list(updates.items()))(0.3)
    moved = {key: 1 - p.get_value() for key, p in params.items()}
    assert norm_of(moved) == pytest.approx(0.6, rel=1e-12)
