"""Every cell unrolled in both directions, on both engines, against plain loops, finite differences and PyTorch."""

import functools
from functools import partial

import numpy as np
import pytest
import reference_cells
from aesara.scalar.basic import Exp, Tanh
from aesara.scalar.math import Sigmoid
from aesara.tensor.blas import Dot22, Gemm
from aesara.tensor.math import Dot
from cell_layers import BATCH, HIDDEN, TIME, Layer, scalar_operations, scan_graphs
from conftest import ENGINES
from reference_cells import difference, scattered
from test_cells import ForgetOnlyCell

from theano_rnn.nn.cells import CELLS

SHAPES = [(TIME, BATCH), (1, BATCH), (TIME, 1), (1, 1)]
ROUNDS = 2  # of the Mogrifier: five compile for a minute in C; test_cells.py steps through them
KINDS = {**CELLS, "mogrifier": partial(CELLS["mogrifier"], rounds=ROUNDS), "forget_only": ForgetOnlyCell}
ON_C = ("gru",)  # others compile for a minute each: test_model.py, test_lstm.py and test_cells.py have them
PAIRS = [(kind, engine) for engine in ENGINES for kind in KINDS if engine != "c" or kind in ON_C]
QUICK = ("tanh", "gru", "lstm")
every_kind = pytest.mark.parametrize(
    ("kind", "engine"), [pytest.param(*pair, marks=() if pair[0] in QUICK else pytest.mark.slow) for pair in PAIRS]
)
PRODUCTS = dict.fromkeys(KINDS, 1) | {"mogrifier": 2 + ROUNDS}  # a step; a new cell with more says so here


STACKS = [(*pair, num_layers) for pair in PAIRS for num_layers in (1, 2, 3)
          if pair[0] in ("gru", "lstm") and (pair[1] != "c" or num_layers == 1)]  # fmt: skip


@functools.cache
def compiled_layer(kind, engine, **options):
    return Layer(KINDS[kind], engine, **options)


def layer(kind, engine, **options):
    return compiled_layer(kind, engine, **options).draw(21)


# Against plain loops


@pytest.mark.slow
@every_kind
@pytest.mark.parametrize("shape", SHAPES)
def test_outputs_and_final_states_are_those_of_plain_loops(kind, shape, engine):
    both = layer(kind, engine)
    x, padded, *rest = both.inputs(*shape)
    for mask in (np.ones(shape), padded, scattered(padded)):
        outputs, finals, _ = both(x, mask, *rest)
        expected = reference_cells.both_ways(getattr(reference_cells, kind), both.params(), x, mask, rest[0])
        np.testing.assert_allclose(outputs, expected[0], atol=1e-11)
        np.testing.assert_allclose(finals, expected[1], atol=1e-11)


@pytest.mark.slow
@every_kind
def test_gradients_are_central_differences_of_plain_loops(kind, engine):
    """For every parameter, the inputs and the states, with masked steps everywhere."""
    both = layer(kind, engine)
    x, mask, states, weights, state_weights = both.inputs()
    mask, params, states = scattered(mask), both.params(), states.copy()

    def loss():
        outputs, finals = reference_cells.both_ways(getattr(reference_cells, kind), params, x, mask, states)
        return (outputs * weights).sum() + (np.array(finals) * state_weights).sum()

    arrays = {f"{place}.{name}": value for place, values in enumerate(params) for name, value in values.items()}
    arrays |= {"x": x} | {f"state{i}": state for i, state in enumerate(states.reshape(-1, BATCH, HIDDEN))}
    _, _, actual = both(x, mask, states, weights, state_weights)
    assert set(actual) == set(arrays)
    for name, array in arrays.items():
        slope = np.zeros_like(array)
        for index in np.ndindex(*array.shape):
            value = array[index]
            for sign in (1, -1):
                array[index] = value + sign * 1e-5
                slope[index] += sign * loss() / 2e-5
            array[index] = value
        assert difference(actual[name], slope) < 1e-7, name


# Against PyTorch


@pytest.mark.parametrize(
    ("kind", "engine", "num_layers"),
    [pytest.param(*stack, marks=() if stack[-1] == 1 else pytest.mark.slow) for stack in STACKS],
)
def test_pytorch_gives_the_same_outputs_states_and_gradients(kind, engine, num_layers):
    """With stacked layers: each reads the outputs of the layer below and passes their gradient down."""
    torch = pytest.importorskip("torch")
    from torch_layers import torch_gradients, torch_layers

    torch.set_num_threads(1)
    layers = [(layer(kind, engine), 21)]
    layers += [(layer(kind, engine, input_size=2 * HIDDEN), 30 + i) for i in range(1, num_layers)]
    rnn = torch_layers(kind, [p for one, seed in layers for p in one.draw(seed).params()], directions=2)
    x, padded, _, weights, _ = layers[0][0].inputs(7)
    states, state_weights = np.random.default_rng(9).normal(size=(2, num_layers, *layers[0][0].inputs(7)[2].shape))
    for mask in (np.ones_like(padded), padded):
        given = [torch.tensor(part, requires_grad=True) for part in (x, *np.concatenate(states).swapaxes(0, 1))]
        lengths = torch.tensor(mask.sum(axis=0).astype("int64"))
        packed = torch.nn.utils.rnn.pack_padded_sequence(given[0], lengths, enforce_sorted=False)
        theirs, ends = rnn(packed, tuple(given[1:]) if kind == "lstm" else given[1])
        theirs, _ = torch.nn.utils.rnn.pad_packed_sequence(theirs)
        ends = torch.stack(ends if kind == "lstm" else (ends,), dim=1)  # (cells, states, batch, hidden)
        loss = (theirs * torch.tensor(weights)).sum() + (ends * torch.tensor(np.concatenate(state_weights))).sum()
        rnn.zero_grad()
        loss.backward()

        read, finals, slopes = [x], [], []
        for (one, seed), state in zip(layers, states):
            outputs, final, _ = one.draw(seed)(read[-1], mask, state, weights, state)
            read.append(outputs)
            finals.extend(final)
        np.testing.assert_allclose(read[-1], theirs.detach().numpy(), atol=1e-12)
        np.testing.assert_allclose(finals, ends.detach().numpy(), atol=1e-12)
        handed_down = weights
        for (one, seed), inputs, state, weight in reversed(list(zip(layers, read, states, state_weights))):
            _, _, slope = one.draw(seed)(inputs, mask, state, handed_down, weight)
            handed_down = slope["x"]
            slopes.insert(0, slope)
        assert difference(handed_down, given[0].grad.numpy()) < 1e-11
        for place, expected in enumerate(torch_gradients(kind, rnn, directions=2)):
            ours = slopes[place // 2]
            assert set(expected) == set(layers[0][0].cells[0].params)
            for name, theirs_slope in expected.items():
                assert difference(ours[f"{place % 2}.{name}"], theirs_slope) < 1e-11, (place, name)
            for i, part in enumerate(given[1:]):
                mine = ours[f"state{place % 2 * len(given[1:]) + i}"]
                assert difference(mine, part.grad.numpy()[place]) < 1e-11, (place, i)


# The compiled graph


@every_kind
def test_a_gradient_computes_no_product_and_no_gate_again(kind, engine):
    """In the scan, one product for each of the step's; the products of parameter gradients are outside."""
    function = layer(kind, engine).function
    graphs = scan_graphs(function)
    assert {name.startswith("grad_of") for name, _ in graphs} == {False, True}
    for name, graph in graphs:
        nodes = graph.toposort()
        assert len([n for n in nodes if isinstance(n.op, (Dot, Dot22, Gemm))]) == PRODUCTS[kind], name
        if name.startswith("grad_of"):
            assert not {Exp, Sigmoid, Tanh} & {op for node in nodes for op in scalar_operations(node.op)}
