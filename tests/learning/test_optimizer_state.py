"""The optimizer's state on every engine: averages, their start, and everything that resuming needs."""

import aesara
import aesara.tensor as T
import numpy as np
import pytest

from theano_rnn.engine.compiling import compile_function
from theano_rnn.learning.averaging import exponential_average, running_mean, select_averages, start_averaging
from theano_rnn.learning.checkpoint import assign, values_of
from theano_rnn.learning.gradients import RowGradient
from theano_rnn.learning.optimizers import OPTIMIZERS, sgd

DECAY, START = 0.9, 7
SHAPES = {"E": (6, 2), "layer0.W": (4, 3)}


class Trained:
    """Two parameters, the state of an optimizer and averages, and the compiled step."""

    def __init__(self, optimizer, engine, *, seed=0, dtype="float64", is_averaged=True):
        rng = np.random.default_rng(seed)
        self.params = {name: aesara.shared(rng.normal(size=shape).astype(dtype), name=name)
                       for name, shape in SHAPES.items()}  # fmt: skip
        inputs = [T.matrix("rows", dtype), T.ivector("ids"), T.matrix("g", dtype), T.scalar("rate", dtype)]
        rows, ids, g, rate = inputs
        gradients = {"E": RowGradient(rows, ids, SHAPES["E"][0]), "layer0.W": g}
        updates, self.state = optimizer(self.params, gradients, rate)
        of_optimizer = dict(updates)
        self.has_mean = is_averaged or "num_averaged" in self.state
        if is_averaged:
            kinds = [exponential_average(self.params, of_optimizer, DECAY)]
            if "num_averaged" not in self.state:
                kinds.append(running_mean(self.params, of_optimizer))
            for more, state in kinds:
                assert not set(state) & set(self.state)
                updates |= more
                self.state |= state
        self.function = compile_function(inputs, [], list(updates.items()), engine=engine)
        self.dtype = dtype

    def train(self, first, last):
        """Returns the parameters after each of the steps `first` to `last` - 1."""
        after = []
        for step in range(first, last):
            if step == START and self.has_mean:
                start_averaging(self.state)
            rng = np.random.default_rng(step)
            rows, g = rng.normal(size=(5, 2)).astype(self.dtype), rng.normal(size=(4, 3)).astype(self.dtype)
            self.function(rows, rng.integers(6, size=5, dtype="int32"), g, np.asarray(0.1, self.dtype))
            after.append(values_of(self.params))
        return after


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_that_goes_on_from_saved_values_ends_with_the_same_bytes(name, engine):
    whole = Trained(OPTIMIZERS[name], engine, dtype="float32")
    whole.train(0, 20)
    params, state = values_of(whole.params), values_of(whole.state)
    whole.train(20, 40)
    resumed = Trained(OPTIMIZERS[name], engine, seed=1, dtype="float32")
    assign(resumed.params, params)
    assign(resumed.state, state)
    resumed.train(20, 40)
    for variables, others in ((whole.params, resumed.params), (whole.state, resumed.state)):
        for key, value in values_of(variables).items():
            assert value.dtype == ("int32" if key in ("t", "num_averaged") else "float32"), key
            assert value.tobytes() == others[key].get_value().tobytes(), key


@pytest.mark.parametrize("name", ["sgd", "adagrad"])
def test_rows_that_are_not_named_keep_every_byte(name, engine):
    trained = Trained(OPTIMIZERS[name], engine, is_averaged=False)
    before = values_of(trained.params | trained.state)
    ids = np.array([3, 1, 3, 3, 1], "int32")
    trained.function(np.ones((5, 2)), ids, np.ones((4, 3)), 0.1)
    for key, value in values_of(trained.params | trained.state).items():
        if key.endswith("E"):
            assert sorted(np.flatnonzero((value != before[key]).all(axis=1))) == [1, 3]
            np.testing.assert_array_equal(np.delete(value, [1, 3], axis=0), np.delete(before[key], [1, 3], axis=0))


def test_the_exponential_average_begins_as_the_parameters_and_follows_their_new_values(engine):
    trained = Trained(sgd, engine)
    expected = values_of(trained.params)
    for params in trained.train(0, 12):
        expected = {name: DECAY * expected[name] + (1 - DECAY) * params[name] for name in params}
    found = values_of(select_averages(trained.state, "ema"))
    assert list(found) == list(SHAPES)
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["sgd", "adam", "asgd"])
def test_the_running_mean_is_that_of_all_steps_since_it_was_turned_on(name, engine):
    trained = Trained(OPTIMIZERS[name], engine)
    after = trained.train(0, START)
    assert trained.state["num_averaged"].get_value() == -1
    for key, value in values_of(select_averages(trained.state, "mean")).items():
        np.testing.assert_array_equal(value, after[-1][key])  # off: a copy of the parameters
    after = trained.train(START, START + 1)
    for key, value in values_of(select_averages(trained.state, "mean")).items():
        np.testing.assert_array_equal(value, after[0][key])
    after += trained.train(START + 1, START + 15)
    assert trained.state["num_averaged"].get_value() == 15
    for key, value in values_of(select_averages(trained.state, "mean")).items():
        np.testing.assert_allclose(value, np.mean([params[key] for params in after], axis=0), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["sgd", "adagrad", "adam"])
def test_averages_change_no_byte_of_the_parameters(name, engine):
    plain, averaged = (Trained(OPTIMIZERS[name], engine, is_averaged=flag) for flag in (False, True))
    for ours, others in zip(plain.train(0, 12), averaged.train(0, 12)):
        for key, value in ours.items():
            np.testing.assert_array_equal(value, others[key])
