"""Length arithmetic in plain Python gives the results of Aesara's own implementation."""

import itertools

import aesara
import aesara.tensor as T
import numpy as np
import pytest
from aesara.compile.mode import Mode
from aesara.scalar import basic as scalar
from aesara.tensor.elemwise import Elemwise

from theano_rnn.engine import length_arithmetic
from theano_rnn.engine.length_arithmetic import PYTHON_EXPRESSIONS, make_perform

NUMBERS = [-7, -1, 0, 1, 2, 20]
ONE_OPERAND = (scalar.Neg, scalar.Abs, scalar.Identity, scalar.Invert, scalar.Cast)
TRUTHS = (scalar.LT, scalar.GT, scalar.LE, scalar.GE, scalar.EQ, scalar.NEQ)


def node_of(op, *types):
    return Elemwise(op).make_node(*[T.TensorType(dtype, ())() for dtype in types])


def result(node, *values):
    """Returns the node's result by our implementation and by Aesara's."""
    given = [np.array(value, variable.type.dtype) for value, variable in zip(values, node.inputs)]
    node.op.prepare_node(node, None, None, "py")
    outputs = [[None]], [[None]]
    for perform, output in zip((make_perform(node), node.op.perform), outputs):
        perform(node, given, output)
    return [output[0][0] for output in outputs]


@pytest.mark.parametrize("kind", PYTHON_EXPRESSIONS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_each_operation_is_aesaras(kind, dtype):
    op = kind() if kind in (*TRUTHS, scalar.Switch) else kind(scalar.upcast_out)
    count = 1 if kind in ONE_OPERAND else 3 if kind is scalar.Switch else 2
    types = ["bool", dtype, "int64"] if kind is scalar.Switch else [dtype, "int64"][:count]
    node = node_of(op, *types)
    for values in itertools.product(NUMBERS, repeat=count):
        if kind is scalar.FloorDivide and values[1] == 0:
            continue
        ours, theirs = result(node, *values)
        assert (ours.item(), ours.dtype, ours.shape) == (theirs.item(), theirs.dtype, ())


@pytest.mark.parametrize("dtype", ["bool", "int32", "int64"])
def test_a_cast_is_aesaras(dtype):
    node = node_of(scalar.Cast(scalar.ScalarType(dtype)), "int64")
    for value in NUMBERS:
        ours, theirs = result(node, value)
        assert (ours.item(), ours.dtype) == (theirs.item(), theirs.dtype)


@pytest.mark.parametrize("value", [False, True])
def test_not_is_a_boolean_also_within_a_fused_expression(value):
    """Aesara's own Python implementation of a fused expression gives -1 and -2, because ``~False`` is -1 in Python."""
    given = scalar.bool("given")
    for op in (scalar.invert, scalar.Composite([given], [scalar.cast(scalar.invert(given), "int64")])):
        node, outputs = node_of(op, "bool"), [[None]]
        make_perform(node)(node, [np.array(value)], outputs)
        assert outputs[0][0].item() == (not value)


def test_sums_and_products_take_any_number_of_operands():
    assert [x.item() for x in result(node_of(scalar.add, *["int64"] * 4), 1, 2, 3, 4)] == [10, 10]
    assert [x.item() for x in result(node_of(scalar.mul, *["int64"] * 4), 1, 2, 3, 4)] == [24, 24]


def expression():
    """Returns an expression fused twice, with constants, like scan's lengths; it divides only by non-zero numbers."""
    a, b = scalar.int64("a"), scalar.int64("b")
    clipped = scalar.Composite([a, b], [scalar.switch(a < b, scalar.constant(-3, dtype="int64"), a - b)])
    half = scalar.floor_divide(clipped(a, b), b)
    return scalar.Composite([a, b], [scalar.switch(scalar.eq(b, 0), a, half)])


def test_fused_expressions_are_aesaras():
    node = node_of(expression(), "int64", "int64")
    for values in itertools.product(NUMBERS, repeat=2):
        if values[1] != 0:
            ours, theirs = result(node, *values)
            assert ours.item() == theirs.item(), values


def test_what_a_choice_leaves_out_is_not_divided_by_nothing():
    """Aesara's own Python implementation does divide, and fails."""
    node, outputs = node_of(expression(), "int64", "int64"), [[None]]
    make_perform(node)(node, [np.array(5), np.array(0)], outputs)
    assert outputs == [[5]]


def test_numbers_of_scalar_type_stay_of_it():
    a, b = scalar.int64("a"), scalar.int64("b")
    node, outputs = scalar.add.make_node(a, b), [[None]]
    make_perform(node)(node, [np.int64(2), np.int64(3)], outputs)
    assert type(outputs[0][0]) is np.int64
    assert outputs[0][0] == 5


@pytest.mark.parametrize("make", [
    lambda: node_of(scalar.mod, "int64", "int64"), lambda: node_of(scalar.add, "float64", "int64"),
    lambda: node_of(scalar.add, "uint8", "uint8"),
    lambda: T.add(T.lvector(), T.lvector()).owner, lambda: T.lvector().shape.owner,
    lambda: node_of(scalar.Composite([a := scalar.int64()], [scalar.mod(a, a) + 1]), "int64"),
    lambda: node_of(scalar.Composite([a := scalar.float64()], [scalar.lt(a, a)]), "float64"),
])  # fmt: skip
def test_anything_else_is_left_to_aesara(make):
    assert make_perform(make()) is None


def test_a_function_of_the_c_engine_takes_it(monkeypatch):
    """The C engine uses it for lengths only and changes no operations of other functions."""
    from theano_rnn.engine.c import CEngineLinker, python_op

    x, n = T.dvector("x"), T.lscalar("n")
    performed = []
    original = length_arithmetic.build_function

    def watched(*arguments):
        function = original(*arguments)
        return lambda *numbers: performed.append(numbers) or function(*numbers)

    monkeypatch.setattr(length_arithmetic, "build_function", watched)
    with aesara.config.change_flags(cxx=""):
        function = aesara.function([x, n], T.zeros(x.shape[0] * 2 + n).shape[0], mode=Mode(CEngineLinker(), "fast_run"))
        assert function(np.ones(3), 4) == 10
        assert performed
    node = node_of(scalar.add, "int64", "int64")
    assert "perform" in vars(python_op(node))
    assert "perform" not in vars(node.op)
