"""The captioner against PyTorch with copied weights; pictures that do not see their neighbours; its steps in use."""

import functools
from dataclasses import dataclass

import numpy as np
import pytest
from conftest import ENGINES

from theano_rnn.settings.network import DescriptionConfig
from theano_rnn.settings.training import RegularizationConfig
from theano_rnn.tasks.caption_model import CaptionModel

HEIGHT, WIDTH, TIME, BATCH, VOCAB, EMBEDDING, HIDDEN = 9, 12, 5, 4, 8, 4, 3
LENGTHS = [5, 3, 1, 4]
RATE = 0.7
MODELS = [  # engine, cell, attention, levels, feature size, tied weights
    ("jax", "lstm", "additive", 1, 0, True),
    ("jax", "gru", "multiplicative", 2, 6, False),
    ("c", "tanh", "additive", 1, 0, True),
]
MODELS = [model for model in MODELS if model[0] in ENGINES]
USED = [model[1:] for model in MODELS if model[0] == "jax"]
needs_jax = pytest.mark.skipif("jax" not in ENGINES, reason="needs jax")


@dataclass(frozen=True)
class Regularization(RegularizationConfig):
    attention_penalty: float = 0.0


def model_of(cell, attention, num_layers, feature_size, tied, dtype="float64"):
    config = DescriptionConfig(
        cell=cell, attention=attention, num_layers=num_layers, tie_weights=tied, embedding_size=EMBEDDING,
        hidden_size=HIDDEN, channels=(4, 6), height=HEIGHT, width=WIDTH, feature_size=feature_size, num_regions=7,
        vocab_size=VOCAB, dtype=dtype,
    )  # fmt: skip
    model = CaptionModel(config, rng=np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for name, parameter in model.params.items():
        value = rng.normal(0, 0.7, parameter.get_value().shape)
        parameter.set_value((0.5 + abs(value) if name.endswith("variance") else value).astype(dtype))
    return model


@functools.cache
def compiled(*settings):
    model = model_of(*settings)
    return model, model.compile("loss", "attention", engine="jax")


def params_of(model):
    return {name: np.array(parameter.get_value()) for name, parameter in model.params.items()}


def batch(feature_size, dtype="float64"):
    """Pictures or features, tokens, targets, mask; large ids as padding."""
    rng = np.random.default_rng(2)
    shape = (7, BATCH, feature_size) if feature_size else (HEIGHT, BATCH, WIDTH, 3)
    mask = (np.arange(TIME)[:, None] < LENGTHS).astype(dtype)
    targets = np.where(mask > 0, rng.integers(0, VOCAB, mask.shape), 0).astype("int32")
    tokens = np.where(mask > 0, np.vstack([0 * targets[:1] + VOCAB + 1, targets[:-1]]), VOCAB).astype("int32")
    return rng.normal(size=shape).astype(dtype), tokens, targets, mask


class Torch:
    """The same network of PyTorch's layers, with copied weights. Reads each caption alone, without padding."""

    def __init__(self, torch, config, params):
        from torch_layers import torch_layers

        self.torch, self.config, self.statistics = torch, config, {}
        first = {name.removeprefix("decoder.layer0."): value for name, value in params.items()
                 if name.startswith("decoder.layer0.")}  # fmt: skip
        first["W_xh"] = np.vstack([first["W_xh"], first["W_ch"]])  # the cell reads [y; c]
        self.first = torch_layers(config.cell, [first])
        upper = {name.removeprefix("decoder.upper.layer0."): value for name, value in params.items()
                 if name.startswith("decoder.upper.layer0.")}  # fmt: skip
        self.upper = torch_layers(config.cell, [upper]) if upper else None
        self.own = {name: torch.tensor(value, requires_grad=True) for name, value in params.items()
                    if "layer0" not in name or name.endswith(("W_k", "W_q", "v_a"))}  # fmt: skip

    def memories(self, images, is_training=False):
        """What the decoder attends to in each picture, (regions, memory_size); in training, updates the statistics."""
        torch, own = self.torch, self.own
        if self.config.feature_size:
            both = torch.tensor(images) @ own["encoder.W_f"] + own["encoder.b_f"]
            return [each + own["encoder.places"] for each in both.unbind(1)]
        x = torch.tensor(images).permute(1, 3, 0, 2)
        for number, stride in enumerate((2, 1)):
            W, gain, bias, mean, variance = (
                own[f"encoder.conv{number}.{name}"] for name in ("W", "gain", "bias", "mean", "variance")
            )
            x = torch.nn.functional.conv2d(x, W.permute(3, 2, 0, 1), stride=stride, padding=1)
            stored, count = (mean.detach().clone(), variance.detach().clone()), x.numel() / x.shape[1]
            x = torch.nn.functional.batch_norm(x, *stored, gain, bias, training=is_training)
            if is_training:  # PyTorch divides the squares by one less
                biased = stored[1] - (stored[1] - 0.9 * variance.detach()) / count
                self.statistics |= {f"encoder.conv{number}.mean": stored[0], f"encoder.conv{number}.variance": biased}
            x = torch.relu(x)
        return [each.permute(1, 2, 0).flatten(0, 1) + own["encoder.places"] for each in x]

    def run(self, memory, tokens):
        """Log-probabilities (time, vocab) and attention weights (time, regions) of one caption."""
        torch, own = self.torch, self.own
        y = own["embedding"][torch.tensor(tokens.astype("int64"))]
        start = torch.tanh(memory.mean(dim=0) @ own["W_s"] + own["b_s"]).split(HIDDEN)
        count = 2 if self.config.cell == "lstm" else 1
        state, keys = [each[None] for each in start[:count]], memory @ own["decoder.layer0.W_k"]
        outputs, weights = [], []
        for y_t in y:
            h = state[0][0]
            if self.config.attention == "additive":
                e = torch.tanh(keys + h @ own["decoder.layer0.W_q"]) @ own["decoder.layer0.v_a"]
            else:
                e = keys @ h
            weights.append(torch.softmax(e, dim=0))
            c = weights[-1] @ memory
            output, state = self.first(torch.cat([y_t, c])[None], tuple(state) if count == 2 else state[0])
            state = list(state) if count == 2 else [state]
            outputs.append((output[0], c))
        h, c = (torch.stack(each) for each in zip(*outputs))
        if self.upper is not None:
            h, _ = self.upper(h, start[count][None])
        r = torch.tanh(h @ own["W_rh"] + c @ own["W_rc"] + own["b_r"])
        matrix = own["embedding"][:VOCAB].T if self.config.tie_weights else own["W_hy"]
        return torch.log_softmax(r @ matrix + own["b_y"], dim=1), torch.stack(weights)

    def gradients(self):
        from torch_layers import torch_gradients

        found = {name: value.grad.numpy() for name, value in self.own.items() if value.grad is not None}
        for place, rnn in (("decoder.layer0.", self.first), ("decoder.upper.layer0.", self.upper)):
            if rnn is not None:
                (slopes,) = torch_gradients(self.config.cell, rnn)
                found |= {place + name: slope for name, slope in slopes.items()}
        both = found["decoder.layer0.W_xh"]
        return {**found, "decoder.layer0.W_xh": both[:EMBEDDING], "decoder.layer0.W_ch": both[EMBEDDING:]}


@pytest.mark.parametrize(("engine", "cell", "attention", "num_layers", "feature_size", "tied"), MODELS)
def test_pytorch_gives_the_same_losses_attention_and_gradients(engine, cell, attention, num_layers, feature_size, tied):
    """With the penalty, as the paper has it."""
    torch = pytest.importorskip("torch")
    model = model_of(cell, attention, num_layers, feature_size, tied)
    before, (images, tokens, targets, mask) = params_of(model), batch(feature_size)
    functions = model.compile("train", "loss", "attention", engine=engine, optimizer="sgd",
                              regularization=Regularization(attention_penalty=0.3))  # fmt: skip
    (losses,) = map(np.asarray, functions.loss(images, tokens, targets, mask))
    (weights,) = map(np.asarray, functions.attention(images, tokens, mask))
    theirs, total, penalty = Torch(torch, model.config, before), 0, 0
    memories = zip(theirs.memories(images), theirs.memories(images, is_training=True))
    for column, (count, (memory, memory_in_training)) in enumerate(zip(LENGTHS, memories)):
        log_p, attended = theirs.run(memory, tokens[:count, column])
        expected = -log_p[range(count), targets[:count, column].tolist()]
        np.testing.assert_allclose(losses[:count, column], expected.detach().numpy(), atol=1e-10)
        np.testing.assert_allclose(weights[:count, column], attended.detach().numpy(), atol=1e-10)
        assert not losses[count:, column].any() and not weights[count:, column].any()
        log_p, attended = theirs.run(memory_in_training, tokens[:count, column])
        total = total - log_p[range(count), targets[:count, column].tolist()].sum()
        penalty = penalty + ((1 - attended.sum(dim=0)) ** 2).sum()
    (loss,) = functions.train(images, tokens, targets, mask, RATE)
    np.testing.assert_allclose(loss, total.item() / sum(LENGTHS), atol=1e-10)
    ((total + 0.3 * penalty) / sum(LENGTHS)).backward()
    slopes, after = theirs.gradients(), params_of(model)
    assert slopes.keys() == model.learned.keys() == after.keys() - theirs.statistics.keys()
    for name, value in theirs.statistics.items():
        np.testing.assert_allclose(after[name], value.numpy(), atol=1e-10, err_msg=name)
        assert np.abs(after[name] - before[name]).min() > 1e-6, name
    for name, slope in slopes.items():
        np.testing.assert_allclose((before[name] - after[name]) / RATE, slope, atol=1e-10, err_msg=name)
        assert np.abs(slope).max() > 1e-6, name


@pytest.mark.slow
@needs_jax
@pytest.mark.parametrize("settings", USED, ids=repr)
def test_a_picture_has_the_same_losses_among_any_others(settings):
    _, functions = compiled(*settings)
    arrays = batch(settings[3])
    (expected,) = map(np.asarray, functions.loss(*arrays))
    (alone,) = functions.loss(arrays[0][:, [3]], *(array[:4, [3]] for array in arrays[1:]))
    np.testing.assert_allclose(np.asarray(alone)[:, 0], expected[:4, 3], atol=1e-12)
    wide = [np.pad(arrays[0], ((0, 0), (0, 2), *[(0, 0)] * (arrays[0].ndim - 2)))]
    wide += [np.pad(array, ((0, 3), (0, 2)), constant_values=VOCAB if i == 0 else 0)
             for i, array in enumerate(arrays[1:])]  # fmt: skip
    (found,) = map(np.asarray, functions.loss(*wide))
    assert np.isfinite(found).all() and not found[:, BATCH:].any() and not found[TIME:].any()
    np.testing.assert_allclose(found[:TIME, :BATCH], expected, atol=1e-12)


@pytest.mark.slow
@needs_jax
@pytest.mark.parametrize("settings", USED, ids=repr)
def test_columns_without_a_picture_change_no_update(settings):
    model = model_of(*settings)
    functions = model.compile("train", engine="jax", optimizer="sgd", with_norms=True,
                              regularization=Regularization(attention_penalty=0.3))  # fmt: skip
    before, arrays, found = params_of(model), batch(settings[3]), []
    empty = [np.pad(arrays[0], ((0, 0), (0, 3), *[(0, 0)] * (arrays[0].ndim - 2)))]
    empty += [np.pad(array, ((0, 0), (0, 3)), constant_values=VOCAB if i == 0 else 0)
              for i, array in enumerate(arrays[1:])]  # fmt: skip
    for given in (arrays, empty):
        for name, value in before.items():
            model.params[name].set_value(value)
        loss, norms = functions.train(*given, RATE)
        assert np.isfinite(loss) and np.isfinite(norms).all()
        found.append(params_of(model) | {"loss": np.asarray(loss)})
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, atol=1e-10, err_msg=name)


@needs_jax
@pytest.mark.parametrize("settings", USED, ids=repr)
def test_another_picture_has_other_probabilities_and_steps_give_the_losses_of_whole_captions(settings):
    model, functions = compiled(*settings)
    steps = model.compile("encode", "step", engine="jax")
    images, tokens, targets, mask = batch(settings[3])
    (losses,) = map(np.asarray, functions.loss(images, tokens, targets, mask))
    (others,) = map(np.asarray, functions.loss(images[:, ::-1], tokens, targets, mask))
    assert (np.abs(losses - others)[mask > 0] > 1e-4).all()
    results = steps.encode(images, np.arange(BATCH, dtype="int32"))
    state, context = results[:-3], results[-3:]
    for time in range(TIME):
        log_p, *state = steps.step(tokens[time], *state, *context)
        found = -np.asarray(log_p)[np.arange(BATCH), targets[time]]
        np.testing.assert_allclose(found * mask[time], losses[time], atol=1e-10)
