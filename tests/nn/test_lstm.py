"""The LSTM language model, compared with plain loops, finite differences and PyTorch."""

import aesara
import numpy as np
import pytest
import reference_lstm
from reference_cells import difference, scattered

from theano_rnn.nn.cells import make_cell

TIME, BATCH, VOCAB, EMBEDDING, HIDDEN = 4, 3, 7, 5, 6
SHAPES = [(TIME, BATCH), (1, BATCH), (TIME, 1), (1, 1)]


def given(compiled, time=TIME, batch=BATCH, *, seed=0):
    """Returns tokens, targets, mask and a state of two arrays."""
    tokens, targets, mask, h = compiled.inputs(time, batch, seed=seed)
    return tokens, targets, mask, (h, np.random.default_rng(seed + 1).normal(size=h.shape))


def gradients(compiled, tokens, targets, mask, state):
    """Returns gradients, from one step of gradient descent with learning rate 1, which is then undone."""
    before = compiled.params()
    compiled.functions.train(tokens, targets, mask, *state, 1.0)
    after = compiled.params()
    compiled.reset()
    return {name: before[name] - after[name] for name in before}


# How it begins


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_and_state_begin_as_documented(dtype):
    lstm = make_cell("lstm", EMBEDDING, HIDDEN, rng=np.random.default_rng(0), dtype=dtype)
    values = {name: parameter.get_value() for name, parameter in lstm.params.items()}
    assert {value.dtype.name for value in values.values()} == {dtype}
    assert {name: value.shape for name, value in values.items()} == {
        "W_xh": (EMBEDDING, 4 * HIDDEN), "W_hh": (HIDDEN, 4 * HIDDEN), "b_h": (4 * HIDDEN,)
    }  # fmt: skip
    assert 0.8 < np.abs(values["W_xh"]).max() * EMBEDDING**0.5 <= 1
    assert 0.8 < np.abs(values["W_hh"]).max() * HIDDEN**0.5 <= 1
    np.testing.assert_array_equal(values["b_h"].reshape(4, HIDDEN)[:, 0], [0, 1, 0, 0])
    np.testing.assert_array_equal(np.ptp(values["b_h"].reshape(4, HIDDEN), axis=1), 0)
    states = lstm.initial_state(BATCH)
    assert len(states) == 2
    assert all(state.shape == (BATCH, HIDDEN) and state.dtype == dtype and not state.any() for state in states)


# The model, against plain loops


@pytest.mark.parametrize("shape", SHAPES)
def test_predictions_and_final_state_are_those_of_plain_loops(lstm, shape):
    tokens, _, padded, state = given(lstm, *shape)
    for mask in (padded, scattered(padded)):
        log_p, *final = lstm.functions.predict(tokens, mask, *state)
        expected = reference_lstm.log_probabilities(lstm.params(), tokens, mask, state)
        np.testing.assert_allclose(log_p[mask == 1], expected[mask == 1], atol=1e-10)
        for actual, trace in zip(final, reference_lstm.forward(lstm.params(), tokens, mask, state)):
            np.testing.assert_allclose(actual, trace[-1], atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_training_step_is_that_of_plain_loops(lstm, shape):
    tokens, targets, padded, state = given(lstm, *shape)
    for mask in (padded, scattered(padded)):
        before = lstm.reset().params()
        loss, *final = lstm.functions.train(tokens, targets, mask, *state, 0.7)
        np.testing.assert_allclose(loss, reference_lstm.loss(before, tokens, targets, mask, state), atol=1e-10)
        for actual, trace in zip(final, reference_lstm.forward(before, tokens, mask, state)):
            np.testing.assert_allclose(actual, trace[-1], atol=1e-10)
        slopes = reference_lstm.backward(before, tokens, targets, mask, state)
        for name, after in lstm.params().items():
            np.testing.assert_allclose(after, before[name] - 0.7 * slopes[name], atol=1e-10, err_msg=name)


def test_step_is_one_step_of_plain_loops(lstm, python_mode):
    tokens, _, _, state = given(lstm)
    graph = lstm.model.step()
    log_p, *new = aesara.function(graph.arguments, graph.results)(tokens[0], *state)
    everywhere = np.ones((1, BATCH))
    expected = reference_lstm.log_probabilities(lstm.params(), tokens[:1], everywhere, state)[0]
    np.testing.assert_allclose(log_p, expected, atol=1e-10)
    for actual, trace in zip(new, reference_lstm.forward(lstm.params(), tokens[:1], everywhere, state)):
        np.testing.assert_allclose(actual, trace[-1], atol=1e-10)


def test_the_loops_have_the_gradient_of_their_loss():
    """This validates the reference that the model is compared with."""
    rng = np.random.default_rng(7)
    layer = {"layer0.W_xh": (2, 8), "layer0.W_hh": (2, 8), "layer0.b_h": (8,)}
    shapes = {"embedding": (3, 2), **layer, "W_hy": (2, 3), "b_y": (3,)}
    params = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    tokens, targets = rng.integers(3, size=(2, 4, 2))
    arguments = tokens, targets, np.array([[1, 1], [1, 0], [0, 1], [1, 1]]), rng.normal(size=(2, 2, 2))
    slopes = reference_lstm.backward(params, *arguments)
    for name, value in params.items():
        for index in np.ndindex(*value.shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = value.copy()
                moved[index] += step
                ends.append(reference_lstm.loss({**params, name: moved}, *arguments))
            assert abs(slopes[name][index] - (ends[0] - ends[1]) / 2e-5) < 1e-8, (name, index)


# Gradients


def test_gradient_is_that_of_central_differences(lstm):
    tokens, targets, mask, state = given(lstm)
    actual = gradients(lstm, tokens, targets, mask, state)
    for name, slope in lstm.central_differences(tokens, targets, mask, *state).items():
        assert difference(actual[name], slope) < 1e-6, name


def test_gradient_through_forty_steps_is_that_of_handwritten_backpropagation(lstm):
    """Includes a state that is remembered: the forget gates are nearly open."""
    tokens, targets, _, state = given(lstm, 40)
    mask = (np.arange(40)[:, None] < [40, 33, 12]).astype("float64")
    bias = lstm.params()["layer0.b_h"]
    bias[HIDDEN : 2 * HIDDEN] = 3
    lstm.model.params["layer0.b_h"].set_value(bias)
    expected = reference_lstm.backward(lstm.params(), tokens, targets, mask, state)
    for name, slope in gradients(lstm, tokens, targets, mask, state).items():
        assert difference(slope, expected[name]) < 1e-10, name


# Properties


def test_two_windows_with_carried_state_are_one(lstm):
    tokens, _, _, state = given(lstm, 10)
    mask = np.ones((10, BATCH))
    whole, *final = lstm.functions.predict(tokens, mask, *state)
    first, *middle = lstm.functions.predict(tokens[:4], mask[:4], *state)
    second, *end = lstm.functions.predict(tokens[4:], mask[4:], *middle)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, atol=1e-12)
    for actual, expected in zip(end, final):
        np.testing.assert_allclose(actual, expected, atol=1e-12)


def test_padding_changes_neither_loss_nor_gradients_nor_state(lstm):
    tokens, targets, mask, state = given(lstm)
    padded = [np.concatenate([part, np.ones((5, BATCH), part.dtype)]) for part in (tokens, targets)]
    longer = np.concatenate([mask, np.zeros((5, BATCH))])
    loss, *final = lstm.functions.train(tokens, targets, mask, *state, 0.5)
    params = lstm.params()
    same_loss, *same_final = lstm.reset().functions.train(*padded, longer, *state, 0.5)
    np.testing.assert_allclose([same_loss, *same_final[0].ravel(), *same_final[1].ravel()],
                               [loss, *final[0].ravel(), *final[1].ravel()], rtol=1e-12)  # fmt: skip
    for name, value in lstm.params().items():
        np.testing.assert_allclose(value, params[name], rtol=1e-11, atol=1e-14, err_msg=name)


# Against PyTorch


@pytest.mark.parametrize("time", [1, 4, 12])
def test_pytorch_gives_the_same_predictions_states_and_gradients(lstm, time):
    """torch.nn.LSTM is an independent implementation."""
    torch = pytest.importorskip("torch")
    from torch_layers import torch_gradients, torch_layers

    torch.set_num_threads(1)
    tokens, targets, mask, state = given(lstm, time)
    mask[:] = 1
    params = lstm.params()
    rnn = torch_layers("lstm", [{name: params[f"layer0.{name}"] for name in ("W_xh", "W_hh", "b_h")}])
    others = {name: torch.tensor(params[name], requires_grad=True) for name in ("embedding", "W_hy", "b_y")}
    x = others["embedding"][torch.tensor(tokens.astype("int64"))]
    h, final = rnn(x, tuple(torch.tensor(part)[None] for part in state))
    scores = (h @ others["W_hy"] + others["b_y"]).flatten(0, 1)
    loss = torch.nn.functional.cross_entropy(scores, torch.tensor(targets.astype("int64")).flatten())
    loss.backward()

    log_p, *ours = lstm.functions.predict(tokens, mask, *state)
    np.testing.assert_allclose(log_p.reshape(-1, VOCAB), torch.log_softmax(scores, dim=-1).detach().numpy(), atol=1e-9)
    for actual, expected in zip(ours, final):
        np.testing.assert_allclose(actual, expected[0].detach().numpy(), atol=1e-10)
    np.testing.assert_allclose(lstm.functions.train(tokens, targets, mask, *state, 0.0)[0], loss.item(), atol=1e-10)
    slopes = gradients(lstm, tokens, targets, mask, state)
    for name, parameter in others.items():
        assert difference(slopes[name], parameter.grad.numpy()) < 1e-9, name
    for name, slope in torch_gradients("lstm", rnn)[0].items():
        assert difference(slopes[f"layer0.{name}"], slope) < 1e-9, name
