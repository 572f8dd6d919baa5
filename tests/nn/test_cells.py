"""One time step of every cell, the initial parameters of cells, and adding a new cell."""

import aesara
import aesara.tensor as T
import numpy as np
import pytest
import reference_cells
from aesara.gradient import verify_grad

from theano_rnn.nn.cells import CELLS, Cell, GRUCell, LSTMCell, MogrifierLSTMCell, RNNCell, make_cell

pytestmark = pytest.mark.usefixtures("python_mode")

BATCH, EMBEDDING, HIDDEN = 3, 5, 6


class ForgetOnlyCell(Cell):
    """A cell with only a forget gate (van der Westhuizen & Lasenby 2018), which the package does not have.

        f_t = sigmoid(x_t W_xf + h_tm1 W_hf + b_f)
        g_t = tanh(x_t W_xg + h_tm1 W_hg + b_g)
        h_t = f_t * h_tm1 + (1 - f_t) * g_t
    """

    blocks = 2

    def step(self, projected_t, h_tm1, W_hh):
        f, g = T.split(projected_t + T.dot(h_tm1, W_hh), [self.hidden_size] * 2, 2, axis=1)
        f = T.sigmoid(f)
        h_t = f * h_tm1 + (1 - f) * T.tanh(g)
        return h_t, h_t


MAKERS = {**CELLS, "forget_only": ForgetOnlyCell}


def make(kind, dtype="float64", **options):
    return MAKERS[kind](EMBEDDING, HIDDEN, rng=np.random.default_rng(0), dtype=dtype, **options)


def values(cell):
    return {name: parameter.get_value() for name, parameter in cell.params.items()}


@pytest.fixture(params=MAKERS)
def kind(request):
    return request.param


# One step


def test_project_and_step_are_the_equation(kind):
    rng = np.random.default_rng(1)
    cell = make(kind)
    for parameter in cell.params.values():
        parameter.set_value(rng.normal(size=parameter.get_value().shape))
    rows = [rng.normal(size=(BATCH, size)) for size in (EMBEDDING, *[HIDDEN] * cell.num_states)]
    symbols = [T.dmatrix() for _ in rows]
    projected = cell.project(symbols[0], cell.params)
    results = cell.step(projected, *symbols[1:], *(cell.params[name] for name in cell.recurrent))
    assert len(results) == 1 + cell.num_states
    results = aesara.function(symbols, list(results))(*rows)
    for row, given in enumerate(zip(*rows)):
        expected = getattr(reference_cells, kind)(values(cell), *given)
        for actual, wanted in zip(results, expected):
            np.testing.assert_allclose(actual[row], wanted, rtol=1e-12, atol=1e-14)


def test_gradient_of_a_step_is_that_of_finite_differences(kind):
    rng = np.random.default_rng(2)
    cell = make(kind)
    x = T.as_tensor_variable(np.zeros((BATCH, EMBEDDING)))
    shapes = [cell.project(x, cell.params).eval().shape, *[(BATCH, HIDDEN)] * cell.num_states]
    point = [rng.normal(size=shape) for shape in [*shapes, *(values(cell)[name].shape for name in cell.recurrent)]]
    verify_grad(lambda *inputs: T.concatenate(cell.step(*inputs), axis=1), point, rng=rng)


def test_gradient_of_project_is_that_of_finite_differences(kind):
    rng = np.random.default_rng(2)
    cell = make(kind)
    shapes = [(BATCH, EMBEDDING), *(values(cell)[name].shape for name in ("W_xh", "b_h"))]
    point = [rng.normal(size=shape) for shape in shapes]
    if kind == "mogrifier":
        x = T.dmatrix()
        assert cell.project(x, cell.params) is x
    else:
        verify_grad(lambda x, W_xh, b_h: cell.project(x, {"W_xh": W_xh, "b_h": b_h}), point, rng=rng)


# How cells begin


def test_recurrent_names_what_step_takes():
    assert {kind: make(kind).recurrent for kind in ("tanh", "lstm", "gru")} == {
        "tanh": ("W_hh",), "lstm": ("W_hh",), "gru": ("W_hh", "b_hn")
    }  # fmt: skip
    mogrifier = make("mogrifier")
    assert mogrifier.recurrent == tuple(mogrifier.params) == ("W_xh", "W_hh", "b_h", "Q1", "R2", "Q3", "R4", "Q5")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_initial_state_is_zero_and_as_many_arrays_as_states(kind, dtype):
    cell = make(kind, dtype)
    states = cell.initial_state(BATCH)
    assert len(states) == cell.num_states
    assert all(state.shape == (BATCH, HIDDEN) and state.dtype == dtype and not state.any() for state in states)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_begin_as_documented(kind, dtype):
    cell = make(kind, dtype)
    begin = values(cell)
    assert set(cell.recurrent) <= set(begin)
    assert {value.dtype.name for value in begin.values()} == {dtype}
    columns = cell.blocks * HIDDEN
    assert [begin[name].shape for name in ("W_xh", "W_hh", "b_h")] == [
        (EMBEDDING, columns), (HIDDEN, columns), (columns,)
    ]  # fmt: skip
    assert 0.8 < np.abs(begin["W_xh"]).max() * EMBEDDING**0.5 <= 1
    assert 0.8 < np.abs(begin["W_hh"]).max() * HIDDEN**0.5 <= 1
    if kind in ("lstm", "mogrifier"):
        np.testing.assert_array_equal(begin["b_h"], np.repeat([0, 1, 0, 0], HIDDEN))
    elif kind in ("tanh", "relu", "gru"):
        assert not begin["b_h"].any()


def test_the_gru_has_a_bias_of_its_own_for_the_recurrent_candidate():
    np.testing.assert_array_equal(values(make("gru"))["b_hn"], np.zeros(HIDDEN))


def test_the_gates_of_a_fresh_mogrifier_are_near_one_also_for_small_inputs():
    cell = make("mogrifier", input_scale=0.03)
    begin = values(cell)
    assert [begin[name].shape for name in ("Q1", "R2", "Q3", "R4", "Q5")] == [
        (HIDDEN, EMBEDDING), (EMBEDDING, HIDDEN), (HIDDEN, EMBEDDING), (EMBEDDING, HIDDEN), (HIDDEN, EMBEDDING)
    ]  # fmt: skip
    rng = np.random.default_rng(3)
    rows = {"Q": rng.uniform(-1, 1, (100, HIDDEN)), "R": 0.03 * rng.normal(size=(100, EMBEDDING))}
    for name in ("Q1", "R2", "Q3", "R4", "Q5"):
        gates = 2 * reference_cells.sigmoid(rows[name[0]] @ begin[name])
        assert 0.005 < gates.std() < 0.1, name
        assert abs(gates.mean() - 1) < 0.02, name


def test_a_mogrifier_without_rounds_is_an_lstm():
    ours, lstm = make("mogrifier", rounds=0), make("lstm")
    assert all((value == values(lstm)[name]).all() for name, value in values(ours).items())
    state = [T.as_tensor_variable(np.random.default_rng(i).normal(size=(BATCH, HIDDEN))) for i in range(2)]
    x = T.as_tensor_variable(np.random.default_rng(2).normal(size=(BATCH, EMBEDDING)))
    results = [
        cell.step(cell.project(x, cell.params), *state, *(cell.params[name] for name in cell.recurrent))
        for cell in (ours, lstm)
    ]
    for actual, expected in zip(*results):
        np.testing.assert_allclose(actual.eval(), expected.eval(), rtol=1e-13)


def test_orthogonal_recurrent_matrices_are_so_block_by_block(kind):
    cell, uniform = make(kind, recurrent_init="orthogonal"), make(kind)
    for block in np.split(values(cell)["W_hh"], cell.blocks, axis=1):
        np.testing.assert_allclose(block @ block.T, np.eye(HIDDEN), atol=1e-12)
    np.testing.assert_array_equal(values(cell)["W_xh"], values(uniform)["W_xh"])  # drawn before


def test_the_default_draws_what_it_always_drew():
    """W_xh, then W_hh, each in one draw: the published figures of training runs depend on it."""
    rng = np.random.default_rng(0)
    for name, rows in (("W_xh", EMBEDDING), ("W_hh", HIDDEN)):
        bound = rows**-0.5
        np.testing.assert_array_equal(values(make("lstm"))[name], rng.uniform(-bound, bound, (rows, 4 * HIDDEN)))


# Names


def test_cells_are_made_by_name():
    made = {kind: type(make_cell(kind, 5, 6, rng=np.random.default_rng(0), dtype="float32")) for kind in CELLS}
    expected = {"tanh": RNNCell, "relu": RNNCell, "lstm": LSTMCell, "gru": GRUCell, "mogrifier": MogrifierLSTMCell}
    assert {kind: made[kind] for kind in expected} == expected


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="cell must be one of tanh, relu, lstm, gru, .*, got 'sigmoid'"):
        make_cell("sigmoid", EMBEDDING, HIDDEN)
    with pytest.raises(ValueError, match="activation must be one of tanh, relu, got 'sigmoid'"):
        make("tanh", activation="sigmoid")
    with pytest.raises(ValueError, match="recurrent_init must be one of uniform, orthogonal, got 'normal'"):
        make("gru", recurrent_init="normal")
    with pytest.raises(ValueError, match="rounds must be at least 0, got -1"):
        make("mogrifier", rounds=-1)


def test_a_cell_is_added_by_its_class_and_a_name(monkeypatch):
    """test_cells_unrolled.py tests the rest of what a cell must do."""
    monkeypatch.setitem(CELLS, "forget_only", ForgetOnlyCell)
    cell = make_cell("forget_only", EMBEDDING, HIDDEN, rng=np.random.default_rng(0), dtype="float64")
    assert type(cell) is ForgetOnlyCell
    assert {name: value.shape for name, value in values(cell).items()} == {
        "W_xh": (EMBEDDING, 2 * HIDDEN), "W_hh": (HIDDEN, 2 * HIDDEN), "b_h": (2 * HIDDEN,)
    }  # fmt: skip


def test_what_has_no_step_is_no_cell():
    with pytest.raises(TypeError, match="abstract"):
        Cell(EMBEDDING, HIDDEN, rng=np.random.default_rng(0), dtype="float32")
