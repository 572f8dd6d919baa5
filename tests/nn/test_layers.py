"""What layers and `unroll` hand on: context, several outputs for each step, states of any rank and dtype."""

import aesara
import aesara.tensor as T
import numpy as np
import pytest

from theano_rnn.learning.trainable import Trainable
from theano_rnn.nn.cells import CELLS
from theano_rnn.nn.layers import Layers, projected_over_time
from theano_rnn.nn.unrolling import unroll

TIME, BATCH, PLACES, UNITS = 5, 3, 4, 2
RNG = np.random.default_rng(0)
MASK = (np.arange(TIME)[:, None] < [TIME, 1, 3]).astype("float64")


class Attending(CELLS["lstm"]):
    """An LSTM that looks at a memory (batch, places, units): its weights are a second output."""

    num_outputs = 2

    def step(self, projected_t, h_tm1, c_tm1, W_hh, memory):
        weights = T.special.softmax((memory * h_tm1.dimshuffle(0, "x", 1)).sum(axis=2), axis=1)  # (batch, places)
        h_t, *state = super().step(projected_t, h_tm1, c_tm1, W_hh)
        return h_t + (weights.dimshuffle(0, 1, "x") * memory).sum(axis=1), weights, *state


@pytest.fixture
def layers(monkeypatch):
    monkeypatch.setitem(CELLS, "attending", Attending)
    made = Layers("attending", UNITS, UNITS, 2, rng=np.random.default_rng(1), dtype="float64")
    assert made.num_states == 4
    return made


@pytest.mark.slow
def test_layers_hand_on_context_and_give_all_outputs(layers, python_mode):
    """`run` over a sequence is `step` repeated; the further outputs come after the last layer's, layer by layer."""
    x, memory = RNG.normal(size=(TIME, BATCH, UNITS)), RNG.normal(size=(BATCH, PLACES, UNITS))
    state = [RNG.normal(size=(BATCH, UNITS)) for _ in range(4)]
    symbols = T.dtensor3("x"), T.dtensor3("memory"), [T.dmatrix(f"state{i}") for i in range(4)]
    projected = layers.project_over_time(symbols[0])
    outputs, final = layers.run(projected, T.ones_like(symbols[0][:, :, 0]), symbols[2], context=[symbols[1]])
    run = aesara.function([symbols[0], symbols[1], *symbols[2]], [*outputs, *final])
    x_t = T.dmatrix("x_t")
    outputs, final = layers.step(x_t, symbols[2], context=[symbols[1]])
    step = aesara.function([x_t, symbols[1], *symbols[2]], [*outputs, *final])
    h, *rest = run(x, memory, *state)
    assert [array.shape for array in (h, *rest[:2])] == [(TIME, BATCH, UNITS), *[(TIME, BATCH, PLACES)] * 2]
    for t in range(TIME):
        h_t, first, second, *state = step(x[t], memory, *state)
        np.testing.assert_allclose(h[t], h_t, rtol=1e-12)
        np.testing.assert_allclose([rest[0][t], rest[1][t]], [first, second], rtol=1e-12)
    np.testing.assert_allclose(rest[2:], state, rtol=1e-12)


class Counting:
    """A cell with a state of rank 3, one that counts in whole numbers, and inputs of rank 4."""

    num_states, num_outputs, recurrent = 2, 2, ()

    def project(self, x, params):
        return 2 * x

    def step(self, x_t, total, count):
        return x_t.sum(axis=(1, 2)), total.sum(axis=2), total + x_t, count + np.int32(1)


@pytest.mark.parametrize("backwards", [False, True])
def test_states_and_inputs_are_of_any_rank(backwards, python_mode):
    x = RNG.normal(size=(TIME, BATCH, PLACES, UNITS))
    start = [RNG.normal(size=(BATCH, PLACES, UNITS)), np.zeros(BATCH, "int32")]
    projected = projected_over_time(CountingWithParams(), T.as_tensor_variable(x))
    outputs, final = unroll(Counting(), projected, T.as_tensor_variable(MASK), list(map(T.as_tensor_variable, start)),
                            params={}, backwards=backwards)  # fmt: skip
    sums, before, total, count = aesara.function([], [*outputs, *final])()
    np.testing.assert_array_equal(count, MASK.sum(axis=0))
    assert count.dtype == "int32"
    np.testing.assert_allclose(total, start[0] + (2 * x * MASK[:, :, None, None]).sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(sums, 2 * x.sum(axis=(2, 3)), rtol=1e-12)
    np.testing.assert_allclose(before[-1 if backwards else 0], start[0].sum(axis=2), rtol=1e-12)


class CountingWithParams(Counting):
    params: dict = {}  # noqa: RUF012


def test_symbols_for_a_state_have_its_ranks_and_dtypes():
    class Model(Trainable):
        def initial_state(self, batch_size):
            return np.zeros((batch_size, 2, 3), "float32"), np.zeros(batch_size, "int32")

        def train(self, **options):
            raise NotImplementedError

    first, second = Model().symbolic_state()
    assert (first.ndim, first.dtype, second.ndim, second.dtype) == (3, "float32", 1, "int32")
