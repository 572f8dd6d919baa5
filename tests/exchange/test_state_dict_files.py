"""Files with a state_dict contain their vocabulary and can be imported; unusable files are refused in one line."""

import json

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from exchange_models import (
    BATCH,
    TIME,
    VOCAB,
    VOCABULARY,
    agrees,
    config_of,
    network,
    opened,
    params_of,
    predictions,
    same,
)

from theano_rnn.exchange.pytorch_exchange import BIAS, to_pytorch
from theano_rnn.exchange.state_dict_files import KEY, export_state_dict, import_state_dict
from theano_rnn.exchange.word_lists import read_words
from theano_rnn.learning.checkpoint import load, save
from theano_rnn.settings.base import UserError
from theano_rnn.settings.network import ModelConfig
from theano_rnn.settings.training import from_checkpoint
from theano_rnn.text.vocabulary import Vocabulary


def test_the_file_alone_says_what_scoring_needs_and_nothing_of_this_machine(tmp_path):
    model = opened(tmp_path / "a.safetensors", config_of(), batching="sentences")
    (tmp_path / "a").write_bytes(export_state_dict(model))
    with safetensors.safe_open(str(tmp_path / "a"), "np") as file:
        metadata = file.metadata()
    assert set(metadata) == {KEY}
    assert str(tmp_path) not in metadata[KEY]
    assert import_state_dict(tmp_path / "a").vocabulary == VOCABULARY
    assert f'"start_id": {VOCABULARY.bos_id}' in metadata[KEY]


def test_files_that_are_none_are_refused_in_one_line(tmp_path):
    model = opened(tmp_path / "a.safetensors", config_of())
    whole = export_state_dict(model)
    pickle = b"\x80\x02}q\x00." + bytes(500)
    header = int.from_bytes(whole[:8], "little")
    broken = whole[:8] + whole[8 : 8 + header].replace(b"vocabulary", b"vocabularz") + whole[8 + header :]
    newer = whole[:8] + whole[8 : 8 + header].replace(b'version\\": 1', b'version\\": 7') + whole[8 + header :]
    words = whole[:8] + whole[8 : 8 + header].replace(b'vocab_size\\": 7', b'vocab_size\\": 8') + whole[8 + header :]
    deep = safetensors.numpy.save({BIAS: np.zeros(3)}, {KEY: "[" * 100_000})
    cases = {"truncated": (whole[: len(whole) // 2], "is damaged or not a safetensors file"),
             "empty": (b"", "is damaged or not a safetensors file"),
             "pickle": (pickle, "is damaged or not a safetensors file .* safetensors.torch.save_model"),
             "ours": ((tmp_path / "a.safetensors").read_bytes(), "is already a checkpoint of theano_rnn"),
             "broken": (broken, "is damaged: its settings cannot be read"),
             "deep": (deep, "is damaged: its settings cannot be read"),
             "newer": (newer, "was written by a newer theano_rnn"),
             "words": (words, "is damaged: it has 7 words, but vocab_size is 8"),
             "wordless": (safetensors.numpy.save({BIAS: np.zeros(3)}),
                          "does not contain its words.* --like")}  # fmt: skip
    for name, (data, message) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=message) as caught:
            import_state_dict(tmp_path / name)
        assert "\n" not in str(caught.value), name
    with pytest.raises(FileNotFoundError):
        import_state_dict(tmp_path / "nothing")


def test_a_file_tuned_in_pytorch_comes_back_like_the_model_it_was(tmp_path):
    """PyTorch does not keep our metadata, so the vocabulary comes from `like`."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_model

    config = config_of("lstm", 2)
    (tmp_path / "out").write_bytes(export_state_dict(opened(tmp_path / "a.safetensors", config)))
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
        import_state_dict(tmp_path / "tuned")
    like = load(tmp_path / "a.safetensors")
    checkpoint = import_state_dict(tmp_path / "tuned", like=like)
    assert not same(checkpoint.best, like.best)
    assert from_checkpoint(ModelConfig, checkpoint.settings["model"]) == config
    agrees(config, checkpoint.best, model)


def test_an_imported_model_is_no_run_to_resume(tmp_path):
    (tmp_path / "out").write_bytes(export_state_dict(opened(tmp_path / "a.safetensors", config_of())))
    save(tmp_path / "b", import_state_dict(tmp_path / "out"))
    assert load(tmp_path / "b").vocabulary == Vocabulary(VOCABULARY.words, VOCABULARY.text)
    with pytest.raises(UserError, match="without the optimizer's state.* --init-from"):
        load(tmp_path / "b", resume=True)


# Models of other software: metadata by hand, and lists of words


def state_dict_of(model):
    return {name: np.ascontiguousarray(array.detach().numpy()) for name, array in model.state_dict().items()}


@pytest.mark.parametrize(
    ("cell", "num_layers", "tie_weights"), [("lstm", 2, True), ("gru", 1, False), ("relu", 1, True)]
)
def test_the_words_are_enough_metadata(tmp_path, cell, num_layers, tie_weights):
    pytest.importorskip("torch")
    config = config_of(cell, num_layers, tie_weights)
    arrays = to_pytorch(params_of(config), config)
    facts = {"vocabulary": {"words": list(VOCABULARY.words)}}
    if cell == "relu":
        facts["settings"] = {"model": {"cell": cell}}
    safetensors.numpy.save_file(arrays, str(tmp_path / "hand"), {KEY: json.dumps(facts)})
    checkpoint = import_state_dict(tmp_path / "hand")
    assert same(checkpoint.best, params_of(config))
    assert checkpoint.vocabulary.words == VOCABULARY.words
    found = from_checkpoint(ModelConfig, checkpoint.settings["model"])
    assert found == config


EXAMPLE = ["the", "cat", "<eos>", "sat", "<unk>", "on", "mat"]  # in the order of a text, as in PyTorch's example


def example_arrays(words=EXAMPLE, cell="lstm", num_layers=2, tie_weights=False):
    """The tensors of an RNNModel with as many rows as words, and the model."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(5)
    model = torch.nn.Module()
    model.encoder = torch.nn.Embedding(len(words), 6)
    kinds = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "tanh": torch.nn.RNN}
    model.rnn = kinds[cell](6, 6, num_layers)
    model.decoder = torch.nn.Linear(6, len(words))
    if tie_weights:
        model.decoder.weight = model.encoder.weight
    return model, state_dict_of(model)


@pytest.mark.parametrize("tie_weights", [True, False])
@pytest.mark.parametrize("cell", ["lstm", "gru", "tanh"])
def test_a_model_of_pytorchs_example_needs_its_words_alone(tmp_path, cell, tie_weights):
    """Its log-probabilities of each word are ours, whatever ids it gave to <eos> and <unk>."""
    torch = pytest.importorskip("torch")
    model, arrays = example_arrays(cell=cell, tie_weights=tie_weights)
    safetensors.numpy.save_file(arrays, str(tmp_path / "theirs"))
    checkpoint = import_state_dict(tmp_path / "theirs", words=EXAMPLE, cell="tanh" if cell == "tanh" else None)
    vocabulary = checkpoint.vocabulary
    assert vocabulary.words == ("the", "cat", "sat", "on", "mat")
    config = from_checkpoint(ModelConfig, checkpoint.settings["model"])
    assert (config.cell, config.num_layers, config.tie_weights) == (cell, 2, tie_weights)
    theirs = np.random.default_rng(1).integers(len(EXAMPLE), size=(TIME, BATCH))
    name = {"<eos>": "</s>"}
    ours_of = np.array([0 if w == "<unk>" else 1 if w == "<eos>" else vocabulary.token_to_id(name.get(w, w))
                        for w in EXAMPLE])  # fmt: skip
    found, _ = predictions(config, checkpoint.best, ours_of[theirs].astype("int32"))
    with torch.no_grad():
        expected = model.decoder(model.rnn(model.encoder(torch.tensor(theirs)))[0]).log_softmax(-1).numpy()
    np.testing.assert_allclose(found[..., ours_of], expected, atol=1e-5)


def test_a_model_without_unknown_words_never_predicts_them(tmp_path):
    words = [word for word in EXAMPLE if word != "<unk>"]
    _, arrays = example_arrays(words)
    safetensors.numpy.save_file(arrays, str(tmp_path / "theirs"))
    checkpoint = import_state_dict(tmp_path / "theirs", words=words)
    config = from_checkpoint(ModelConfig, checkpoint.settings["model"])
    found, _ = predictions(config, checkpoint.best, np.full((TIME, BATCH), 2, "int32"))
    assert np.isfinite(found).all() and np.exp(found[..., 0]).max() == 0


def test_the_words_of_a_corpus_are_numbered_as_in_the_example(tmp_path):
    for name, text in (("train.txt", " the cat sat\n\n"), ("valid.txt", "on the <unk>"), ("test.txt", "a mat\n")):
        (tmp_path / name).write_text(text)
    assert read_words(tmp_path) == ["the", "cat", "sat", "<eos>", "on", "<unk>", "a", "mat"]
    (tmp_path / "words").write_text("\ufeffthe\r\ncat\r\n<eos>\r\n")
    assert read_words(tmp_path / "words") == ["the", "cat", "<eos>"]
    (tmp_path / "gap").write_text("the\n\ncat\n")
    with pytest.raises(UserError, match="no word on line 2"):
        read_words(tmp_path / "gap")
    (tmp_path / "latin").write_bytes(b"caf\xe9\n")
    with pytest.raises(UserError, match="not UTF-8"):
        read_words(tmp_path / "latin")
    (tmp_path / "test.txt").unlink()
    with pytest.raises(FileNotFoundError, match="test.txt"):
        read_words(tmp_path)


@pytest.mark.parametrize(("words", "cell", "message"), [
    (EXAMPLE[:-1], None, "rows for 7 words, but 6 words are given"),
    (["a", *EXAMPLE[1:-1], "a"], None, "occurs twice"),
    ([*EXAMPLE[:2], "x", *EXAMPLE[3:]], None, "no <eos>"),
    (EXAMPLE, "gru", "not that of --cell gru"),
])  # fmt: skip
def test_words_and_cells_that_do_not_fit_are_refused(tmp_path, words, cell, message):
    _, arrays = example_arrays()
    safetensors.numpy.save_file(arrays, str(tmp_path / "theirs"))
    with pytest.raises(UserError, match=message):
        import_state_dict(tmp_path / "theirs", words=words, cell=cell)


def test_other_networks_are_refused(tmp_path):
    _, arrays = example_arrays(cell="tanh", num_layers=1)
    safetensors.numpy.save_file(arrays, str(tmp_path / "tanh"))
    with pytest.raises(UserError, match="tanh or relu.* --cell"):
        import_state_dict(tmp_path / "tanh", words=EXAMPLE)
    safetensors.numpy.save_file({"layers.0.attention": np.zeros((7, 7), "float32"), "encoder.weight": np.zeros((7, 7))},
                                str(tmp_path / "transformer"))  # fmt: skip
    with pytest.raises(UserError, match="no RNNModel"):
        import_state_dict(tmp_path / "transformer", words=EXAMPLE)


@pytest.mark.parametrize("change", [
    {"encoder.weight": np.float32(1)}, {"decoder.bias": np.zeros(3, "float32")}, {"decoder.bias": np.float32(0)},
])  # fmt: skip
def test_rows_of_other_numbers_are_refused(tmp_path, change):
    _, arrays = example_arrays()
    safetensors.numpy.save_file(arrays | {n: np.array(v) for n, v in change.items()}, str(tmp_path / "theirs"))
    with pytest.raises(UserError, match="a row for each word"):
        import_state_dict(tmp_path / "theirs", words=EXAMPLE)


def test_a_repeated_end_of_line_is_refused(tmp_path):
    _, arrays = example_arrays()
    safetensors.numpy.save_file(arrays, str(tmp_path / "theirs"))
    with pytest.raises(UserError, match="'<eos>' occurs twice"):
        import_state_dict(tmp_path / "theirs", words=["<eos>" if word == "on" else word for word in EXAMPLE])


def test_words_of_the_file_must_be_those_of_the_checkpoint(tmp_path):
    exported = export_state_dict(opened(tmp_path / "a.safetensors", config_of()))
    (tmp_path / "out").write_bytes(exported)
    other = Vocabulary(VOCABULARY.words[::-1], VOCABULARY.text)
    opened(tmp_path / "b.safetensors", config_of(), vocabulary=other)
    with pytest.raises(UserError, match="its words are not those of the checkpoint"):
        import_state_dict(tmp_path / "out", like=load(tmp_path / "b.safetensors"))
    with pytest.raises(UserError, match="its cell is lstm, not gru"):
        import_state_dict(tmp_path / "out", cell="gru")


def test_part_of_the_settings_may_be_in_the_metadata(tmp_path):
    config = config_of("gru", 2, False, head="adaptive", cutoffs=(3,))
    facts = {"settings": {"model": {"head": "adaptive", "cutoffs": [3], "hidden_size": config.hidden_size}},
             "vocabulary": {"words": list(VOCABULARY.words)}}  # fmt: skip
    arrays = to_pytorch(params_of(config), config)
    safetensors.numpy.save_file(arrays, str(tmp_path / "hand"), {KEY: json.dumps(facts)})
    checkpoint = import_state_dict(tmp_path / "hand")
    assert same(checkpoint.best, params_of(config)) and checkpoint.vocabulary.text.rules == 2
    arrays["decoder.tails.0.down.weight"] = np.zeros((11, 6), "float32")
    safetensors.numpy.save_file(arrays, str(tmp_path / "wide"), {KEY: json.dumps(facts)})
    with pytest.raises(UserError, match="down.weight must be"):
        import_state_dict(tmp_path / "wide")


def test_a_huge_number_is_no_setting(tmp_path):
    facts = {"settings": {"training": {"learning_rate": 10**400}}, "vocabulary": {"words": list(VOCABULARY.words)}}
    arrays = to_pytorch(params_of(config_of()), config_of())
    safetensors.numpy.save_file(arrays, str(tmp_path / "hand"), {KEY: json.dumps(facts)})
    with pytest.raises(UserError, match="learning_rate must be"):
        import_state_dict(tmp_path / "hand")
