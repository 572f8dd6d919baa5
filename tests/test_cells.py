"""One time step."""

import aesara
import aesara.tensor as T
import numpy as np
import pytest
from aesara.gradient import verify_grad

from theano_rnn.cells import RNNCell

pytestmark = pytest.mark.usefixtures("python_mode")

BATCH, EMBEDDING, HIDDEN = 3, 5, 6


def cell(activation="tanh", dtype="float64"):
    return RNNCell(EMBEDDING, HIDDEN, activation=activation, rng=np.random.default_rng(0), dtype=dtype)


@pytest.mark.parametrize(("activation", "f"), [("tanh", np.tanh), ("relu", lambda x: np.maximum(x, 0))])
def test_project_and_step_are_the_equation(activation, f):
    rng = np.random.default_rng(1)
    rnn = cell(activation)
    rnn.params["b_h"].set_value(rng.normal(size=HIDDEN))
    x_t, h_tm1 = rng.normal(size=(BATCH, EMBEDDING)), rng.normal(size=(BATCH, HIDDEN))
    x, h = T.dmatrices("x", "h")
    output, state = rnn.step(rnn.project(x, rnn.params), h, rnn.params["W_hh"])
    W_xh, W_hh, b_h = (rnn.params[name].get_value() for name in ("W_xh", "W_hh", "b_h"))
    expected = f(x_t @ W_xh + h_tm1 @ W_hh + b_h)
    for actual in aesara.function([x, h], [output, state])(x_t, h_tm1):
        np.testing.assert_allclose(actual, expected, rtol=1e-14)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_gradient_of_a_step_is_that_of_finite_differences(activation):
    rng = np.random.default_rng(2)
    rnn = cell(activation)
    point = [rng.normal(size=shape) for shape in [(BATCH, HIDDEN), (BATCH, HIDDEN), (HIDDEN, HIDDEN)]]
    verify_grad(lambda *inputs: rnn.step(*inputs)[0], point, rng=rng)


def test_gradient_of_project_is_that_of_finite_differences():
    rng = np.random.default_rng(2)
    rnn = cell()
    point = [rng.normal(size=shape) for shape in [(BATCH, EMBEDDING), (EMBEDDING, HIDDEN), (HIDDEN,)]]
    verify_grad(lambda x, W_xh, b_h: rnn.project(x, {"W_xh": W_xh, "b_h": b_h}), point, rng=rng)


def test_recurrent_names_what_step_takes():
    rnn = cell()
    assert rnn.recurrent == ("W_hh",)
    assert set(rnn.recurrent) < set(rnn.params)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_initial_state_is_zero_and_as_many_arrays_as_states(dtype):
    states = cell(dtype=dtype).initial_state(BATCH)
    assert len(states) == RNNCell.num_states
    assert all(state.shape == (BATCH, HIDDEN) and state.dtype == dtype and not state.any() for state in states)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_begin_as_documented(dtype):
    values = {name: parameter.get_value() for name, parameter in cell(dtype=dtype).params.items()}
    assert {value.dtype.name for value in values.values()} == {dtype}
    assert 0.8 < np.abs(values["W_xh"]).max() * EMBEDDING**0.5 <= 1
    assert 0.8 < np.abs(values["W_hh"]).max() * HIDDEN**0.5 <= 1
    assert not values["b_h"].any()


def test_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="activation must be one of tanh, relu, got 'sigmoid'"):
        cell("sigmoid")
