"""The compiled language model against plain NumPy loops, its gradients three ways, and its properties."""

import aesara
import aesara.tensor as T
import numpy as np
import pytest
import reference

from theano_rnn.model import RNNLM, gradients
from theano_rnn.nn.unrolling import unroll
from theano_rnn.settings.network import ModelConfig

TIME, BATCH, VOCAB, HIDDEN = 4, 3, 7, 6
SHAPES = [(TIME, BATCH), (1, BATCH), (TIME, 1), (1, 1)]


@pytest.fixture(params=["tanh", "relu"])
def compiled(request, engine):
    """Both cells in turn: `train` and `predict`."""
    return request.getfixturevalue(request.param)


def difference(actual, expected):
    """Norm of the difference, relative to the norm of what is expected."""
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


def scattered(mask):
    """A mask with padding before and between real steps, too."""
    mask = np.random.default_rng(3).integers(2, size=mask.shape).astype(mask.dtype)
    mask[-1, 0] = 1
    return mask


# Against plain loops


@pytest.mark.parametrize("shape", SHAPES)
def test_predictions_and_final_state_are_those_of_plain_loops(compiled, shape):
    inputs = compiled.inputs(*shape)
    for mask in (inputs.mask, scattered(inputs.mask)):
        actual, state = compiled.functions.predict(inputs.tokens, mask, inputs.state)
        hidden, _, final = reference.forward(compiled.params(), inputs.tokens, mask, inputs.state, compiled.cell)
        expected = reference.log_probabilities(compiled.params(), hidden)
        assert actual.shape == (*shape, VOCAB)
        np.testing.assert_allclose(actual[mask == 1], expected[mask == 1], atol=1e-10)
        np.testing.assert_allclose(state, final, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_losses_are_those_of_plain_loops_and_zero_where_masked(tanh, shape):
    inputs = tanh.inputs(*shape)
    for mask in (inputs.mask, scattered(inputs.mask)):
        actual, state = tanh.functions.loss(*inputs._replace(mask=mask))
        expected = reference.losses(tanh.params(), *inputs._replace(mask=mask), "tanh")
        np.testing.assert_allclose(actual, expected, atol=1e-10)
        assert not actual[mask == 0].any()
        final = reference.forward(tanh.params(), inputs.tokens, mask, inputs.state, "tanh")[-1]
        np.testing.assert_allclose(state, final, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_training_step_is_that_of_plain_loops(compiled, shape):
    inputs = compiled.inputs(*shape)
    for mask in (inputs.mask, scattered(inputs.mask)):
        inputs = inputs._replace(mask=mask)
        before = compiled.reset().params()
        loss, state = compiled.functions.train(*inputs, 0.7)
        np.testing.assert_allclose(loss, reference.loss(before, *inputs, compiled.cell), atol=1e-10)
        final = reference.forward(before, inputs.tokens, mask, inputs.state, compiled.cell)[-1]
        np.testing.assert_allclose(state, final, atol=1e-10)
        slopes = reference.backward(before, *inputs, compiled.cell)
        for name, after in compiled.params().items():
            np.testing.assert_allclose(after, before[name] - 0.7 * slopes[name], atol=1e-10, err_msg=name)


@pytest.mark.parametrize("shape", SHAPES)
def test_one_hidden_unit_trains_like_plain_loops(hidden_1, shape):
    inputs = hidden_1.inputs(*shape)
    before = hidden_1.params()
    loss, state = hidden_1.functions.train(*inputs, 0.7)
    np.testing.assert_allclose(loss, reference.loss(before, *inputs, "tanh"), atol=1e-10)
    assert state.shape == (shape[1], 1)
    slopes = reference.backward(before, *inputs, "tanh")
    for name, after in hidden_1.params().items():
        np.testing.assert_allclose(after, before[name] - 0.7 * slopes[name], atol=1e-10, err_msg=name)


def test_step_is_one_step_of_plain_loops(tanh):
    tokens, _, _, state = tanh.inputs()
    actual, new = tanh.functions.step(tokens[0], state)
    hidden, _, final = reference.forward(tanh.params(), tokens[:1], np.ones((1, BATCH)), state, "tanh")
    np.testing.assert_allclose(actual, reference.log_probabilities(tanh.params(), hidden)[0], atol=1e-10)
    np.testing.assert_allclose(new, final, atol=1e-10)


# Gradients


def test_gradient_is_that_of_central_differences(compiled):
    inputs = compiled.inputs()
    actual = compiled.gradients(inputs)
    for name, slope in compiled.central_differences(*inputs).items():
        assert difference(actual[name], slope) < 1e-6, name


def test_gradient_through_forty_steps_is_that_of_handwritten_backpropagation(compiled):
    rng = np.random.default_rng(1)
    inputs = compiled.inputs(40)
    padded = (np.arange(40)[:, None] < [40, 33, 12]).astype("float64")
    orthogonal = np.linalg.qr(rng.normal(size=(HIDDEN, HIDDEN)))[0]
    compiled.model.params["layer0.W_hh"].set_value(orthogonal)  # so that early steps still matter after forty
    for mask in (padded, scattered(padded)):
        inputs = inputs._replace(mask=mask)
        expected = reference.backward(compiled.params(), *inputs, compiled.cell)
        for name, actual in compiled.gradients(inputs).items():
            assert difference(actual, expected[name]) < 1e-8, name


def test_gradient_reaches_back_to_the_first_step(tanh):
    """Aesara's `truncate_gradient` would drop the first steps of a sequence; nothing here may."""
    inputs = tanh.inputs(40, 1)
    tokens = np.zeros((40, 1), "int32")
    tokens[0] = 5
    only_last = np.zeros((40, 1))
    only_last[[0, -1]] = 1
    inputs = inputs._replace(tokens=tokens, mask=np.ones((40, 1)))
    tanh.model.params["layer0.W_hh"].set_value(np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0])
    assert np.linalg.norm(tanh.gradients(inputs)["embedding"][5]) > 1e-4
    assert np.linalg.norm(tanh.gradients(inputs._replace(mask=only_last))["embedding"][5]) > 1e-4


def test_gradients_are_named_after_their_parameters(python_mode):
    a, b = T.dscalars("a", "b")
    slopes = gradients(a**2 * b, {"a": a, "b": b})
    assert {name: float(slope.eval({a: 3, b: 5})) for name, slope in slopes.items()} == {"a": 30, "b": 9}


# Properties of the model


def test_the_future_does_not_change_the_past(tanh):
    tokens, _, _, state = tanh.inputs()
    mask = np.ones((TIME, BATCH))
    log_p, _ = tanh.functions.predict(tokens, mask, state)
    for t in range(TIME):
        changed = tokens.copy()
        changed[t] = (changed[t] + 1) % VOCAB
        other, _ = tanh.functions.predict(changed, mask, state)
        np.testing.assert_array_equal(other[:t], log_p[:t])
        assert (other[t] != log_p[t]).any()


def test_padding_changes_neither_loss_nor_gradient(compiled):
    inputs = compiled.inputs()
    padding = compiled.inputs(3, seed=7)
    longer = inputs._replace(
        tokens=np.concatenate([inputs.tokens, padding.tokens]),
        targets=np.concatenate([inputs.targets, padding.targets]),
        mask=np.concatenate([inputs.mask, 0 * padding.mask]),
    )
    expected = compiled.gradients(inputs)
    for name, actual in compiled.gradients(longer).items():
        np.testing.assert_allclose(actual, expected[name], atol=1e-14, err_msg=name)
    loss, state = compiled.functions.train(*inputs, 0.0)
    longer_loss, longer_state = compiled.functions.train(*longer, 0.0)
    np.testing.assert_allclose(longer_loss, loss, rtol=1e-12)
    np.testing.assert_allclose(longer_state, state, rtol=1e-12)


def test_what_stands_in_padding_does_not_matter(tanh):
    inputs = tanh.inputs()
    other = tanh.inputs(seed=9)
    changed = inputs._replace(
        tokens=np.where(inputs.mask == 1, inputs.tokens, other.tokens),
        targets=np.where(inputs.mask == 1, inputs.targets, other.targets),
    )
    assert (changed.tokens != inputs.tokens).any()
    assert (changed.targets != inputs.targets).any()
    np.testing.assert_array_equal(tanh.functions.loss(*changed)[0], tanh.functions.loss(*inputs)[0])
    for name, actual in tanh.gradients(changed).items():
        np.testing.assert_array_equal(actual, tanh.gradients(inputs)[name])


def test_a_column_alone_has_the_loss_that_it_has_among_others(tanh):
    inputs = tanh.inputs()
    losses, state = tanh.functions.loss(*inputs)
    for column in range(BATCH):
        one = slice(column, column + 1)
        tokens, targets, mask = (array[:, one] for array in inputs[:3])
        alone, final = tanh.functions.loss(tokens, targets, mask, inputs.state[one])
        np.testing.assert_allclose(alone, losses[:, one], rtol=1e-11)
        np.testing.assert_allclose(final, state[one], rtol=1e-11)


def test_a_token_weighs_the_same_in_short_and_long_sentences(tanh):
    """The loss of a batch is the mean over its tokens, not over its sentences or its steps."""
    inputs = tanh.inputs()
    losses, _ = tanh.functions.loss(*inputs)
    assert inputs.mask.sum() == 7
    np.testing.assert_allclose(tanh.functions.train(*inputs, 0.0)[0], losses.sum() / 7, rtol=1e-12)


def test_two_windows_with_carried_state_equal_one(tanh):
    inputs = tanh.inputs(7)._replace(mask=np.ones((7, BATCH)))
    tokens, targets, mask, state = inputs
    losses, final = tanh.functions.loss(*inputs)
    first, carried = tanh.functions.loss(tokens[:3], targets[:3], mask[:3], state)
    second, last = tanh.functions.loss(tokens[3:], targets[3:], mask[3:], carried)
    np.testing.assert_allclose(np.concatenate([first, second]), losses, rtol=1e-11)
    np.testing.assert_allclose(last, final, rtol=1e-11)
    without, _ = tanh.functions.loss(tokens[3:], targets[3:], mask[3:], 0 * carried)
    assert np.abs(without - second).max() > 1e-3  # the state matters


def test_loss_at_zero_weights_is_the_log_of_the_vocabulary(tanh):
    for parameter in tanh.model.params.values():
        parameter.set_value(0 * np.array(parameter.get_value()))
    np.testing.assert_allclose(tanh.mean_loss(tanh.inputs()), np.log(VOCAB), rtol=1e-12)


def test_a_fresh_model_knows_nothing(python_mode):
    config = ModelConfig(cell="tanh", vocab_size=8000, tie_weights=False, head="softmax")
    model = RNNLM(config, rng=np.random.default_rng(1))
    graph = model.loss()
    loss = aesara.function(graph.arguments, graph.results)
    tokens = np.random.default_rng(2).integers(8000, size=(6, 5), dtype="int32")
    losses, state = loss(tokens[:-1], tokens[1:], np.ones((5, 5), "float32"), *model.initial_state(5))
    assert losses.dtype == state.dtype == np.float32
    assert losses.mean() == pytest.approx(8.9872, rel=1e-3)


def test_probabilities_sum_to_one(tanh):
    inputs = tanh.inputs()
    log_p, _ = tanh.functions.predict(inputs.tokens, inputs.mask, inputs.state)
    np.testing.assert_allclose(np.exp(log_p).sum(axis=-1), 1, rtol=1e-12)


def test_step_repeated_equals_predict(tanh):
    tokens, _, _, state = tanh.inputs()
    log_p, final = tanh.functions.predict(tokens, np.ones((TIME, BATCH)), state)
    for t in range(TIME):
        log_p_t, state = tanh.functions.step(tokens[t], state)
        np.testing.assert_allclose(log_p_t, log_p[t], rtol=1e-11)
    np.testing.assert_allclose(state, final, rtol=1e-11)


def test_loss_is_read_off_predict(tanh):
    inputs = tanh.inputs()
    log_p, _ = tanh.functions.predict(inputs.tokens, inputs.mask, inputs.state)
    picked = -np.take_along_axis(log_p, inputs.targets[..., None], axis=-1)[..., 0] * inputs.mask
    np.testing.assert_allclose(tanh.functions.loss(*inputs)[0], picked, rtol=1e-11)


def test_train_returns_the_loss_before_the_update(tanh):
    inputs = tanh.inputs()
    before = tanh.mean_loss(inputs)
    np.testing.assert_allclose(tanh.functions.train(*inputs, 0.1)[0], before, rtol=1e-12)
    assert tanh.mean_loss(inputs) < before - 1e-3


def test_learning_rate_zero_changes_nothing(compiled):
    before = compiled.params()
    compiled.functions.train(*compiled.inputs(), 0.0)
    for name, after in compiled.params().items():
        np.testing.assert_array_equal(after, before[name])


def test_evaluating_changes_nothing(tanh):
    inputs = tanh.inputs()
    given = [array.copy() for array in inputs]
    before = tanh.params()
    first = tanh.functions.loss(*inputs)[0]
    tanh.functions.predict(inputs.tokens, inputs.mask, inputs.state)
    tanh.functions.step(inputs.tokens[0], inputs.state)
    np.testing.assert_array_equal(tanh.functions.loss(*inputs)[0], first)
    for name, after in tanh.params().items():
        np.testing.assert_array_equal(after, before[name])
    for array, copy in zip(inputs, given):
        np.testing.assert_array_equal(array, copy)


def test_results_are_not_overwritten_by_the_next_call(tanh):
    """Buffers are kept between calls: what was returned must not be one of them."""
    inputs, other = tanh.inputs(), tanh.inputs(seed=5)
    for call in (
        lambda i: tanh.functions.loss(*i),
        lambda i: tanh.functions.predict(i.tokens, i.mask, i.state),
        lambda i: tanh.functions.step(i.tokens[0], i.state),
        lambda i: tanh.functions.train(*i, 0.0),
    ):
        results = call(inputs)
        copies = [result.copy() for result in results]
        call(other)
        for result, copy in zip(results, copies):
            np.testing.assert_array_equal(result, copy)


@pytest.mark.learns
def test_adam_training_learns_the_batch(adam):
    inputs = adam.inputs()
    losses = [float(adam.functions.train(*inputs, 0.05)[0]) for _ in range(150)]
    assert losses[0] > 1.5
    assert losses[-1] < 0.01


def test_same_seed_same_parameters():
    def draw(seed):
        model = RNNLM(ModelConfig(cell="tanh", vocab_size=VOCAB, tie_weights=False), rng=np.random.default_rng(seed))
        return {name: np.array(parameter.get_value()) for name, parameter in model.params.items()}

    first, again, other = draw(1), draw(1), draw(2)
    for name, value in first.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, again[name])
        if value.any():  # biases are zero
            assert (value != other[name]).any()


def test_parameters_have_the_documented_shapes():
    config = ModelConfig(cell="tanh", embedding_size=5, hidden_size=HIDDEN, vocab_size=VOCAB, tie_weights=False)
    model = RNNLM(config, rng=np.random.default_rng(0))
    assert {name: np.array(parameter.get_value()).shape for name, parameter in model.params.items()} == {
        "embedding": (VOCAB + 2, 5),
        "layer0.W_xh": (5, HIDDEN),
        "layer0.W_hh": (HIDDEN, HIDDEN),
        "layer0.b_h": (HIDDEN,),
        "W_hy": (HIDDEN, VOCAB),
        "b_y": (VOCAB,),
    }


def test_targets_that_are_no_column_are_refused(tanh, engine):
    inputs = tanh.inputs()
    wrong = inputs._replace(targets=np.full_like(inputs.targets, VOCAB))
    if engine == "jax":  # XLA cannot raise: the loss is no number, which stops training
        assert np.isnan(tanh.functions.train(*wrong, 1.0)[0])
        return
    with pytest.raises(IndexError, match=r"targets must be in 0 \.\. 6, got 7"):
        tanh.functions.train(*wrong, 1.0)
    np.testing.assert_array_equal(tanh.params()["W_hy"], tanh.reset().params()["W_hy"])


def test_tokens_without_a_row_are_refused(tanh, engine):
    inputs = tanh.inputs()
    wrong = inputs._replace(tokens=np.full_like(inputs.tokens, VOCAB + 2))
    if engine == "jax":
        assert np.isnan(tanh.functions.loss(*wrong)[0][inputs.mask == 1]).all()
        return
    with pytest.raises(IndexError):
        tanh.functions.loss(*wrong)


def test_unknown_function_names_are_refused(tanh):
    with pytest.raises(ValueError, match="functions are train, predict, loss, step, features, got 'score'"):
        tanh.model.compile("score")


def test_functions_not_asked_for_are_none(relu):
    assert relu.functions.loss is None
    assert relu.functions.step is None


# unroll, with cells that are not recurrent networks


class Toy:
    """A cell made of one function of (projected_t, *state, *fixed)."""

    def __init__(self, step, num_states=1, recurrent=()):
        self.step, self.num_states, self.recurrent = step, num_states, recurrent


TOYS = {
    "output is not the state": Toy(lambda x, s: (x + 1, s + 1)),
    "output is the state": Toy(lambda x, s: (x + 2 * s,) * 2),
    "output is the state before": Toy(lambda x, s: (s, x + 2 * s)),
    "two states, output is neither": Toy(lambda x, a, b: (a - b, b, a + b + x), 2),
    "two states, output is the first": Toy(lambda x, a, b: (lambda new: (new, new, a))(a + b + x), 2),
    "two states, output is the second": Toy(lambda x, a, b: (lambda new: (new, b, new))(a + b + x), 2),
    "a parameter and context": Toy(lambda x, s, w, c: (s * c, x + w * s), recurrent=("w",)),
}


def run(cell, *, mask=None, backwards=False, num_states=None):
    """`unroll` and the loop in its docstring, with the same inputs: two pairs (outputs, states)."""
    rng = np.random.default_rng(4)
    projected = rng.normal(size=(TIME, BATCH, HIDDEN))
    mask = np.ones((TIME, BATCH)) if mask is None else mask
    state = [rng.normal(size=(BATCH, HIDDEN)) for _ in range(num_states or cell.num_states)]
    fixed = {"w": np.float64(0.5), "context": np.float64(3)} if cell.recurrent else {}
    symbols = {name: T.as_tensor_variable(value) for name, value in fixed.items()}
    context = [symbols.pop("context")] if symbols else []
    arrays = [T.as_tensor_variable(array) for array in (projected, mask, *state)]
    (outputs,), final = unroll(cell, *arrays[:2], arrays[2:], params=symbols, context=context, backwards=backwards)
    actual = aesara.function([], [outputs, *final])()

    expected = np.zeros_like(projected)
    for t in reversed(range(TIME)) if backwards else range(TIME):
        expected[t], *new = cell.step(projected[t], *state, *fixed.values())
        state = [np.where(mask[t][:, None] == 1, n, old) for n, old in zip(new, state)]
    return (actual[0], actual[1:]), (expected, state)


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("cell", TOYS.values(), ids=TOYS)
def test_unroll_is_the_loop_in_its_docstring(cell, backwards, python_mode):
    (outputs, final), (expected, state) = run(cell, backwards=backwards)
    np.testing.assert_allclose(outputs, expected, rtol=1e-12)
    assert len(final) == len(state)
    np.testing.assert_allclose(final, state, rtol=1e-12)


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("cell", [TOYS["output is not the state"], TOYS["two states, output is the first"]])
def test_a_masked_step_copies_the_state(cell, backwards, python_mode):
    mask = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1], [1, 0, 0]], dtype=float)
    (outputs, final), (expected, state) = run(cell, mask=mask, backwards=backwards)
    np.testing.assert_allclose(outputs[mask == 1], expected[mask == 1], rtol=1e-12)
    np.testing.assert_allclose(final, state, rtol=1e-12)


def test_a_masked_column_ends_in_the_state_it_began_with(python_mode):
    mask = np.array([[1, 0, 1]] * TIME, dtype=float)
    (_, final), _ = run(TOYS["output is not the state"], mask=mask)
    began = np.random.default_rng(4)
    began.normal(size=(TIME, BATCH, HIDDEN))
    state = began.normal(size=(BATCH, HIDDEN))
    np.testing.assert_allclose(final[0] - state, np.array([[TIME], [0], [TIME]]) * np.ones(HIDDEN), rtol=1e-11)


def test_unroll_refuses_another_number_of_states(python_mode):
    with pytest.raises(ValueError, match="the cell has 1 states, got 2"):
        run(TOYS["output is the state"], num_states=2)


def test_units_are_neither_idle_nor_saturated_before_training():
    """Small embeddings were a bug: the recurrent matrices grew instead, and validation perplexity doubled."""
    model = RNNLM(ModelConfig(cell="tanh", vocab_size=1000), rng=np.random.default_rng(1))
    params = {name: p.get_value() for name, p in model.params.items()}
    projected = params["embedding"] @ params["layer0.W_xh"]
    assert 0.3 < projected.std() < 0.9
