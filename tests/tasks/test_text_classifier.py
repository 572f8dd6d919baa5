"""The classifier against PyTorch; texts that do not see their neighbours; and what each token contributes."""

import functools
import itertools

import numpy as np
import pytest
from conftest import ENGINES

from theano_rnn.settings.network import ClassifierConfig
from theano_rnn.settings.training import RegularizationConfig
from theano_rnn.tasks.text_classifier import TextClassifier

TIME, BATCH, VOCAB, LABELS, EMBEDDING, HIDDEN = 6, 5, 8, 3, 4, 5
LENGTHS = [6, 1, 4, 2, 6]
RATE = 0.7
MODELS = [  # engine, cell, levels, bidirectional, pooling
    ("jax", "lstm", 1, False, "max"),
    ("jax", "gru", 1, True, "max"),
    ("jax", "gru", 3, False, "mean"),
    ("jax", "lstm", 2, True, "mean"),
    ("jax", "lstm", 2, False, "final"),
    ("jax", "gru", 1, True, "final"),
    ("jax", "tanh", 1, True, "mean"),
    ("jax", "tanh", 1, False, "attention"),
    ("jax", "lstm", 3, True, "attention"),
    ("c", "tanh", 1, False, "attention"),
]
MODELS = [model for model in MODELS if model[0] in ENGINES]
QUICK = [("lstm", 1, False, "max"), ("gru", 1, True, "max"), ("gru", 1, True, "final"), ("tanh", 1, False, "attention"),
         ("tanh", 1, True, "mean")]  # fmt: skip
every_model = pytest.mark.parametrize(
    ("engine", "cell", "num_layers", "bidirectional", "pooling"),
    [pytest.param(*model, marks=() if model[1:] in QUICK else pytest.mark.slow) for model in MODELS],
)
needs_jax = pytest.mark.skipif("jax" not in ENGINES, reason="needs jax")


def model_of(cell, num_layers, bidirectional, pooling, dtype="float64"):
    """A model whose parameters are larger than those of a fresh one, and no bias is zero."""
    config = ClassifierConfig(
        cell=cell, num_layers=num_layers, bidirectional=bidirectional, pooling=pooling, embedding_size=EMBEDDING,
        hidden_size=HIDDEN, vocab_size=VOCAB, num_labels=LABELS, dtype=dtype,
    )  # fmt: skip
    model = TextClassifier(config, rng=np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for parameter in model.params.values():
        parameter.set_value(rng.normal(0, 0.7, parameter.get_value().shape).astype(dtype))
    return model


@functools.cache
def compiled(engine, *settings):
    model = model_of(*settings)
    return model, model.compile("train", "loss", engine=engine, optimizer="sgd"), params_of(model)


@functools.cache
def predicting(*settings):
    model = model_of(*settings)
    return model.compile("predict", engine="jax").predict


def params_of(model):
    return {name: np.array(parameter.get_value()) for name, parameter in model.params.items()}


def batch(lengths=LENGTHS, dtype="float64", seed=2):
    """Tokens, with large ids as padding; mask; labels; weights."""
    rng = np.random.default_rng(seed)
    mask = (np.arange(TIME)[:, None] < lengths).astype(dtype)
    tokens = np.where(mask > 0, rng.integers(0, VOCAB, mask.shape), VOCAB).astype("int32")
    labels = (np.arange(len(lengths)) % LABELS).astype("int32")
    return tokens, mask, labels, rng.uniform(0.2, 3, len(lengths)).astype(dtype)


class Torch:
    """The same classifier of PyTorch's layers, with copied weights. Reads each text alone, without padding."""

    def __init__(self, torch, config, params):
        from torch_layers import torch_layers

        self.torch, self.config, self.directions = torch, config, 1 + config.bidirectional
        names = ("forward", "backward") if config.bidirectional else ("layer",)
        self.places = [f"{name}{level}." for level in range(config.num_layers) for name in names]
        cells = [{name.removeprefix(place): p for name, p in params.items() if name.startswith(place)}
                 for place in self.places]  # fmt: skip
        self.rnn = torch_layers(config.cell, cells, directions=self.directions)
        in_cells = tuple(self.places)
        self.others = {name: torch.tensor(p, requires_grad=True) for name, p in params.items()
                       if not name.startswith(in_cells)}  # fmt: skip

    def log_probabilities(self, tokens, mask):
        rows = []
        for column, length in enumerate(mask.sum(axis=0).astype(int)):
            x = self.others["embedding"][self.torch.tensor(tokens[:length, column].astype("int64"))]
            h, _ = self.rnn(x)
            rows.append(self.pooled(h) @ self.others["W_hy"] + self.others["b_y"])
        return self.torch.log_softmax(self.torch.stack(rows), dim=1)

    def pooled(self, h):
        if self.config.pooling == "max":
            return h.max(dim=0).values
        if self.config.pooling == "mean":
            return h.mean(dim=0)
        if self.config.pooling == "final":
            return self.torch.cat([h[-1, :HIDDEN], h[0, HIDDEN:]])
        energies = self.torch.tanh(h @ self.others["W_a"] + self.others["b_a"]) @ self.others["v_a"]
        return self.torch.softmax(energies, dim=0) @ h

    def updated(self, tokens, mask, labels, weights):
        """The parameters after a step of gradient descent on the weighted mean of the losses."""
        from torch_layers import torch_gradients

        before = {name: value.detach().numpy().copy() for name, value in self.others.items()}
        losses = -self.log_probabilities(tokens, mask)[range(len(labels)), labels.tolist()]
        weights = self.torch.tensor(weights)
        ((losses * weights).sum() / weights.sum()).backward()
        found = {name: value - RATE * self.others[name].grad.numpy() for name, value in before.items()}
        cells = torch_gradients(self.config.cell, self.rnn, directions=self.directions)
        gradients = {place + name: slope for place, cell in zip(self.places, cells) for name, slope in cell.items()}
        return found, gradients


@every_model
def test_pytorch_gives_the_same_probabilities_losses_and_updates(engine, cell, num_layers, bidirectional, pooling):
    torch = pytest.importorskip("torch")
    model, functions, before = compiled(engine, cell, num_layers, bidirectional, pooling)
    tokens, mask, labels, weights = batch()
    theirs = Torch(torch, model.config, before)
    with torch.no_grad():
        expected = theirs.log_probabilities(tokens, mask).numpy()
    losses, log_p = map(np.asarray, functions.loss(tokens, mask, labels, weights))
    np.testing.assert_allclose(log_p.T, expected, atol=1e-10)
    np.testing.assert_allclose(losses, -expected[np.arange(BATCH), labels], atol=1e-10)
    (loss,) = functions.train(tokens, mask, labels, weights, RATE)
    after = params_of(model)
    for name, value in before.items():
        model.params[name].set_value(value)
    np.testing.assert_allclose(loss, losses.mean(), atol=1e-10)
    found, gradients = theirs.updated(tokens, mask, labels, weights)
    found |= {name: before[name] - RATE * slope for name, slope in gradients.items()}
    assert found.keys() == after.keys()
    for name, value in found.items():
        np.testing.assert_allclose(after[name], value, atol=1e-10, err_msg=name)
        assert np.abs(value - before[name]).max() > 1e-6, name


@needs_jax
def test_weights_of_labels_are_those_of_pytorch():
    """PyTorch divides the weighted sum by the sum of the weights, too."""
    torch = pytest.importorskip("torch")
    model, functions, before = compiled(*MODELS[0])
    tokens, mask, labels, _ = batch()
    of_label = np.array([0.5, 2.0, 1.25])
    functions.train(tokens, mask, labels, of_label[labels], RATE)
    after = np.array(model.params["b_y"].get_value())
    for name, value in before.items():
        model.params[name].set_value(value)
    theirs = Torch(torch, model.config, before)
    criterion = torch.nn.NLLLoss(weight=torch.tensor(of_label))
    criterion(theirs.log_probabilities(tokens, mask), torch.tensor(labels.astype("int64"))).backward()
    np.testing.assert_allclose(after, before["b_y"] - RATE * theirs.others["b_y"].grad.numpy(), atol=1e-10)


@needs_jax
def test_the_loss_of_a_model_without_output_weights_is_that_of_a_guess():
    model, functions, before = compiled(*MODELS[0])
    model.params["W_hy"].set_value(0 * before["W_hy"])
    model.params["b_y"].set_value(0 * before["b_y"])
    losses, _ = functions.loss(*batch())
    for name, value in before.items():
        model.params[name].set_value(value)
    np.testing.assert_allclose(losses, np.log(LABELS), atol=1e-12)


# Neighbours


@pytest.mark.slow
@needs_jax
@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-10), ("float32", 1e-6)])
@pytest.mark.parametrize(("bidirectional", "pooling"), [(True, "final"), (True, "attention"), (False, "max")])
def test_a_text_has_the_same_probabilities_among_any_others(bidirectional, pooling, dtype, bound):
    predict = predicting("gru", 1, bidirectional, pooling, dtype)
    tokens, mask, *_ = batch(dtype=dtype)
    expected = np.asarray(predict(tokens, mask)[0])
    for column, length in enumerate(LENGTHS):
        if length in (1, 4):  # alone: other lengths would only be compiled for longer
            alone = predict(tokens[:length, [column]], mask[:length, [column]])[0]
            np.testing.assert_allclose(np.asarray(alone)[:, 0], expected[:, column], atol=bound)
    empty = np.zeros((TIME, 2), dtype)
    wider = np.hstack([tokens, np.full((TIME, 2), VOCAB, "int32")]), np.hstack([mask, empty])
    longer = np.vstack([wider[0], wider[0][:2]]), np.vstack([wider[1], empty.T.repeat(4, axis=1)[:, : BATCH + 2]])
    for one in (wider, longer):
        found = np.asarray(predict(*one)[0])
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found[:, :BATCH], expected, atol=bound)
    rng = np.random.default_rng(3)
    for _ in range(10):
        order = rng.permutation(BATCH)
        found = np.asarray(predict(tokens[:, order], mask[:, order])[0])
        np.testing.assert_allclose(found, expected[:, order], atol=bound)
        assert (found.argmax(axis=0) == expected[:, order].argmax(axis=0)).all()


@pytest.mark.slow
@needs_jax
@pytest.mark.parametrize(("bidirectional", "pooling"), [(True, "final"), (False, "attention"), (False, "max")])
def test_columns_without_a_text_change_no_update(bidirectional, pooling):
    """In float32, and with all that regularizes and needs no random numbers."""
    model = model_of("tanh", 1, bidirectional, pooling, "float32")
    settings = RegularizationConfig(label_smoothing=0.1, activation_penalty=0.3, temporal_penalty=0.2)
    functions = model.compile("train", "loss", engine="jax", optimizer="sgd", regularization=settings, with_norms=True)
    before = params_of(model)
    tokens, mask, labels, weights = batch(dtype="float32")
    padded = [np.concatenate([array, np.full((*array.shape[:-1], 3), value, array.dtype)], axis=-1)
              for array, value in ((tokens, VOCAB), (mask, 0), (labels, 0), (weights, 0))]  # fmt: skip
    found = []
    for arrays in ((tokens, mask, labels, weights), padded):
        for name, value in before.items():
            model.params[name].set_value(value)
        losses = np.asarray(functions.loss(*arrays)[0])
        assert losses[:BATCH].all() and not losses[BATCH:].any()
        loss, norms = functions.train(*arrays, np.float32(RATE))
        assert np.isfinite(loss) and np.isfinite(norms).all()
        found.append(params_of(model) | {"loss": np.asarray(loss)})
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, atol=1e-5, err_msg=name)


@pytest.mark.slow
@needs_jax
def test_dropout_differs_between_texts_and_steps_and_leaves_nothing_infinite():
    settings = RegularizationConfig(dropout=0.5, variational=True, embedding_dropout=0.2, recurrent_dropout=0.3)
    model = model_of("tanh", 2, False, "attention", "float32")
    functions = model.compile("train", engine="jax", optimizer="adam", regularization=settings)
    tokens, mask, labels, weights = batch([6, 6, 0], "float32")
    tokens[:, 1], labels[1], weights[2] = tokens[:, 0], labels[0], 0
    losses = {float(functions.train(tokens, mask, labels, weights, np.float32(0))[0]) for _ in range(4)}
    assert len(losses) == 4 and np.isfinite(list(losses)).all()
    functions.train(tokens, mask, labels, weights, np.float32(0.01))
    assert all(np.isfinite(value).all() for value in params_of(model).values())


# What each token contributes

EXPLAINED = [("lstm", 1, True, "attention"), ("gru", 1, False, "max"), ("tanh", 1, True, "final")]
SCALES = 256  # the error falls with their square; for max, whose gradient jumps, with their number


@functools.cache
def explained(*settings):
    model = model_of(*settings)
    return model, model.compile("attributions", "predict", engine="jax")


@pytest.mark.slow
@needs_jax
@pytest.mark.parametrize(("cell", "num_layers", "bidirectional", "pooling"), EXPLAINED)
def test_contributions_at_all_scales_add_up_to_the_difference_from_a_text_of_zeros(
    cell, num_layers, bidirectional, pooling
):
    model, functions = explained(cell, num_layers, bidirectional, pooling)
    tokens, mask, *_ = batch([4])
    tokens, mask = tokens.repeat(SCALES + 2, axis=1), mask.repeat(SCALES + 2, axis=1)
    scale = np.array([0, 1, *((np.arange(SCALES) + 0.5) / SCALES)])
    labels = np.full(SCALES + 2, 1, "int32")
    contributions, log_odds = map(np.asarray, functions.attributions(tokens, mask, labels, scale))
    assert not contributions[4:].any()
    integrated = contributions[:, 2:].mean(axis=1)
    assert np.abs(contributions[:, 1]).max() > 0.1  # there is something to explain
    bound = 0.05 if pooling == "max" else 1e-3
    np.testing.assert_allclose(integrated.sum(), log_odds[1] - log_odds[0], atol=bound)
    p = np.exp(np.asarray(functions.predict(tokens, mask)[0])[1, 1])
    np.testing.assert_allclose(log_odds[1], np.log(p / (1 - p)), atol=1e-9)
    before = model.embedding.get_value()
    model.embedding.set_value(0 * before)
    p = np.exp(np.asarray(functions.predict(tokens, mask)[0])[1, 0])
    model.embedding.set_value(before)
    np.testing.assert_allclose(log_odds[0], np.log(p / (1 - p)), atol=1e-9)


@pytest.mark.slow
@needs_jax
@pytest.mark.parametrize(("cell", "num_layers", "bidirectional", "pooling"), EXPLAINED)
def test_a_contribution_is_the_slope_of_the_log_odds_along_the_vector(cell, num_layers, bidirectional, pooling):
    """Central differences: one token becomes a word whose vector is a little longer or shorter."""
    model, functions = explained(cell, num_layers, bidirectional, pooling)
    tokens, mask, *_ = batch([6, 3])
    tokens %= VOCAB - 1  # the last word is free
    labels, scale, step = np.array([0, 2], "int32"), np.ones(2), 1e-5
    contributions, _ = functions.attributions(tokens, mask, labels, scale)
    before = model.embedding.get_value()
    for time, column in itertools.product((0, 2), range(2)):
        changed, found = tokens.copy(), []
        changed[time, column] = VOCAB - 1
        for sign in (1, -1):
            vectors = before.copy()
            vectors[VOCAB - 1] = (1 + sign * step) * vectors[tokens[time, column]]
            model.embedding.set_value(vectors)
            found.append(np.asarray(functions.attributions(changed, mask, labels, scale)[1])[column])
        model.embedding.set_value(before)
        slope = (found[0] - found[1]) / (2 * step)
        np.testing.assert_allclose(np.asarray(contributions)[time, column], slope, rtol=1e-6, atol=1e-8)


@pytest.mark.slow
@needs_jax
def test_log_odds_of_a_sure_model_are_finite():
    """1 - P of a probability near 1 would be 0."""
    model, functions = explained(*EXPLAINED[0])
    before = params_of(model)
    model.params["W_hy"].set_value(400 * before["W_hy"])
    tokens, mask, *_ = batch()
    contributions, log_odds = functions.attributions(tokens, mask, np.zeros(BATCH, "int32"), np.ones(BATCH))
    model.params["W_hy"].set_value(before["W_hy"])
    assert np.isfinite(contributions).all() and np.isfinite(log_odds).all()
    assert np.abs(log_odds).max() > 40
