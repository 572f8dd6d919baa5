"""Training a checkpoint on new text, with the same vocabulary or with new words."""

import json

import numpy as np
import pytest
import safetensors.numpy
from tiny_runs import Commands, log_of, train_in

from theano_rnn.learning.parameter_transfer import transfer_parameters
from theano_rnn.model import RNNLM
from theano_rnn.settings.network import ModelConfig
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.vocabulary_extension import extend_vocabulary

MODEL, NEW = "model.safetensors", "new.safetensors"
HEADS = {
    "softmax": {"tie_weights": False, "head": "softmax"},
    "tied": {"head": "softmax"},
    "adaptive": {"tie_weights": False, "head": "adaptive", "cutoffs": (5, 12)},
    "adaptive tied": {"head": "adaptive", "cutoffs": (5, 12)},
}


def model_of(vocab_size, seed, **options):
    config = ModelConfig(embedding_size=12, hidden_size=16, vocab_size=vocab_size, dtype="float64", **options)
    return RNNLM(config, rng=np.random.default_rng(seed))


def values(model):
    return {name: p.get_value() for name, p in model.params.items()}


@pytest.mark.parametrize("head", HEADS)
def test_old_words_keep_their_numbers_and_new_ones_have_those_of_a_new_model(head):
    old, fresh = values(model_of(20, 1, **HEADS[head])), values(model_of(23, 2, **HEADS[head]))
    old = {name: value + 0.5 if value.ndim == 1 else value for name, value in old.items()}
    grown, taken, new = transfer_parameters(old, fresh, num_new_words=3)
    assert set(taken) == set(fresh) and not new
    assert {name: v.shape for name, v in grown.items()} == {name: v.shape for name, v in fresh.items()}
    np.testing.assert_array_equal(grown["embedding"][:20], old["embedding"][:20])
    np.testing.assert_array_equal(grown["embedding"][20:23], fresh["embedding"][20:23])
    np.testing.assert_array_equal(grown["embedding"][23:], old["embedding"][20:])  # padding and start
    for name in grown.keys() - {"embedding"}:
        size = old[name].shape[-1]
        np.testing.assert_array_equal(grown[name][..., :size], old[name])
        if grown[name].ndim == 1:
            rest = old[name][-max(size // 10, 1) :].mean()
            np.testing.assert_allclose(grown[name][size:], rest)
        else:
            np.testing.assert_array_equal(grown[name][..., size:], fresh[name][..., size:])


def test_an_unknown_word_that_stands_in_the_text_is_not_added():
    old = Vocabulary(("a",), TextConfig(tokens="whitespace"))
    assert extend_vocabulary(old, ["<unk>", "b", "a", "c"], np.array([9, 2, 5, 0]), 5).words == ("a", "b")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Returns a folder with a trained model and a text that has four new words."""
    folder = tmp_path_factory.mktemp("continuing")
    (folder / "new.txt").write_text("Emma saw a bridge. Jane met the house at Bath. " * 30)
    train_in(folder, "--learning-rate", "0.05", "--seed", "5")
    return folder


@pytest.fixture
def commands(prepared, monkeypatch, capsys):
    return Commands(prepared, monkeypatch, capsys)


def train(commands, *arguments):
    flags = ["--train", "new.txt", "--batch-size", "4", "--bptt-steps", "20", "--epochs", "1", "--checkpoint", NEW]
    return commands("train", "--init-from", MODEL, *flags, *arguments)


@pytest.mark.slow
def test_training_begins_where_the_model_was(commands):
    """With a learning rate near zero, the validation loss is that of the original model."""
    result = train(commands, "--learning-rate", "1e-9", "--valid", "text.txt", "--dropout", "0")
    assert result.status == 0, result.err
    own = json.loads(commands("score", MODEL, "text.txt", "--stream", "--columns", "4").out)
    assert log_of(NEW)[0]["valid_loss"] == pytest.approx(own["loss"], rel=1e-5)


@pytest.mark.slow
def test_words_are_added_when_asked_for(commands):
    assert train(commands, "--add-words", "2", "--learning-rate", "0.05").status == 0
    words = commands("info", NEW).out
    assert "21 tokens" in words
    line = commands("score", NEW, "new.txt", "--per-token").out.splitlines()
    known = {text.split("\t")[1] for text in line if text}
    assert len({"a", "bridge", "at", "Bath"} & known) == 2 and "<unk>" in known


@pytest.mark.slow
def test_a_continued_run_stopped_and_resumed_is_the_same(commands):
    assert train(commands, "--add-words", "2", "--epochs", "2").status == 0
    expected = safetensors.numpy.load_file(NEW)
    assert train(commands, "--add-words", "2", "--epochs", "2", "--max-seconds", "1e-9").status == 0
    assert "can be resumed" in commands("info", NEW).out
    result = commands("train", "--resume", "--checkpoint", NEW)
    assert result.status == 0, result.err
    resumed = safetensors.numpy.load_file(NEW)
    assert resumed.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(resumed[name], value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lowercase"], "--lowercase True conflicts with model.safetensors, which has False"),
        (["--unit", "char"], "--unit char conflicts with model.safetensors, which has word"),
        (["--vocab-size", "50"], "--vocab-size cannot be used with --init-from"),
        (["--init-from", "none.safetensors"], "cannot find the model none.safetensors"),
    ],
)
def test_what_conflicts_with_the_model_is_refused(commands, arguments, message):
    result = train(commands, *arguments)
    assert (result.status, result.out) == (2, "")
    assert message in result.err and len(result.err.splitlines()) == 1


@pytest.mark.slow
def test_what_does_not_fit_is_new_and_is_said(commands):
    result = train(commands, "--num-layers", "2", "--no-tie-weights")
    assert result.status == 0, result.err
    assert "from model.safetensors: embedding, layer0, b_y; new: layer1, W_hy" in result.out
    result = train(commands, "--embedding-size", "7", "--hidden-size", "9")
    assert "from model.safetensors: b_y; new: embedding, layer0, W_he" in result.out


def test_new_words_need_a_model(commands):
    result = commands("train", "--add-words", "3", "--checkpoint", NEW)
    assert result.status == 2 and "--add-words needs --init-from" in result.err
