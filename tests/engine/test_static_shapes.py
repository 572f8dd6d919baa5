"""Lengths read from variables: as Aesara finds them if that matters, and without rewriting a graph."""

import aesara.tensor as T
import numpy as np
import pytest
from aesara.tensor.elemwise import Elemwise
from aesara.tensor.shape import unbroadcast
from conftest import ENGINES

from theano_rnn.engine.compiling import compile_function
from theano_rnn.engine.static_shapes import cheap_shapes, elementwise_shape, static_shape
from theano_rnn.model import RNNLM
from theano_rnn.settings.network import ModelConfig


def lengths():
    x, row, n = T.matrix("x"), T.row("row"), T.iscalar("n")
    whole = T.as_tensor_variable(np.zeros((3, 4)))
    return {
        "number": 2,
        "constant": T.constant(5, dtype="int32"),
        "array": np.int64(7),
        "symbol": n,
        "length": x.shape[0],
        "broadcastable": row.shape[0],
        "of a constant": whole.shape[1],
        "product": x.shape[0] * 2,
        "of constants": T.constant(2) * whole.shape[0],
        "chosen": T.as_tensor_variable([n, 6])[1],
        "scalar": T.as_tensor_variable(T.basic.scalar_from_tensor(whole.shape[1])),
        "of a first state": unbroadcast(x.dimshuffle("x", 0, 1), 0).shape[1],
    }


@pytest.mark.parametrize("name", lengths())
def test_lengths_are_those_of_aesara(name):
    length = lengths()[name]
    assert static_shape([length])[1] == T.basic.infer_static_shape([length])[1]


def test_the_shape_of_a_first_state_is_not_taken_for_no_rows():
    """Aesara itself does that, even within a product."""
    length = unbroadcast(T.matrix("x").dimshuffle("x", 0, 1), 0).shape[2]
    assert T.basic.get_scalar_constant_value(length) == 0 and T.basic.infer_static_shape([length * 2])[1] == (0,)
    assert static_shape([length, length * 2])[1] == (None, None)


@pytest.mark.parametrize("length", [2.0, T.scalar("x", dtype="float64")])
def test_a_length_of_no_whole_number_is_refused(length):
    with pytest.raises(TypeError, match="Shapes must be scalar integers"):
        static_shape([length])


@pytest.mark.parametrize("make", [
    lambda n: T.zeros((2, n)), lambda n: T.broadcast_to(T.zeros(n), (2, n)),
    lambda n: T.alloc(np.float64(0), 2, n),
])  # fmt: skip
def test_every_new_array_is_of_a_type_with_what_is_known(make):
    with cheap_shapes():
        assert make(T.iscalar("n")).type.shape == (2, None)
        assert make(3).type.shape == (2, 3)


SUMS = {
    "matrices": (T.matrix, T.matrix), "matrix and row": (T.matrix, T.row), "column and row": (T.col, T.row),
    "scalar and matrix": (T.scalar, T.matrix), "matrix and constant": (T.matrix, lambda: T.constant(np.ones((3, 1)))),
    "row and constant": (T.row, lambda: T.constant(np.ones((3, 1)))),
}  # fmt: skip
VALUES = {T.matrix: np.ones((3, 4)), T.row: np.ones((1, 4)), T.col: np.ones((3, 1)), T.scalar: np.float64(2)}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", SUMS)
def test_the_shape_of_a_sum_is_that_of_its_value_and_needs_no_checks(name, engine):
    """Aesara compares the lengths of both operands when the function runs, and computes their maximum."""
    made = [make() for make in SUMS[name]]
    inputs = [variable for variable in made if variable.owner is None and not hasattr(variable, "data")]
    shape = compile_function(inputs, (made[0] + made[1]).shape, engine=engine)
    values = [VALUES[make].astype(variable.dtype) for make, variable in zip(SUMS[name], made) if make in VALUES]
    constants = [variable.data for variable in made if hasattr(variable, "data")]
    assert tuple(shape(*values)) == np.broadcast_shapes(*(np.shape(value) for value in values + constants))
    if engine == "c":
        operations = {type(node.op).__name__ for node in shape.maker.fgraph.toposort()}
        assert not operations & {"Assert", "Elemwise"}


def test_a_sum_that_does_not_fit_is_refused_when_it_runs():
    if "c" in ENGINES:
        x, y = T.matrix(dtype="float64"), T.matrix(dtype="float64")
        total = compile_function([x, y], x + y, engine="c")
        with pytest.raises(ValueError, match="(?i)dimension|shape"):
            total(np.ones((3, 4)), np.ones((3, 5)))


def test_aesara_is_itself_again_afterwards():
    before = T.basic.infer_static_shape, Elemwise.infer_shape
    with cheap_shapes():
        assert T.basic.infer_static_shape is static_shape and Elemwise.infer_shape is elementwise_shape
    with pytest.raises(TypeError, match="scalar integers"), cheap_shapes():
        T.zeros(2.5)
    assert (T.basic.infer_static_shape, Elemwise.infer_shape) == before


def test_no_graph_is_rewritten_while_a_training_function_is_built(monkeypatch):
    """Aesara does that for every array of zeros: a minute for three layers."""
    model = RNNLM(ModelConfig(vocab_size=7, num_layers=2, cell="gru", hidden_size=4, embedding_size=4),
                  rng=np.random.default_rng(0))  # fmt: skip

    def refused(*args, **kwargs):
        raise AssertionError("a graph is rewritten")

    monkeypatch.setattr("aesara.graph.rewriting.utils.rewrite_graph", refused)
    monkeypatch.setattr("aesara.tensor.basic.rewrite_graph", refused)
    model.graphs("train", optimizer="adam")


def test_no_shape_is_searched_for_while_a_function_is_compiled(engine, monkeypatch):
    def refused(*args, **kwargs):
        raise AssertionError("a graph is rewritten")

    monkeypatch.setattr("aesara.tensor.basic.rewrite_graph", refused)
    x = T.matrix("x", dtype="float64")
    function = compile_function([x], [T.grad((x * T.zeros_like(x) + x[1:].sum()).sum(), x)], engine=engine)
    np.testing.assert_array_equal(function(np.ones((2, 2)))[0], [[0, 0], [4, 4]])
