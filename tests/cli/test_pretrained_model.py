"""The model that comes with the package: found by its name, used if there is no other, and as its card describes it."""

import hashlib

import pytest
from exchange_models import config_of, write
from tiny_runs import Commands

from theano_rnn import LanguageModel
from theano_rnn.learning.checkpoint import load
from theano_rnn.learning.pretrained import DEFAULT_MODEL, find_checkpoint, pretrained_models

FILE = pretrained_models()[DEFAULT_MODEL]
CARD = FILE.with_suffix(".md").read_text()
NOTE = "there is no runs/model.safetensors yet, so this is austen, the model that comes with the package"


@pytest.fixture
def commands(tmp_path, monkeypatch, capsys):
    """Runs commands in an empty folder."""
    return Commands(tmp_path, monkeypatch, capsys)


def test_the_file_is_the_one_that_its_card_describes():
    checkpoint = load(DEFAULT_MODEL)
    assert FILE.stat().st_size <= 5_000_000
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() in CARD
    assert f"the {len(checkpoint.vocabulary.words):,} most frequent words" in CARD
    *_, last, test = checkpoint.progress["records"]
    assert f"| validation perplexity | {last['valid_perplexity']:.2f} (" in CARD
    assert f"| test perplexity | {test['test_perplexity']:.2f} ({test['tokens']:,} tokens, " in CARD


@pytest.mark.parametrize("name", ["generate", "score", "look", "serve", "info", "export"])
def test_a_command_without_a_checkpoint_uses_it_and_says_so(commands, name, monkeypatch):
    if name == "serve":
        pytest.importorskip("fastapi")
    used = []
    monkeypatch.setattr("theano_rnn.learning.checkpoint.parse_facts", lambda path, facts: used.append(path) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        commands(name, *(["--port", "0"] if name == "serve" else ["--format", "model"] if name == "export" else []))
    assert used == [FILE]
    assert commands.capsys.readouterr().err.startswith(NOTE)


def test_a_model_of_ones_own_comes_first(commands):
    (commands.folder / "runs").mkdir()
    write(commands.folder / "runs/model.safetensors", config_of("tanh", 1))
    result = commands("info")
    assert result.status == 0 and result.out.startswith("runs/model.safetensors: language model")
    assert result.err == "the model is runs/model.safetensors; austen is the one that comes with the package\n"


def test_output_files_are_in_the_current_folder(commands):
    result = commands("export", "--format", "model", "--dtype", "float16")
    assert result.status == 0 and (commands.folder / "austen.model.safetensors").stat().st_size <= 5_000_000


def test_a_file_of_the_same_name_comes_first_and_a_folder_does_not(commands):
    (commands.folder / "austen").mkdir()
    assert find_checkpoint("austen") == FILE
    (commands.folder / "austen").rmdir()
    (commands.folder / "austen").write_text("mine")
    assert find_checkpoint("austen") == "austen"
    assert find_checkpoint("no-such-model") == "no-such-model"


def test_a_missing_model_is_told_that_one_comes_with_the_package(commands):
    result = commands("info", "mybook.safetensors")
    assert (result.status, result.out) == (2, "")
    assert "cannot find the model mybook.safetensors" in result.err and "or name austen" in result.err


def test_it_writes_and_knows_english():
    model = LanguageModel(DEFAULT_MODEL)
    right, wrong = (score.total for score in model.score(["It is a truth.", "A truth it is."]))
    assert right > wrong + 3
    assert model.generate("She was", num_samples=1, seed=1)[0].startswith("She was ")
