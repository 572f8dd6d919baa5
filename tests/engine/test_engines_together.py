"""Both engines in one process: each sees the other's updates, and checkpoints do not depend on the engine."""

import functools

import aesara
import numpy as np
import pytest
from conftest import ENGINES, compiled_once

from theano_rnn.engine.compiling import compile_function, compile_graph
from theano_rnn.learning.checkpoint import Checkpoint, assign, load, save, values_of
from theano_rnn.learning.progress import Progress
from theano_rnn.model import RNNLM
from theano_rnn.settings.network import ModelConfig
from theano_rnn.text.vocabulary import Vocabulary

both_engines = pytest.mark.skipif(len(ENGINES) < 2, reason="one engine only can run here")

ORDERS = ["jjccjc", "ccjjcj"]
BY_LETTER = {"c": "c", "j": "jax"}
POSSIBLE = [order for order in ("cc", "jj", "cj", "jc") if {BY_LETTER[letter] for letter in order} <= set(ENGINES)]
PRECISION = {"float64": 1e-9, "float32": 1e-5}  # relative


def compiled(engine, inputs, outputs, updates=()):
    return compile_function(inputs, outputs, list(updates), name="tested", engine=engine)


# Shared variables


@both_engines
@pytest.mark.parametrize("compiled_first", ENGINES)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "int32"])
def test_updates_by_either_engine_are_seen_by_the_other(order, compiled_first, dtype):
    one, two = np.array(1, dtype), np.array(2, dtype)
    matrix, counter = aesara.shared(np.zeros((2, 3), dtype), name="m"), aesara.shared(np.zeros((), dtype), name="n")
    updates = [(matrix, matrix + one), (counter, counter + two)]
    engines = sorted(ENGINES, key=lambda engine: engine != compiled_first)
    steps = {engine: compiled(engine, [], [matrix.sum(), counter], updates) for engine in engines}
    for count, letter in enumerate(order):
        total, number = steps[BY_LETTER[letter]]()
        assert (total, number) == (6 * count, 2 * count)
        for variable, value in ((matrix, count + 1), (counter, 2 * count + 2)):
            got = variable.get_value()
            assert type(got) is np.ndarray and (got.dtype, got.ndim) == (dtype, variable.ndim)
            assert (got == value).all()


@both_engines
@pytest.mark.parametrize("engine", ENGINES)
def test_what_was_read_or_returned_stays_as_it_was_when_the_other_engine_goes_on(engine):
    (other,) = set(ENGINES) - {engine}
    variable = aesara.shared(np.zeros(4), name="v")
    first, second = (compiled(name, [], [variable, variable + 1.0], [(variable, variable + 1.0)])
                     for name in (engine, other))  # fmt: skip
    results = first()
    read = variable.get_value(borrow=engine == "jax")  # of a device it is a view
    second()
    second()
    assert [list(value) for value in (*results, read)] == [[0] * 4, [1] * 4, [1] * 4]
    assert list(variable.get_value()) == [3] * 4
@both_engines
def test_a_function_may_be_compiled_when_its_variables_are_on_a_device_already():
    variable = aesara.shared(np.arange(3.0), name="v")
    compiled("jax", [], [], [(variable, 2 * variable)])()
    double = compiled("c", [], [variable.sum()], [(variable, 2 * variable)])
    assert [float(double()[0]), float(double()[0])] == [6, 12]


# Models


@functools.cache
def two_trains(dtype):
    """Returns a model trained by Adam, with one optimizer state, and its `train` compiled by each engine."""
    config = ModelConfig(cell="tanh", embedding_size=5, hidden_size=6, vocab_size=7, tie_weights=False,
                         dtype=dtype)  # fmt: skip
    model = RNNLM(config, rng=np.random.default_rng(0))
    graph = model.train(optimizer="adam", clip_norm=0.3)
    trains = {engine: compile_graph(graph, name="train", engine=engine) for engine in ENGINES}
    return model, trains, values_of(model.params), values_of(model.optimizer_state)


@functools.cache
def loss_of(dtype, engine):
    """Returns that model's function `loss`."""
    return two_trains(dtype)[0].compile("loss", engine=engine).loss


def trained(dtype, order):
    """Returns the losses of steps by the engines in `order`; each step continues from the state of the one before."""
    model, trains, params, optimizer_state = two_trains(dtype)
    assign(model.params, params)
    assign(model.optimizer_state, optimizer_state)
    tokens = np.random.default_rng(1).integers(7, size=(6, 3), dtype="int32")
    state, losses = model.initial_state(3), []
    for letter in order:
        train = trains[BY_LETTER[letter]]
        loss, *state = train(tokens, np.roll(tokens, -1, 0), np.ones((6, 3), dtype), *state, np.array(0.05, dtype))
        losses.append(float(loss))
    return model, losses


@pytest.mark.slow
@pytest.mark.learns
@both_engines
@pytest.mark.parametrize("dtype", PRECISION)
def test_a_run_that_changes_its_engine_goes_on_as_if_it_had_not(dtype):
    """State arrays are passed on as they are, including device arrays."""
    expected = trained(dtype, "c" * 6)[1]
    assert expected[-1] < expected[0] - 0.1
    for order in ("j" * 6, *ORDERS):
        np.testing.assert_allclose(trained(dtype, order)[1], expected, rtol=PRECISION[dtype])


@pytest.mark.slow
@pytest.mark.learns
@both_engines
@pytest.mark.parametrize("dtype", PRECISION)
def test_evaluation_by_one_engine_sees_what_training_by_the_other_has_learnt(dtype):
    model, _ = trained(dtype, "jj")
    tokens = np.random.default_rng(2).integers(7, size=(4, 3), dtype="int32")
    arguments = [tokens, tokens, np.ones((4, 3), dtype), *model.initial_state(3)]
    by_c, by_xla = (np.asarray(loss_of(dtype, engine)(*arguments)[0]) for engine in ("c", "jax"))
    np.testing.assert_allclose(by_c, by_xla, rtol=PRECISION[dtype])


# Checkpoints


def saved(path, model, carried=()):
    """The bytes of the model's checkpoint."""
    facts = {"vocabulary": Vocabulary(("a", "b"))}
    progress = Progress(learning_rate=1.0, step=2).to_json()
    save(path, Checkpoint({"model": {}}, facts, "print", progress, last=values_of(model.params),
                          best=values_of(model.params), optimizer=values_of(model.optimizer_state),
                          carried=list(carried)))  # fmt: skip
    return path.read_bytes()


@pytest.mark.parametrize("dtype", PRECISION)
@pytest.mark.slow
@pytest.mark.parametrize("order", POSSIBLE)
def test_a_checkpoint_loaded_and_saved_without_a_step_has_the_same_bytes(dtype, order, tmp_path):
    """The bytes depend neither on the engine that trained the model nor on where the other engine stores its values."""
    model, _ = trained(dtype, order)
    before = saved(tmp_path / "m", model)
    arguments = [np.zeros((4, 3), "int32"), np.zeros((4, 3), "int32"), np.ones((4, 3), dtype), *model.initial_state(3)]
    for engine in ENGINES:
        loss_of(dtype, engine)(*arguments)  # moves the parameters
        assert saved(tmp_path / "m", model) == before
        checkpoint = load(tmp_path / "m", resume=True)
        trained(dtype, ENGINES[-1][0])
        assert saved(tmp_path / "other", model) != before
        assign(model.params, checkpoint.last)
        assign(model.optimizer_state, checkpoint.optimizer)
        assert saved(tmp_path / "m", model) == before
        save(tmp_path / "m", checkpoint)
        assert (tmp_path / "m").read_bytes() == before


@pytest.mark.slow
def test_a_state_of_either_engine_is_carried_into_a_checkpoint_as_it_is(tmp_path):
    model = two_trains("float32")[0]
    for engine in ENGINES:
        functions = compiled_once("tanh", engine, dtype="float32").functions
        _, state = functions.step(np.zeros(3, "int32"), *model.initial_state(3))
        saved(tmp_path / "m", model, [state])
        (carried,) = load(tmp_path / "m", resume=True).carried
        assert carried.tobytes() == np.asarray(state).tobytes() and carried.dtype == "float32"
