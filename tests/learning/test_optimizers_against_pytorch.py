"""The same gradients give the same parameters and the same state in PyTorch's optimizers and ours.

One parameter has a gradient of rows with repeated ids; PyTorch gets it as a matrix.
"""

import aesara
import aesara.tensor as T
import numpy as np
import pytest

from theano_rnn.engine.compiling import compile_function
from theano_rnn.learning.averaging import exponential_average, select_averages, start_averaging
from theano_rnn.learning.gradients import RowGradient, add_weight_decay, clip_value
from theano_rnn.learning.optimizers import OPTIMIZERS

torch = pytest.importorskip("torch")

NUM_ROWS, COLUMNS, NUM_IDS, STEPS = 6, 2, 7, 50
BEGINNING = {"E": np.random.default_rng(1).normal(size=(NUM_ROWS, COLUMNS)),
             "W": np.random.default_rng(2).normal(size=(4, 3))}  # fmt: skip

# ours: theirs, and their name of each part of the state
PEERS = {
    "sgd": (lambda params, **options: torch.optim.SGD(params, **options), {}),
    "nesterov": (
        lambda params, **options: torch.optim.SGD(params, momentum=0.9, nesterov=True, **options),
        {"velocity": "momentum_buffer"},
    ),
    "adagrad": (torch.optim.Adagrad, {"squares": "sum"}),
    "rmsprop": (torch.optim.RMSprop, {"v": "square_avg"}),
    "adam": (torch.optim.Adam, {"m": "exp_avg", "v": "exp_avg_sq"}),
    "adamw": (torch.optim.AdamW, {"m": "exp_avg", "v": "exp_avg_sq"}),
}


def steps(num_steps=STEPS):
    """Yields (rows, ids, gradient of W, learning rate) for each step; some rows never occur, some occur late."""
    rng = np.random.default_rng(3)
    for step in range(num_steps):
        ids = rng.integers(1, NUM_ROWS - (step < 10), size=NUM_IDS, dtype="int32")
        yield rng.normal(size=(NUM_IDS, COLUMNS)), ids, rng.normal(size=(4, 3)), 0.05 if step < 30 else 0.02


def matrix_of(rows, ids):
    matrix = np.zeros((NUM_ROWS, COLUMNS))
    np.add.at(matrix, ids, rows)
    return matrix


def assert_equal(ours, theirs, name):
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-11, atol=1e-13, err_msg=name)


class Ours:
    """Two parameters, the optimizer's state, and the compiled step."""

    def __init__(self, optimizer, engine, *, before=lambda params, gradients: gradients, after=None, **options):
        self.params = {name: aesara.shared(value, name=name) for name, value in BEGINNING.items()}
        rows, ids, g, rate = inputs = T.dmatrix("rows"), T.ivector("ids"), T.dmatrix("g"), T.dscalar("rate")
        gradients = before(self.params, {"E": RowGradient(rows, ids, NUM_ROWS), "W": g})
        updates, self.state = OPTIMIZERS[optimizer](self.params, gradients, rate, **options)
        if after is not None:
            more, state = after(self.params, updates)
            updates, self.state = updates | more, self.state | state
        self.step = compile_function(inputs, [], list(updates.items()), engine=engine)


class Theirs:
    def __init__(self, optimizer, **options):
        self.params = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in BEGINNING.items()}
        self.optimizer = optimizer(list(self.params.values()), lr=1.0, **options)

    def step(self, rows, ids, g, rate, *, clip=None):
        self.params["E"].grad, self.params["W"].grad = torch.tensor(matrix_of(rows, ids)), torch.tensor(g)
        if clip is not None:
            torch.nn.utils.clip_grad_value_(list(self.params.values()), clip)
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.step()

    def state(self, name):
        return self.optimizer.state[self.params[name]]


@pytest.fixture
def double_by_default():
    """ASGD stores the weight of the newest parameters in the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_every_optimizer_has_its_peer():
    assert set(OPTIMIZERS) == {*PEERS, "asgd"}


@pytest.mark.parametrize("name", PEERS)
def test_fifty_steps_agree(name, engine):
    optimizer, parts = PEERS[name]
    ours, theirs = Ours(name, engine), Theirs(optimizer)
    for inputs in steps():
        ours.step(*inputs)
        theirs.step(*inputs)
        for key, parameter in theirs.params.items():
            assert_equal(ours.params[key].get_value(), parameter, key)
    for key in theirs.params:
        for part, other in parts.items():
            assert_equal(ours.state[f"{part}.{key}"].get_value(), theirs.state(key)[other], f"{part}.{key}")
    assert len(ours.state) == 2 * len(parts) + ("t" in ours.state)


@pytest.mark.parametrize("name", [name for name in PEERS if name != "adamw"])
def test_fifty_steps_agree_with_weight_decay(name, engine):
    ours = Ours(name, engine, before=lambda params, gradients: add_weight_decay(params, gradients, 0.1))
    theirs = Theirs(PEERS[name][0], weight_decay=0.1)
    for inputs in steps():
        ours.step(*inputs)
        theirs.step(*inputs)
    for key, parameter in theirs.params.items():
        assert_equal(ours.params[key].get_value(), parameter, key)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_fifty_steps_of_adamw_agree_with_other_weight_decay(weight_decay, engine):
    ours = Ours("adamw", engine, weight_decay=weight_decay)
    theirs = Theirs(torch.optim.AdamW, weight_decay=weight_decay)
    for inputs in steps():
        ours.step(*inputs)
        theirs.step(*inputs)
    for key, parameter in theirs.params.items():
        assert_equal(ours.params[key].get_value(), parameter, key)


@pytest.mark.parametrize("name", ["sgd", "adagrad"])
def test_steps_agree_with_gradients_clipped_by_value(name, engine):
    """Includes rows of one id that are each within the limit although their sum is not."""
    limit = 0.7
    ours = Ours(name, engine, before=lambda params, gradients: clip_value(gradients, limit))
    theirs = Theirs(PEERS[name][0])
    sums_alone = 0
    for rows, ids, *rest in steps():
        rows = rows.clip(-0.6, 0.6)
        sums_alone += int((np.abs(matrix_of(rows, ids)) > limit).sum())
        ours.step(rows, ids, *rest)
        theirs.step(rows, ids, *rest, clip=limit)
    assert sums_alone > 10
    for key, parameter in theirs.params.items():
        assert_equal(ours.params[key].get_value(), parameter, key)


def test_exponential_averages_agree(engine):
    ours = Ours("sgd", engine, after=lambda params, updates: exponential_average(params, updates, 0.9))
    average_of = torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
    theirs = Theirs(torch.optim.SGD)
    expected = {name: torch.tensor(value) for name, value in BEGINNING.items()}
    for inputs in steps():
        ours.step(*inputs)
        theirs.step(*inputs)
        average_of(list(expected.values()), [p.detach() for p in theirs.params.values()], None)
    for key, average in select_averages(ours.state, "ema").items():
        assert_equal(average.get_value(), expected[key], key)


@pytest.mark.parametrize("start", [0, 20])
def test_averaged_gradient_descent_agrees(start, engine, double_by_default):
    """PyTorch's mean leaves out the parameters of step t0 + 1, ours does not: so t0 is one step before our start."""
    ours = Ours("asgd", engine)
    theirs = Theirs(torch.optim.ASGD, lambd=0.0, alpha=0.0, t0=start - 1)
    for step, (rows, ids, g, _) in enumerate(steps()):
        if step == start:
            start_averaging(ours.state)
        ours.step(rows, ids, g, 1.0)
        theirs.step(rows, ids, g, 1.0)
    for key, parameter in theirs.params.items():
        assert_equal(ours.params[key].get_value(), parameter, key)
        assert_equal(select_averages(ours.state, "mean")[key].get_value(), theirs.state(key)["ax"], key)
