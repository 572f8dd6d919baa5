"""A state_dict gives the same outputs in PyTorch, and converts back to our parameters bit for bit."""

import dataclasses
from pathlib import Path

import exchange_models
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from exchange_models import (
    BATCH,
    EVERY,
    NAMES,
    TIME,
    VOCAB,
    VOCABULARY,
    agrees,
    config_of,
    network,
    opened,
    params_of,
    perplexity,
    same,
)

from theano_rnn.exchange.pytorch_exchange import BIAS, DECODER, ENCODER, NEVER, from_pytorch, tensor_shapes, to_pytorch
from theano_rnn.exchange.state_dict_files import export_state_dict, import_state_dict
from theano_rnn.language_model import LanguageModel
from theano_rnn.learning.checkpoint import load, save
from theano_rnn.settings.base import UserError
from theano_rnn.settings.network import ModelConfig

every = pytest.mark.parametrize(("cell", "num_layers", "tie_weights"), EVERY, ids=NAMES)


@pytest.mark.slow
@every
def test_a_model_comes_back_bit_by_bit_with_the_same_perplexity(tmp_path, cell, num_layers, tie_weights):
    config = config_of(cell, num_layers, tie_weights)
    path, file, back = tmp_path / "a.safetensors", tmp_path / "a.pytorch.safetensors", tmp_path / "b.safetensors"
    model = opened(path, config)
    file.write_bytes(export_state_dict(model))
    save(back, import_state_dict(file))
    params = load(path).best
    assert same(load(back).best, params)
    again = LanguageModel(back, engine="c")
    assert again.model.config == config
    assert again.vocabulary == VOCABULARY
    assert again.training == model.training
    ours, theirs = (perplexity(config, each) for each in (params, load(back).best))
    assert f"{ours:.6g}" == f"{theirs:.6g}"
    assert export_state_dict(again) == file.read_bytes()


@every
def test_pytorch_gives_the_same_log_probabilities_and_states(cell, num_layers, tie_weights):
    torch = pytest.importorskip("torch")
    config = config_of(cell, num_layers, tie_weights)
    params, model = params_of(config), network(config)
    arrays = to_pytorch(params, config)
    assert {name: array.shape for name, array in arrays.items()} == tensor_shapes(config)
    model.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()}, strict=True)
    agrees(config, params, model)


@every
def test_a_model_of_pytorch_with_both_biases_comes_in_and_computes_the_same(tmp_path, cell, num_layers, tie_weights):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_model

    config = config_of(cell, num_layers, tie_weights)
    torch.manual_seed(3)
    model = network(config)
    with torch.no_grad():
        model.decoder.bias[VOCAB:] = NEVER
    assert model.rnn.bias_hh_l0.abs().min() > 0
    assert model.rnn.bias_ih_l0.abs().min() > 0
    save_model(model, str(tmp_path / "theirs.safetensors"))  # of tied weights one alone
    exchange_models.write(tmp_path / "like.safetensors", config)
    checkpoint = import_state_dict(tmp_path / "theirs.safetensors", like=load(tmp_path / "like.safetensors"))
    agrees(config, checkpoint.best, model)


@pytest.mark.parametrize("tie_weights", [True, False])
def test_rows_of_words_alone_are_enough(tie_weights):
    """A model without <pad> and <s>: the row of <pad> is zeros, that of <s> a copy of </s>, which starts a stream."""
    config = config_of("gru", tie_weights=tie_weights)
    params = params_of(config)
    arrays = to_pytorch(params, config)
    short = {name: array[:VOCAB] if name in (ENCODER, DECODER, BIAS) else array for name, array in arrays.items()}
    back = from_pytorch(short, config)
    eos = params["embedding"][VOCABULARY.eos_id]
    assert same(back, params | {"embedding": np.vstack([params["embedding"][:VOCAB], 0 * eos, eos])})


def test_a_layer_without_columns_of_the_candidate_adds_both_biases():
    config = config_of("lstm")
    arrays = to_pytorch(params_of(config), config)
    arrays["rnn.bias_hh_l0"] = np.arange(24, dtype="float32")
    moved = from_pytorch(arrays, config)["layer0.b_h"] - params_of(config)["layer0.b_h"]
    i, f, o, g = moved.reshape(4, 6).round(4).tolist()
    assert [*i, *f, *g, *o] == list(range(24))


# How the conversions handle each setting of a network; add every new setting here.
DECISIONS = {
    "cell": ({"cell": "mogrifier"}, "the cell mogrifier"),
    "embedding_size": ({"embedding_size": 4}, "projection between tied weights of two sizes .* --no-tie-weights"),
    "hidden_size": ({"hidden_size": 4}, "projection between tied weights of two sizes"),
    "num_layers": None,
    "residual": ({"residual": True, "num_layers": 2}, "residual connections"),
    "recurrent_init": None,  # of what training began with
    "tie_weights": None,
    "head": None,
    "cutoffs": None,
    "vocab_size": None,
    "dtype": None,
}


def test_every_setting_of_a_network_is_decided_on():
    assert list(DECISIONS) == [item.name for item in dataclasses.fields(ModelConfig)]


@pytest.mark.parametrize("name", [name for name, decision in DECISIONS.items() if decision])
def test_what_has_no_counterpart_is_refused_by_name(name):
    options, message = DECISIONS[name]
    config = config_of(**options)
    for convert in (to_pytorch, from_pytorch):
        with pytest.raises(UserError, match=message) as caught:
            convert({}, config)
        assert "has no counterpart in PyTorch" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_residual_connections_of_one_layer_are_none():
    assert to_pytorch(params_of(config := config_of(residual=True)), config)


def test_float64_stays_float64():
    config = config_of("gru", dtype="float64")
    params = params_of(config)
    assert same(from_pytorch(to_pytorch(params, config), config), params)


HH = "rnn.weight_hh_l0"
CHANGES = {
    "missing": (lambda a: a.pop("rnn.bias_hh_l0"), "lacks rnn.bias_hh_l0"),
    "layers": (lambda a: [a.pop(name) for name in [*a] if name.startswith("rnn.")], "lacks .* and 1 more"),
    "extra": (lambda a: a.update(x=a[BIAS]), "has x, which the model does not have"),
    "many": (lambda a: a.update({f"rnn.weight_ih_l{i}": a[BIAS] for i in range(1, 9)}), "and 5 more"),
    "shape": (lambda a: a.update({ENCODER: a[ENCODER][:, :3], DECODER: a[DECODER][:, :3]}), r"encoder.weight must be "
              r"float32 \(9, 6\), got float32 \(9, 3\)"),
    "words": (lambda a: a.update({BIAS: a[BIAS][:5]}), r"decoder.bias must be float32 \(9,\), got float32 \(5,\)"),
    "scalar": (lambda a: a.update({BIAS: np.float32(1)}), r"decoder.bias must be float32 \(9,\), got float32 \(\)"),
    "dtype": (lambda a: a.update({HH: a[HH].astype("float16")}), "must be float32 .*got float16"),
    "nan": (lambda a: a["rnn.weight_hh_l0"].__setitem__((2, 3), np.nan), "rnn.weight_hh_l0 has values that are infin"),
    "infinite": (lambda a: a[BIAS].__setitem__(0, np.inf), "decoder.bias has values that are infinite"),
    "ties": (lambda a: a[DECODER].__setitem__((2, 3), 0), "encoder.weight and decoder.weight differ, .* tie them"),
    "never": (lambda a: a[BIAS].__setitem__(-1, 0), "decoder.bias must be near -1e[+]09 in its last 2 rows"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_tensors_that_do_not_fit_are_refused_in_one_line(tmp_path, change):
    config, path = config_of(), tmp_path / "theirs.safetensors"
    spoil, message = CHANGES[change]
    arrays = to_pytorch(params_of(config), config)
    arrays[DECODER] = arrays[DECODER].copy()
    spoil(arrays)
    safetensors.numpy.save_file({name: np.asarray(array) for name, array in arrays.items()}, path)
    exchange_models.write(tmp_path / "like.safetensors", config)
    with pytest.raises(UserError, match=message) as caught:
        import_state_dict(path, like=load(tmp_path / "like.safetensors"))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_one_of_two_tied_tensors_is_enough_but_not_none():
    config = config_of()
    arrays = to_pytorch(params_of(config), config)
    for name in (ENCODER, DECODER):
        assert same(from_pytorch({k: v for k, v in arrays.items() if k != name}, config), params_of(config))
    with pytest.raises(UserError, match="lacks decoder.weight, encoder.weight"):
        from_pytorch({k: v for k, v in arrays.items() if k not in (ENCODER, DECODER)}, config)
    untied = config_of(tie_weights=False)
    arrays = to_pytorch(params_of(untied), untied)
    del arrays[DECODER]
    with pytest.raises(UserError, match="lacks decoder.weight"):
        from_pytorch(arrays, untied)


def test_numbers_of_another_precision_are_refused(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    config = config_of()
    zeros = {name: torch.zeros(shape, dtype=torch.bfloat16) for name, shape in tensor_shapes(config).items()}
    save_file(zeros, str(tmp_path / "a"))
    exchange_models.write(tmp_path / "like.safetensors", config)
    with pytest.raises(UserError, match="float32"):
        import_state_dict(tmp_path / "a", like=load(tmp_path / "like.safetensors"))


# The adaptive softmax

ADAPTIVE = {
    "tied": config_of(head="adaptive", cutoffs=(2, 5)),
    "untied": config_of("gru", 2, False, head="adaptive", cutoffs=(3,)),
    "projection": config_of(embedding_size=4, head="adaptive", cutoffs=(1, 2, 3)),
}


@pytest.mark.parametrize("name", ADAPTIVE)
def test_an_adaptive_softmax_comes_back_bit_by_bit(name):
    config = ADAPTIVE[name]
    params = params_of(config)
    arrays = to_pytorch(params, config)
    assert {name: array.shape for name, array in arrays.items()} == tensor_shapes(config)
    assert same(from_pytorch(arrays, config), params)


@pytest.mark.parametrize("name", ADAPTIVE)
def test_an_adaptive_softmax_in_pytorch_gives_the_log_probabilities_of_ours(name, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples")
    from adaptive_decoder import AdaptiveDecoder

    config = ADAPTIVE[name]
    params = params_of(config)
    weights = {name: torch.tensor(array) for name, array in to_pytorch(params, config).items()}
    model = torch.nn.Module()
    model.encoder = torch.nn.Embedding(*weights[ENCODER].shape)
    kind = torch.nn.GRU if config.cell == "gru" else torch.nn.LSTM
    model.rnn = kind(config.embedding_size, config.hidden_size, config.num_layers)
    model.decoder = AdaptiveDecoder(weights)
    model.load_state_dict(weights, strict=True)
    ids = np.random.default_rng(3).integers(VOCAB, size=(TIME, BATCH), dtype="int32")
    expected, _ = exchange_models.predictions(config, params, ids)
    with torch.no_grad():
        found = model.decoder(model.rnn(model.encoder(torch.tensor(ids)))[0])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(np.exp(found).sum(-1), 1, atol=1e-5)


def test_tied_weights_of_an_adaptive_softmax_must_be_those_of_the_embedding():
    config = ADAPTIVE["tied"]
    for name in ("decoder.head.weight", "decoder.tails.1.weight"):
        arrays = to_pytorch(params_of(config), config)
        arrays[name] = arrays[name] + 1
        with pytest.raises(UserError, match=f"{name} differs"):
            from_pytorch(arrays, config)
    arrays = to_pytorch(params_of(config), config)
    del arrays["decoder.tails.0.bias"]
    with pytest.raises(UserError, match="lacks decoder.tails.0.bias"):
        from_pytorch(arrays, config)
