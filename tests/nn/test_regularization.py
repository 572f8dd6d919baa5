"""Training with every kind of regularization, compared with a NumPy loop with the same masks.

The loop's model has two residual layers and tied weights, so it tests these too.
"""

import functools

import numpy as np
import pytest
from conftest import ENGINES

from theano_rnn.model import RNNLM
from theano_rnn.nn.noise import random_bits
from theano_rnn.nn.regularization import Dropout
from theano_rnn.settings.base import UserError
from theano_rnn.settings.network import ModelConfig
from theano_rnn.settings.training import RegularizationConfig

TIME, BATCH, VOCAB, EMBEDDING, HIDDEN, SEED = 4, 3, 7, 5, 6, 11
RATE = 0.05  # the learning rate

KINDS = {
    "nothing": {},
    "each place its own": {"input_dropout": 0.2, "layer_dropout": 0.5, "output_dropout": 0.3},
    "variational": {"dropout": 0.4, "variational": True},
    "words": {"embedding_dropout": 0.3},
    "connections": {"recurrent_dropout": 0.5},
    "penalties of what is dropped": {"output_dropout": 0.5, "activation_penalty": 2.0, "temporal_penalty": 3.0},
    "smoothing": {"label_smoothing": 0.2},
    "all": {
        "dropout": 0.2, "variational": True, "embedding_dropout": 0.1, "recurrent_dropout": 0.3,
        "activation_penalty": 2.0, "temporal_penalty": 1.0, "label_smoothing": 0.1,
    },
}  # fmt: skip


ON_C = ("all",)  # a kind takes half a minute to compile
QUICK = ("nothing", "all")
PAIRS = [pytest.param(engine, kind, marks=() if kind in QUICK else pytest.mark.slow)
         for engine in ENGINES for kind in KINDS if engine != "c" or kind in ON_C]  # fmt: skip


class Masks:
    """The masks of one step, by their definition; sites count from 1 in order of use."""

    def __init__(self, step):
        self.step, self.site = step, 0

    def __call__(self, rate, time, batch, units):
        if not rate:
            return np.ones((time, batch, units))
        self.site += 1
        with np.errstate(over="ignore"):
            bits = random_bits(np, self.site, *map(np.asarray, (SEED, self.step, 0, time, batch, units)))
        return np.where(bits < (1 - rate) * 2**32, 1 / (1 - rate), 0)


def losses(params, config, inputs, step, *, tied):
    """Returns the mean loss that is reported and the one that is minimized, by plain loops."""
    tokens, targets, mask, *state = inputs
    masks = Masks(step)
    rates = {part: config.dropout if getattr(config, f"{part}_dropout") is None else getattr(config, f"{part}_dropout")
             for part in ("input", "layer", "output")}  # fmt: skip

    def dropped(x, part):
        shape = (1, *x.shape[1:]) if config.variational else x.shape
        return x * masks(rates[part], *shape)

    words = masks(config.embedding_dropout, len(params["embedding"]), 1, 1)[:, 0]
    x = dropped((params["embedding"] * words)[tokens], "input")
    for layer, h_tm1 in enumerate(state):
        W_hh = params[f"layer{layer}.W_hh"]
        if layer:
            x = dropped(x, "layer")
        W_hh = W_hh * masks(config.recurrent_dropout, HIDDEN, 1, HIDDEN)[:, 0]
        outputs = []
        for t in range(TIME):
            z = x[t] @ params[f"layer{layer}.W_xh"] + params[f"layer{layer}.b_h"] + h_tm1 @ W_hh
            outputs.append(np.tanh(z))
            h_tm1 = np.where(mask[t][:, None] != 0, outputs[-1], h_tm1)
        x = np.stack(outputs) + (x if layer else 0)
    h, last = x, dropped(x, "output")
    scores = last @ params["W_he"] @ params["embedding"][:-2].T if tied else last @ params["W_hy"]
    scores = scores + params["b_y"]
    log_p = scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))
    nll = -np.take_along_axis(log_p, targets[..., None], -1)[..., 0]
    objective = (1 - config.label_smoothing) * nll - config.label_smoothing * log_p.mean(axis=-1)
    objective = objective + config.activation_penalty * (last**2).mean(axis=-1)
    objective[1:] += config.temporal_penalty * ((h[1:] - h[:-1]) ** 2).mean(axis=-1)
    return (nll * mask).sum() / mask.sum(), (objective * mask).sum() / mask.sum()


@functools.cache
def built(kind, engine, *, tied=True, vocab_size=VOCAB):
    config = ModelConfig(cell="tanh", embedding_size=EMBEDDING, hidden_size=HIDDEN, vocab_size=vocab_size,
                         dtype="float64", num_layers=2, residual=True, tie_weights=tied)  # fmt: skip
    rng = np.random.default_rng(3)
    model = RNNLM(config, rng=rng)
    options = {"regularization": RegularizationConfig(**KINDS[kind]), "seed": SEED, "engine": engine}
    functions = model.compile("train", "loss", **options)
    for parameter in model.params.values():
        parameter.set_value(rng.normal(0, 0.5, parameter.get_value().shape))
    return model, functions, {name: np.array(p.get_value()) for name, p in model.params.items()}


def batch():
    rng = np.random.default_rng(1)
    mask = (np.arange(TIME)[:, None] < [4, 1, 3]).astype("float64")
    tokens = rng.integers(VOCAB + 2, size=(TIME, BATCH), dtype="int32")
    targets = rng.integers(VOCAB, size=(TIME, BATCH), dtype="int32")
    return tokens, targets, mask, *(rng.normal(0, 0.5, (BATCH, HIDDEN)) for _ in range(2))


def begin(model, params, step):
    for name, value in params.items():
        model.params[name].set_value(value)
    if "steps" in model.optimizer_state:
        model.optimizer_state["steps"].set_value(np.asarray(step, "int32"))


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "kind"), PAIRS)
def test_the_loss_is_that_of_plain_loops_with_the_same_masks(engine, kind):
    model, functions, params = built(kind, engine)
    inputs, config = batch(), RegularizationConfig(**KINDS[kind])
    for step in (0, 5):
        begin(model, params, step)
        loss = float(np.asarray(functions.train(*inputs, RATE)[0]))
        np.testing.assert_allclose(loss, losses(params, config, inputs, step, tied=True)[0], rtol=1e-10)


def check_slopes(model, functions, params, kind, names, *, tied):
    """Check that the updates of `names` are central differences of the minimized loss in a random direction."""
    inputs, config, rng = batch(), RegularizationConfig(**KINDS[kind]), np.random.default_rng(5)
    begin(model, params, 2)
    functions.train(*inputs, RATE)
    for name in names:
        gradient = (params[name] - model.params[name].get_value()) / RATE
        direction = rng.normal(size=gradient.shape)
        ahead, behind = (
            losses({**params, name: params[name] + sign * 1e-5 * direction}, config, inputs, 2, tied=tied)[1]
            for sign in (1, -1)
        )
        np.testing.assert_allclose((gradient * direction).sum(), (ahead - behind) / 2e-5, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "kind"), PAIRS)
def test_the_update_follows_the_slope_of_what_is_minimized(engine, kind):
    model, functions, params = built(kind, engine)
    check_slopes(model, functions, params, kind, params, tied=True)


@pytest.mark.slow
def test_an_embedding_of_many_rows_is_updated_by_rows_all_the_same(engine):
    """A large vocabulary, untied, with dropped inputs and words."""
    model, functions, params = built("all", engine, tied=False, vocab_size=400)
    check_slopes(model, functions, params, "all", ["embedding", "W_hy"], tied=False)
    changed = (model.params["embedding"].get_value() != params["embedding"]).any(axis=1)
    assert set(np.flatnonzero(changed)) <= set(batch()[0].ravel())


def test_nothing_is_dropped_in_evaluation(engine):
    model, functions, params = built("all", engine)
    begin(model, params, 0)
    inputs = batch()
    values = np.asarray(functions.loss(*inputs)[0])
    expected, _ = losses(params, RegularizationConfig(), inputs, 0, tied=True)
    np.testing.assert_allclose(values.sum() / inputs[2].sum(), expected, rtol=1e-10)


@pytest.mark.slow
def test_every_step_drops_something_else_and_the_count_goes_on(engine):
    model, functions, params = built("each place its own", engine)
    begin(model, params, 0)
    inputs = batch()
    first, second = (float(np.asarray(functions.train(*inputs, 0.0)[0])) for _ in range(2))
    assert first != second and int(model.optimizer_state["steps"].get_value()) == 2
    begin(model, params, 0)
    assert float(np.asarray(functions.train(*inputs, 0.0)[0])) == first


@pytest.mark.parametrize("name", ["dropout", "input_dropout", "recurrent_dropout", "label_smoothing"])
def test_shares_are_at_least_0_and_less_than_1(name):
    for value in (-0.1, 1.0):
        with pytest.raises(UserError, match=name):
            RegularizationConfig(**{name: value})


def test_without_noise_parts_come_back_as_they_are():
    import aesara.tensor as T

    x = T.dtensor3("x")
    dropout = Dropout(RegularizationConfig(dropout=0.5, embedding_dropout=0.5, recurrent_dropout=0.5), None)
    assert dropout.units(x, "input") is x and dropout.words(3) is None and dropout.recurrent("layer0.W_hh", x) is x
