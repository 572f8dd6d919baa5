"""The encoder-decoder against PyTorch; pairs that do not see their neighbours; attention; and its steps in use."""

import functools

import numpy as np
import pytest
from conftest import ENGINES

from theano_rnn.settings.network import TranslationConfig
from theano_rnn.settings.training import RegularizationConfig
from theano_rnn.tasks.translation_model import TranslationModel

SOURCE_TIME, TIME, BATCH, SOURCE_VOCAB, VOCAB, EMBEDDING, HIDDEN = 6, 5, 4, 9, 8, 4, 3
LENGTHS = [6, 1, 4, 2], [5, 3, 1, 4]  # of the sources and the targets
RATE = 0.7
MODELS = [  # engine, cell, attention, levels, shared embedding, tied weights
    ("jax", "lstm", "additive", 2, False, True),
    ("jax", "gru", "multiplicative", 1, True, True),
    ("jax", "tanh", "additive", 1, True, False),
    ("jax", "gru", "additive", 2, False, False),
    ("jax", "lstm", "multiplicative", 1, False, False),
    ("jax", "tanh", "multiplicative", 2, True, True),
]  # engine c has the decoder in test_caption_model.py, encoder in test_encoder.py, search in test_joint_search.py
MODELS = [model for model in MODELS if model[0] in ENGINES]
QUICK = {("lstm", "additive", 2, False, True), ("gru", "multiplicative", 1, True, True)}
every_model = pytest.mark.parametrize(
    ("engine", "cell", "attention", "num_layers", "shared", "tied"),
    [pytest.param(*model, marks=() if model[1:] in QUICK else pytest.mark.slow) for model in MODELS],
)
needs_jax = pytest.mark.skipif("jax" not in ENGINES, reason="needs jax")
USED = ("gru", "additive", 1, False, True), ("lstm", "multiplicative", 2, True, True)


def model_of(cell, attention, num_layers, shared, tied, dtype="float64"):
    """A model whose parameters are larger than those of a fresh one, and no bias is zero."""
    config = TranslationConfig(
        cell=cell, attention=attention, num_layers=num_layers, shared_embedding=shared, tie_weights=tied,
        embedding_size=EMBEDDING, hidden_size=HIDDEN, source_vocab_size=VOCAB if shared else SOURCE_VOCAB,
        vocab_size=VOCAB, dtype=dtype,
    )  # fmt: skip
    model = TranslationModel(config, rng=np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for parameter in model.params.values():
        parameter.set_value(rng.normal(0, 0.7, parameter.get_value().shape).astype(dtype))
    return model


@functools.cache
def compiled(*settings):
    model = model_of(*settings)
    return model, model.compile("loss", "attention", engine="jax")


def params_of(model):
    return {name: np.array(parameter.get_value()) for name, parameter in model.params.items()}


def batch(lengths=LENGTHS, dtype="float64", seed=2, vocab=VOCAB, size=(SOURCE_TIME, TIME)):
    """Source, its mask, tokens, targets, mask; large ids as padding."""
    rng = np.random.default_rng(seed)
    masks = [(np.arange(time)[:, None] < length).astype(dtype) for time, length in zip(size, lengths)]
    source = np.where(masks[0] > 0, rng.integers(0, vocab, masks[0].shape), vocab).astype("int32")
    targets = np.where(masks[1] > 0, rng.integers(0, vocab, masks[1].shape), 0).astype("int32")
    tokens = np.where(masks[1] > 0, np.vstack([0 * targets[:1] + vocab + 1, targets[:-1]]), vocab).astype("int32")
    return source, masks[0], tokens, targets, masks[1]


class Torch:
    """The same network of PyTorch's layers, with copied weights. Reads each pair alone, without padding."""

    def __init__(self, torch, config, params):
        from torch_layers import torch_layers

        def cells(names):
            return [{name.removeprefix(place): p for name, p in params.items() if name.startswith(place)}
                    for place in names]  # fmt: skip

        levels, self.torch, self.config = range(config.num_layers), torch, config
        self.places = [f"encoder.{name}{level}." for level in levels for name in ("forward", "backward")]
        self.upper_places = [f"decoder.upper.layer{level}." for level in levels[:-1]]
        self.encoder = torch_layers(config.cell, cells(self.places), directions=2)
        (first,) = cells(["decoder.layer0."])
        first["W_xh"] = np.vstack([first["W_xh"], first["W_ch"]])  # the cell reads [y; c]
        self.first = torch_layers(config.cell, [first])
        self.upper = torch_layers(config.cell, cells(self.upper_places)) if self.upper_places else None
        self.others = {name: torch.tensor(p, requires_grad=True) for name, p in params.items()
                       if "layer" not in name.replace("layer0.W_k", "").replace("layer0.W_q", "").replace(
                           "layer0.v_a", "") and not name.startswith("encoder")}  # fmt: skip

    def run(self, source, tokens):
        """Log-probabilities (time, vocab) and attention weights (time, positions) of one pair."""
        torch, other = self.torch, self.others
        source, tokens = (torch.tensor(each.astype("int64")) for each in (source, tokens))
        memory, _ = self.encoder(other["embedding" if self.config.shared_embedding else "source_embedding"][source])
        start = torch.tanh(memory.mean(dim=0) @ other["W_s"] + other["b_s"]).split(HIDDEN)
        count = 2 if self.config.cell == "lstm" else 1
        state = [each[None] for each in start[:count]]
        keys, outputs, weights = memory @ other["decoder.layer0.W_k"], [], []
        y = other["embedding"][tokens]
        for y_t in y:
            h = state[0][0]
            if self.config.attention == "additive":
                e = torch.tanh(keys + h @ other["decoder.layer0.W_q"]) @ other["decoder.layer0.v_a"]
            else:
                e = keys @ h
            weights.append(torch.softmax(e, dim=0))
            c = weights[-1] @ memory
            given = tuple(state) if count == 2 else state[0]
            output, state = self.first(torch.cat([y_t, c])[None], given)
            state = list(state) if count == 2 else [state]
            outputs.append((output[0], c))
        h, c = (torch.stack(each) for each in zip(*outputs))
        if self.upper is not None:
            upper = start[count:]  # of each layer its states, one after the other
            states = [torch.stack(upper[i::count]) for i in range(count)]
            h, _ = self.upper(h, tuple(states) if count == 2 else states[0])
        r = torch.tanh(y @ other["W_ry"] + h @ other["W_rh"] + c @ other["W_rc"] + other["b_r"])
        matrix = other["embedding"][:VOCAB].T if self.config.tie_weights else other["W_hy"]
        return torch.log_softmax(r @ matrix + other["b_y"], dim=1), torch.stack(weights)

    def losses(self, source, source_mask, tokens, targets, mask):
        """A vector for each pair."""
        found = []
        for column, (length, count) in enumerate(zip(source_mask.sum(0).astype(int), mask.sum(0).astype(int))):
            log_p, _ = self.run(source[:length, column], tokens[:count, column])
            found.append(-log_p[range(count), targets[:count, column].tolist()])
        return found

    def gradients(self):
        """What `backward` left, under our names."""
        from torch_layers import torch_gradients

        found = {name: value.grad.numpy() for name, value in self.others.items()}
        parts = [(self.places, self.encoder, 2), (["decoder.layer0."], self.first, 1)]
        parts += [(self.upper_places, self.upper, 1)] if self.upper_places else []
        for places, rnn, directions in parts:
            for place, slopes in zip(places, torch_gradients(self.config.cell, rnn, directions=directions)):
                found |= {place + name: slope for name, slope in slopes.items()}
        both = found["decoder.layer0.W_xh"]
        return {**found, "decoder.layer0.W_xh": both[:EMBEDDING], "decoder.layer0.W_ch": both[EMBEDDING:]}


@every_model
def test_pytorch_gives_the_same_losses_and_gradients(engine, cell, attention, num_layers, shared, tied):
    torch = pytest.importorskip("torch")
    model = model_of(cell, attention, num_layers, shared, tied)
    before, arrays = params_of(model), batch()
    functions = model.compile("train", "loss", engine=engine, optimizer="sgd")
    theirs = Torch(torch, model.config, before)
    expected = theirs.losses(*arrays)
    (losses,) = map(np.asarray, functions.loss(*arrays))
    bound = 1e-12
    for column, values in enumerate(expected):
        np.testing.assert_allclose(losses[: len(values), column], values.detach().numpy(), atol=bound)
        assert not losses[len(values) :, column].any()
    (loss,) = functions.train(*arrays, RATE)
    mean = torch.cat(expected).mean()
    np.testing.assert_allclose(loss, mean.detach().numpy(), atol=bound)
    mean.backward()
    slopes, after = theirs.gradients(), params_of(model)
    assert slopes.keys() == after.keys()
    for name, slope in slopes.items():
        np.testing.assert_allclose((before[name] - after[name]) / RATE, slope, atol=1e-10, err_msg=name)
        assert np.abs(slope).max() > 1e-6, name


@needs_jax
@pytest.mark.parametrize("settings", USED, ids=repr)
def test_attention_weights_are_those_of_pytorch_and_zero_at_padding(settings):
    torch = pytest.importorskip("torch")
    model, functions = compiled(*settings)
    source, source_mask, tokens, _, mask = batch()
    (weights,) = map(np.asarray, functions.attention(source, source_mask, tokens, mask))
    assert not weights[:, source_mask.T == 0].any() and not weights[mask == 0].any()
    np.testing.assert_allclose(weights.sum(axis=2), mask, atol=1e-12)
    theirs = Torch(torch, model.config, params_of(model))
    for column, (length, count) in enumerate(zip(*LENGTHS)):
        _, expected = theirs.run(source[:length, column], tokens[:count, column])
        np.testing.assert_allclose(weights[:count, column, :length], expected.detach().numpy(), atol=1e-12)


@pytest.mark.slow
@needs_jax
@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-12), ("float32", 1e-6)])
@pytest.mark.parametrize("settings", USED, ids=repr)
def test_a_pair_has_the_same_losses_among_any_others(settings, dtype, bound):
    _, functions = compiled(*settings, dtype)
    arrays = batch(dtype=dtype)
    (expected,) = map(np.asarray, functions.loss(*arrays))
    column, length, count = 3, LENGTHS[0][3], LENGTHS[1][3]
    sizes = [length, length, count, count, count]
    (alone,) = functions.loss(*(array[:size, [column]] for array, size in zip(arrays, sizes)))
    np.testing.assert_allclose(np.asarray(alone)[:, 0], expected[:count, column], atol=bound)
    wide = [np.pad(array, ((0, 3), (0, 2)), constant_values=VOCAB if i in (0, 2) else 0)
            for i, array in enumerate(arrays)]  # fmt: skip
    (found,) = map(np.asarray, functions.loss(*wide))
    assert np.isfinite(found).all() and not found[:, BATCH:].any() and not found[TIME:].any()
    np.testing.assert_allclose(found[:TIME, :BATCH], expected, atol=bound)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(BATCH)
        (found,) = functions.loss(*(array[:, order] for array in arrays))
        np.testing.assert_allclose(found, expected[:, order], atol=bound)


@pytest.mark.slow
@needs_jax
@pytest.mark.parametrize("settings", USED, ids=repr)
def test_a_target_word_changes_nothing_before_it(settings):
    _, functions = compiled(*settings)
    source, source_mask, tokens, targets, mask = batch()
    (before,) = map(np.asarray, functions.loss(source, source_mask, tokens, targets, mask))
    for time in range(1, TIME):
        changed, read = targets.copy(), tokens.copy()
        changed[time] = (changed[time] + 1) % VOCAB
        read[time + 1 :] = np.where(mask[time + 1 :] > 0, changed[time:-1], VOCAB)
        (after,) = map(np.asarray, functions.loss(source, source_mask, read, changed, mask))
        np.testing.assert_array_equal(after[:time], before[:time])
        assert (after[time:] != before[time:])[mask[time:] > 0].any()


@pytest.mark.slow
@needs_jax
@pytest.mark.parametrize("settings", USED, ids=repr)
def test_columns_without_a_pair_change_no_update(settings):
    model = model_of(*settings, "float32")
    functions = model.compile("train", engine="jax", optimizer="sgd", with_norms=True)
    before, arrays, found = params_of(model), batch(dtype="float32"), []
    empty = [np.pad(array, ((0, 0), (0, 3)), constant_values=VOCAB if i in (0, 2) else 0)
             for i, array in enumerate(arrays)]  # fmt: skip
    for given in (arrays, empty):
        for name, value in before.items():
            model.params[name].set_value(value)
        loss, norms = functions.train(*given, np.float32(RATE))
        assert np.isfinite(loss) and np.isfinite(norms).all()
        found.append(params_of(model) | {"loss": np.asarray(loss)})
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, atol=1e-5, err_msg=name)


@pytest.mark.slow
@needs_jax
@pytest.mark.parametrize("settings", USED, ids=repr)
def test_steps_give_the_losses_of_whole_targets(settings):
    """Also in two columns for each sentence, when the columns are exchanged, and without dropout."""
    model, functions = compiled(*settings)
    model.num_top = 3
    steps = model.compile("encode", "step", "search_step", engine="jax")
    source, source_mask, tokens, targets, mask = batch()
    (losses,) = map(np.asarray, functions.loss(source, source_mask, tokens, targets, mask))
    results = steps.encode(source, source_mask, np.arange(BATCH, dtype="int32"))
    state, context = results[:-3], results[-3:]
    for time in range(TIME):
        log_p, *state = steps.step(tokens[time], *state, *context)
        found = -np.asarray(log_p)[np.arange(BATCH), targets[time]]
        np.testing.assert_allclose((found * mask[time]), losses[time], atol=1e-12)
    banned = np.where(np.arange(VOCAB) == 2, -np.inf, 0)
    results = steps.encode(source, source_mask, np.repeat(np.arange(BATCH), 2).astype("int32"))
    state, context = results[:-3], results[-3:]
    plain = steps.encode(source, source_mask, np.arange(BATCH, dtype="int32"))
    plain_state, plain_context = plain[:-3], plain[-3:]
    parents = np.arange(2 * BATCH, dtype="int32") ^ 1
    for time in range(TIME):
        values, words, *state = steps.search_step(
            np.repeat(tokens[time], 2), parents, *state, banned, *context
        )
        log_p, *plain_state = steps.step(tokens[time], *plain_state, *plain_context)
        expected = np.repeat(np.asarray(log_p) + banned, 2, axis=0)
        assert np.asarray(words).dtype == np.int32
        np.testing.assert_array_equal(words, np.argsort(-expected, axis=1, kind="stable")[:, :3])
        np.testing.assert_allclose(values, np.take_along_axis(expected, np.asarray(words), 1), atol=1e-12)


@pytest.mark.slow
@needs_jax
def test_dropout_acts_in_training_only():
    settings = RegularizationConfig(dropout=0.5, variational=True, embedding_dropout=0.2, recurrent_dropout=0.3,
                                    label_smoothing=0.1)  # fmt: skip
    model = model_of(*USED[1], "float32")
    functions = model.compile("train", "loss", engine="jax", optimizer="adam", regularization=settings)
    arrays = batch(dtype="float32")
    (first,), (again,) = functions.loss(*arrays), functions.loss(*arrays)
    np.testing.assert_array_equal(first, again)
    losses = {float(functions.train(*arrays, np.float32(0))[0]) for _ in range(4)}
    assert len(losses) == 4 and np.isfinite(list(losses)).all()
    functions.train(*arrays, np.float32(0.01))
    assert all(np.isfinite(value).all() for value in params_of(model).values())


@pytest.mark.slow
@needs_jax
def test_gradients_of_the_memory_are_not_stored_for_every_step(monkeypatch):
    """With 80 steps, 64 pairs and 1,024 units, storing them all would take 5 GiB and most of the time."""
    import jax

    stacked, scan = [], jax.lax.scan

    def recording(*arguments, **options):
        carry, results = scan(*arguments, **options)
        stacked.extend(leaf.shape for leaf in jax.tree.leaves(results))
        return carry, results

    monkeypatch.setattr(jax.lax, "scan", recording)
    model = model_of("tanh", "additive", 1, True, False)
    functions = model.compile("train", engine="jax", optimizer="sgd")
    functions.train(*batch(vocab=VOCAB), RATE)
    assert stacked and all(len(shape) <= 3 for shape in stacked), stacked
