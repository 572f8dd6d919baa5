"""A state_dict says the same as our parameters, to PyTorch itself too, and they come back bit by bit."""

import dataclasses

import exchange_models
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from exchange_models import EVERY, NAMES, VOCAB, VOCABULARY, config_of, opened, params_of, predictions, write

from theano_rnn.checkpoint import load, save
from theano_rnn.config import ModelConfig, UserError, from_checkpoint
from theano_rnn.language_model import LanguageModel
from theano_rnn.preprocessing import Vocabulary
from theano_rnn.pytorch_exchange import BIAS, DECODER, ENCODER, NEVER, from_pytorch, shapes, to_pytorch
from theano_rnn.state_dict_files import KEY, exported, imported

every = pytest.mark.parametrize(("cell", "num_layers", "tie_weights"), EVERY, ids=NAMES)


def same(a, b):
    return set(a) == set(b) and all(np.array_equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a)


def network(config):
    """PyTorch's modules as its example word_language_model puts them together."""
    torch = pytest.importorskip("torch")
    model = torch.nn.Module()
    rows = config.vocab_size + 2
    model.encoder = torch.nn.Embedding(rows, config.embedding_size)
    kinds = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    options = {} if config.cell in kinds else {"nonlinearity": config.cell}
    kind = kinds.get(config.cell, torch.nn.RNN)
    model.rnn = kind(config.embedding_size, config.hidden_size, config.num_layers, **options)
    model.decoder = torch.nn.Linear(config.hidden_size, rows)
    if config.tie_weights:
        model.decoder.weight = model.encoder.weight
    return model


def theirs(model, ids, config):
    """Log-probabilities of all rows (time, batch, rows), and the final state as a list in our order."""
    import torch

    with torch.no_grad():
        h, final = model.rnn(model.encoder(torch.tensor(ids)))
        log_p = torch.log_softmax(model.decoder(h), dim=-1).numpy()
    if config.cell != "lstm":
        return log_p, list(final.numpy())
    return log_p, [state.numpy() for layer in zip(*final) for state in layer]


def agrees(config, params, model):
    ids = exchange_models.drawn_ids()
    ours, state = predictions(config, params, ids)
    log_p, final = theirs(model, ids, config)
    np.testing.assert_allclose(log_p[..., :VOCAB], ours, atol=1e-5)
    np.testing.assert_allclose(final, state, atol=1e-5)
    assert (np.exp(log_p[..., VOCAB:]) == 0).all()


@every
def test_a_model_comes_back_bit_by_bit_with_the_same_perplexity(tmp_path, cell, num_layers, tie_weights):
    config = config_of(cell, num_layers, tie_weights)
    path, file, back = tmp_path / "a.safetensors", tmp_path / "a.pytorch.safetensors", tmp_path / "b.safetensors"
    model = opened(path, config)
    file.write_bytes(exported(model))
    save(back, imported(file))
    params = load(path).best
    assert same(load(back).best, params)
    again = LanguageModel(back, engine="c")
    assert again.model.config == config
    assert again.vocabulary == VOCABULARY
    assert again.training == model.training
    ours, theirs = (exchange_models.perplexity(config, each) for each in (params, load(back).best))
    assert f"{ours:.6g}" == f"{theirs:.6g}"
    assert exported(again) == file.read_bytes()


@every
def test_pytorch_gives_the_same_log_probabilities_and_states(cell, num_layers, tie_weights):
    torch = pytest.importorskip("torch")
    config = config_of(cell, num_layers, tie_weights)
    params, model = params_of(config), network(config)
    arrays = to_pytorch(params, config)
    assert {name: array.shape for name, array in arrays.items()} == shapes(config)
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
    write(tmp_path / "like.safetensors", config)
    checkpoint = imported(tmp_path / "theirs.safetensors", like=load(tmp_path / "like.safetensors"))
    agrees(config, checkpoint.best, model)


@pytest.mark.parametrize("tie_weights", [True, False])
def test_rows_of_words_alone_are_enough(tie_weights):
    """A model that knows no <pad> and <s>: the first is zeros, the second as `</s>`, which a stream begins after."""
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


def test_the_file_alone_says_what_scoring_needs_and_nothing_of_this_machine(tmp_path):
    model = opened(tmp_path / "a.safetensors", config_of(), batching="sentences")
    (tmp_path / "a").write_bytes(exported(model))
    with safetensors.safe_open(str(tmp_path / "a"), "np") as file:
        metadata = file.metadata()
    assert set(metadata) == {KEY}
    assert str(tmp_path) not in metadata[KEY]
    assert imported(tmp_path / "a").vocabulary == VOCABULARY
    assert f'"start_id": {VOCABULARY.bos_id}' in metadata[KEY]


# What the arrows say of each setting of a network; a new one has to be decided on here.
DECISIONS = {
    "task": ({"task": "fill"}, "fill-in model"),
    "cell": ({"cell": "mogrifier"}, "the cell mogrifier"),
    "embedding_size": ({"embedding_size": 4}, "projection between tied weights of two sizes .* --no-tie-weights"),
    "hidden_size": ({"hidden_size": 4}, "projection between tied weights of two sizes"),
    "num_layers": None,
    "residual": ({"residual": True, "num_layers": 2}, "residual connections"),
    "recurrent_init": None,  # of what training began with
    "tie_weights": None,
    "head": ({"head": "adaptive"}, "adaptive soft-max .*--head softmax"),
    "cutoffs": ({"head": "adaptive", "cutoffs": (3,)}, "adaptive soft-max"),
    "vocab_size": None,
    "dtype": None,
}


def test_every_setting_of_a_network_is_decided_on():
    assert list(DECISIONS) == [item.name for item in dataclasses.fields(ModelConfig)]


@pytest.mark.parametrize("name", [name for name, decision in DECISIONS.items() if decision])
def test_what_has_no_counterpart_is_refused_by_name(name):
    options, message = DECISIONS[name]
    config = config_of(**options)
    for arrow in (to_pytorch, from_pytorch):
        with pytest.raises(UserError, match=message) as caught:
            arrow({}, config)
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
    "missing": (lambda a: a.pop("rnn.bias_hh_l0"), "misses rnn.bias_hh_l0"),
    "extra": (lambda a: a.update(x=a[BIAS]), "has x, which the model does not have"),
    "many": (lambda a: a.update({f"rnn.weight_ih_l{i}": a[BIAS] for i in range(1, 9)}), "and 5 more"),
    "shape": (lambda a: a.update({ENCODER: a[ENCODER][:, :3], DECODER: a[DECODER][:, :3]}), r"encoder.weight must be "
              r"float32 \(9, 6\), got float32 \(9, 3\)"),
    "words": (lambda a: a.update({BIAS: a[BIAS][:5]}), r"decoder.bias must be float32 \(9,\), got float32 \(5,\)"),
    "scalar": (lambda a: a.update({BIAS: np.float32(1)}), r"decoder.bias must be float32 \(9,\), got float32 \(\)"),
    "dtype": (lambda a: a.update({HH: a[HH].astype("float16")}), "must be float32 .*got float16"),
    "nan": (lambda a: a["rnn.weight_hh_l0"].__setitem__((2, 3), np.nan), "rnn.weight_hh_l0 has numbers that are infin"),
    "infinite": (lambda a: a[BIAS].__setitem__(0, np.inf), "decoder.bias has numbers that are infinite"),
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
    write(tmp_path / "like.safetensors", config)
    with pytest.raises(UserError, match=message) as caught:
        imported(path, like=load(tmp_path / "like.safetensors"))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_one_of_two_tied_tensors_is_enough_but_not_none():
    config = config_of()
    arrays = to_pytorch(params_of(config), config)
    for name in (ENCODER, DECODER):
        assert same(from_pytorch({k: v for k, v in arrays.items() if k != name}, config), params_of(config))
    with pytest.raises(UserError, match="misses decoder.weight, encoder.weight"):
        from_pytorch({k: v for k, v in arrays.items() if k not in (ENCODER, DECODER)}, config)
    untied = config_of(tie_weights=False)
    arrays = to_pytorch(params_of(untied), untied)
    del arrays[DECODER]
    with pytest.raises(UserError, match="misses decoder.weight"):
        from_pytorch(arrays, untied)


def test_files_that_are_none_are_refused_in_one_line(tmp_path):
    model = opened(tmp_path / "a.safetensors", config_of())
    whole = exported(model)
    pickle = b"\x80\x02}q\x00." + bytes(500)
    header = int.from_bytes(whole[:8], "little")
    broken = whole[:8] + whole[8 : 8 + header].replace(b"format_version", b"formal_version") + whole[8 + header :]
    newer = whole[:8] + whole[8 : 8 + header].replace(b'version\\": 1', b'version\\": 7') + whole[8 + header :]
    words = whole[:8] + whole[8 : 8 + header].replace(b'vocab_size\\": 7', b'vocab_size\\": 8') + whole[8 + header :]
    cases = {"truncated": (whole[: len(whole) // 2], "is damaged or no safetensors file"),
             "empty": (b"", "is damaged or no safetensors file"),
             "pickle": (pickle, "is damaged or no safetensors file .* safetensors.torch.save_model"),
             "ours": ((tmp_path / "a.safetensors").read_bytes(), "is a checkpoint of theano_rnn already"),
             "broken": (broken, "is damaged: its settings cannot be read"),
             "newer": (newer, "was written by a newer theano_rnn"),
             "words": (words, "is damaged: 7 words for 8 columns"),
             "wordless": (safetensors.numpy.save({BIAS: np.zeros(3)}), "does not say which .* --like")}  # fmt: skip
    for name, (data, message) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=message) as caught:
            imported(tmp_path / name)
        assert "\n" not in str(caught.value), name
    with pytest.raises(FileNotFoundError):
        imported(tmp_path / "nothing")


def test_numbers_of_another_precision_are_refused(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    config = config_of()
    zeros = {name: torch.zeros(shape, dtype=torch.bfloat16) for name, shape in shapes(config).items()}
    save_file(zeros, str(tmp_path / "a"))
    write(tmp_path / "like.safetensors", config)
    with pytest.raises(UserError, match="float32"):
        imported(tmp_path / "a", like=load(tmp_path / "like.safetensors"))


def test_a_file_tuned_in_pytorch_comes_back_like_the_model_it_was(tmp_path):
    """Without our metadata, which PyTorch's writer does not keep; its words are those of the model named."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_model

    config = config_of("lstm", 2)
    (tmp_path / "out").write_bytes(exported(opened(tmp_path / "a.safetensors", config)))
    model = network(config)
    model.load_state_dict(load_file(str(tmp_path / "out")), strict=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    ids = torch.tensor(np.random.default_rng(2).integers(VOCAB, size=(9, 3)))
    for _ in range(3):
        optimizer.zero_grad()
        scores = model.decoder(model.rnn(model.encoder(ids[:-1]))[0])
        torch.nn.functional.cross_entropy(scores.flatten(0, 1), ids[1:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimizer.step()
    save_model(model, str(tmp_path / "tuned"))
    with pytest.raises(UserError, match="--like"):
        imported(tmp_path / "tuned")
    like = load(tmp_path / "a.safetensors")
    checkpoint = imported(tmp_path / "tuned", like=like)
    assert not same(checkpoint.best, like.best)
    assert from_checkpoint(ModelConfig, checkpoint.settings["model"]) == config
    agrees(config, checkpoint.best, model)


def test_an_imported_model_is_no_run_to_resume(tmp_path):
    (tmp_path / "out").write_bytes(exported(opened(tmp_path / "a.safetensors", config_of())))
    save(tmp_path / "b", imported(tmp_path / "out"))
    assert load(tmp_path / "b").vocabulary == Vocabulary(VOCABULARY.words, VOCABULARY.text)
    with pytest.raises(UserError, match="was imported, without the optimizer's state .* --init-from"):
        load(tmp_path / "b", resume=True)
