"""A user's mistake: exit status 2, one line on standard error, nothing written or overwritten."""

import io
import json
import os
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from tiny_runs import SIZES, Commands, KeepsCompiled, contents, sentences

from theano_rnn.learning.checkpoint import KEY

MODEL = "model.safetensors"
BAD_TEXTS = {
    "nothing.txt": "cannot find nothing.txt",
    "folder": "folder",
    "empty.txt": "is empty",
    "blank.txt": "only white space",
    "binary.txt": "zero byte",
    "latin1.txt": "not UTF-8 at byte 3",
    "nobody.csv": "no column body",
    "empty.csv": "no text in its column body",
    "plain.txt.gz": "not a complete gzip file",
    "text.txt/below.txt": "text.txt/below.txt: Not a directory",
}
BAD_CHECKPOINTS = {
    "nothing.safetensors": "cannot find the model nothing.safetensors",
    "folder": "folder is a folder: name a model in it",
    "text.txt/below": "text.txt/below: Not a directory",
    "empty.txt": "damaged or not a checkpoint",
    "text.txt": "damaged or not a checkpoint",
    "cut.safetensors": "damaged or not a checkpoint",
    "foreign.safetensors": "not a checkpoint of theano_rnn",
    "newer.safetensors": "newer theano_rnn",
    "hollow.safetensors": "damaged checkpoint",
    "scrambled.safetensors": "damaged checkpoint",
    "changed.safetensors": "damaged checkpoint: the checksum of its settings is wrong",
    "diverged.safetensors": "weights that are not finite numbers (last/W_he), because its training diverged",
}


def write_texts(folder):
    (folder / "folder").mkdir()
    (folder / "empty.txt").write_bytes(b"")
    (folder / "blank.txt").write_text(" \n\t\n\n")
    (folder / "binary.txt").write_bytes(b"\x7fELF\0\0\1")
    (folder / "latin1.txt").write_bytes("café olé.\n".encode("latin-1"))
    (folder / "nobody.csv").write_text("id,title,text\n1,a title,hello there\n")
    (folder / "empty.csv").write_text("id,body\n1,\n2,\n")
    (folder / "plain.txt.gz").write_text("not packed")
    (folder / "one.txt").write_text("hello\n")
    (folder / "valid.txt").write_text("hello there\n")


def write_checkpoints(folder):
    data = (folder / MODEL).read_bytes()
    (folder / "cut.safetensors").write_bytes(data[: len(data) // 2])
    with safetensors.safe_open(str(folder / MODEL), "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        facts = json.loads(file.metadata()[KEY])
    del facts["checksum"], facts["tensors"]  # otherwise the damage is noticed earlier
    others = {
        "foreign": None,
        "newer": facts | {"format_version": 99},
        "hollow": {name: facts[name] for name in ("format_version", "kind")},
        "scrambled": facts | {"vocabulary": 3},
        "changed": facts | {"checksum": "00000000"},
    }
    diverged = {**tensors, "last/W_he": tensors["last/W_he"] * np.float32(np.nan)}
    diverged |= {name: value * np.float32(np.nan) for name, value in tensors.items() if name == "best/W_he"}
    safetensors.numpy.save_file(diverged, folder / "diverged.safetensors", {KEY: json.dumps(facts)})
    for name, changed in others.items():
        metadata = None if changed is None else {KEY: json.dumps(changed)}
        safetensors.numpy.save_file(tensors, folder / f"{name}.safetensors", metadata)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with good and bad files and the checkpoint and log of a run that can be resumed."""
    folder = tmp_path_factory.mktemp("prepared")
    write_texts(folder)
    with pytest.MonkeyPatch.context() as monkeypatch:
        silent = SimpleNamespace(readouterr=lambda: ("", ""))
        Commands(folder, monkeypatch, silent).train("--max-seconds", "0.0001")
    write_checkpoints(folder)
    return folder


@pytest.fixture
def commands(prepared, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "work"
    shutil.copytree(prepared, folder)
    return Commands(folder, monkeypatch, capsys)


def refused(commands, message, name, *arguments):
    """What must hold of every mistake."""
    before = contents(commands.folder)
    result = commands(name, *arguments)
    assert result.status == 2, result
    assert result.err.count("\n") == 1 and result.err.endswith("\n"), result.err
    assert result.err.startswith(f"theano-rnn {name}: ")
    assert any(part in result.err for part in message.split("|")), result.err
    assert "Traceback" not in result.err
    assert contents(commands.folder) == before


@pytest.mark.parametrize("checkpoint", [MODEL, "new/folder/model.safetensors"])
@pytest.mark.parametrize(("file", "message"), BAD_TEXTS.items())
def test_text_that_cannot_be_trained_on(commands, file, message, checkpoint):
    refused(commands, message, "train", *SIZES, "--train", file, "--checkpoint", checkpoint)


@pytest.mark.parametrize("flag", ["--valid", "--test"])
def test_other_texts_that_cannot_be_used(commands, flag):
    refused(commands, "not UTF-8", "train", "--train", "text.txt", flag, "latin1.txt", "--checkpoint", MODEL)


@pytest.mark.parametrize(("file", "message"), BAD_TEXTS.items())
@pytest.mark.parametrize("flags", [[], ["--stream"]])
def test_text_that_cannot_be_scored(commands, monkeypatch, file, message, flags):
    monkeypatch.setattr(KeepsCompiled, "compile", lambda *_, **__: pytest.fail("compiled before the mistake was said"))
    refused(commands, message, "score", MODEL, file, *flags)


def test_standard_input_without_text_cannot_be_scored(commands, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    refused(commands, "standard input is empty", "score", MODEL)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train", "one.txt", "--valid", "valid.txt"], "the training part has 1 token,"),
        (["--train", "one.txt"], "the training part has 0 tokens"),
        (["--train", "text.txt", "--valid-fraction", "0"], "validation part is empty"),
        (["--train", "text.txt", "--valid-fraction", "0.6", "--test-fraction", "0.5"], "less than 1"),
        (["--train", "text.txt", "--min-count", "1000"], "vocabulary would be empty"),
        (["--train", "-", "-"], "standard input can be read only once"),
        (["--train", "-", "--valid", "-"], "standard input can be read only once"),
        (["--vocab-size", "1"], "--vocab-size must be at least 3, got 1"),
        (["--vocab-size", "-10"], "--vocab-size must be at least 3"),
        (["--hidden-size", "-4"], "--hidden-size must be at least 1, got -4"),
        (["--hidden-size", "0"], "--hidden-size must be at least 1, got 0"),
        (["--embedding-size", "-1"], "--embedding-size must be at least 1"),
        (["--batch-size", "-1"], "--batch-size must be at least 1"),
        (["--bptt-steps", "0"], "--bptt-steps must be at least 1"),
        (["--epochs", "0"], "--epochs must be at least 1"),
        (["--seed", "-1"], "--seed must be at least 0"),
        (["--threads", "0"], "--threads must be at least 1"),
        (["--min-count", "0"], "--min-count must be at least 1"),
        (["--valid-fraction", "1"], "--valid-fraction must be less than 1"),
        (["--test-fraction", "-0.1"], "--test-fraction must be at least 0"),
        (["--learning-rate", "nan"], "--learning-rate must be a finite number, got nan"),
        (["--learning-rate", "inf"], "--learning-rate must be a finite number"),
        (["--learning-rate", "0"], "--learning-rate must be greater than 0"),
        (["--learning-rate", "fast"], "invalid float value: 'fast'"),
        (["--clip-norm", "-1"], "--clip-norm must be at least 0"),
        (["--max-seconds", "0"], "--max-seconds must be greater than 0"),
        (["--unit", "char", "--batching", "sentences"], "--batching sentences needs --unit word"),
        (["--random-windows", "--batching", "sentences"], "--random-windows needs --batching stream"),
        (["--state-reset", "0.1", "--batching", "sentences"], "--state-reset needs --batching stream"),
        (["--task", "fill", "--unit", "char"], "--task fill needs --unit word"),
        (["--task", "fill", "--batching", "stream"], "--batching stream cannot be used with --task fill"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--hidden", "4"], "unrecognized arguments: --hidden 4"),
        (["--config", "nothing.toml"], "--config nothing.toml: no such file or recipe. Give a TOML file, or one of"),
        (["--config", "folder"], "folder: Is a directory"),
        (["--config", "latin1.txt"], "latin1.txt is not TOML"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be(commands, arguments, message):
    refused(commands, message, "train", "--train", "text.txt", "--checkpoint", MODEL, *arguments)


@pytest.mark.parametrize(("file", "message"), BAD_CHECKPOINTS.items())
@pytest.mark.parametrize("name", ["generate", "score", "info", "train"])
def test_checkpoints_that_cannot_be_used(commands, name, file, message):
    refused(commands, message, name, *(["--resume", "--checkpoint"] if name == "train" else []), file)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--checkpoint", "text.txt/model"], "text.txt/model cannot be written: Not a directory"),
        (["--checkpoint", "/proc/nothing/model"], "/proc/nothing/model cannot be written"),
        (["--checkpoint", "folder"], "folder is a folder: give the name of a file"),
        (["--checkpoint", "new", "--log", "text.txt/log"], "text.txt/log cannot be written"),
        (["--checkpoint", "new", "--log", "folder"], "folder is a folder: give the name of a file"),
        (["--checkpoint", "pipe"], "pipe is not a regular file"),
        (["--checkpoint", "new", "--log", "pipe"], "pipe is not a regular file"),
        (["--checkpoint", "new", "--log", "folder/../new"], "--log and --checkpoint are the same file"),
        (["--checkpoint", "new/"], "new/ is the name of a folder: give the name of a file, such as new/model.safeten"),
        (["--checkpoint", "folder/"], "folder/ is the name of a folder"),
        (["--checkpoint", "new/."], "new/. is the name of a folder"),
        (["--checkpoint", "new", "--log", "logs/"], "logs/ is the name of a folder: give the name of a file"),
        (["--checkpoint", "loop"], "is a symbolic link to itself"),
        (["--checkpoint", "./text.txt"], "--checkpoint and --train are the same file"),
        (["--checkpoint", "new", "--log", "text.txt"], "--log and --train are the same file"),
        (["--checkpoint", "new", "--valid", "valid.txt", "--log", "valid.txt"], "--log and --valid are the same file"),
        (["--checkpoint", "one.txt", "--test", "one.txt"], "--checkpoint and --test are the same file"),
        (["--checkpoint", "x" * 300], "File name too long"),
        (["--checkpoint", "."], ". is not a valid checkpoint name"),
        (["--checkpoint", ""], "an empty name is not a valid checkpoint name"),
    ],
)  # fmt: skip
def test_places_where_nothing_can_be_kept(commands, arguments, message):
    os.mkfifo("pipe")
    os.symlink("loop", "loop")
    refused(commands, message, "train", "--train", "text.txt", *arguments)
    assert os.path.exists("pipe")


@pytest.mark.parametrize(
    "arguments",
    [["--hidden-size", "5"], ["--unit", "char"], ["--seed", "7"], ["--lowercase"], ["--learning-rate", "nan"]],
)
def test_flags_that_conflict_with_the_checkpoint(commands, arguments):
    refused(commands, f"{arguments[0]} ", "train", "--resume", "--checkpoint", MODEL, *arguments)


def test_text_that_has_changed(commands):
    (commands.folder / "text.txt").write_text(" ".join(sentences(60, seed=1)))
    refused(commands, "the text differs from the one", "train", "--resume", "--checkpoint", MODEL)


def test_text_that_is_gone(commands):
    (commands.folder / "text.txt").unlink()
    refused(commands, "cannot find text.txt", "train", "--resume", "--checkpoint", MODEL)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("score", ["--cache-size", "5"], "--cache-size and --dynamic need --stream"),
        ("score", ["--stream", "--cache-size", "5", "--dynamic", "sgd"], "--cache-size cannot be used with --dynamic"),
        ("score", ["--stream", "--dynamic", "rms"], "--statistics-from is needed with --dynamic rms"),
        ("score", ["--stream", "--json"], "--json is for sentences"),
        ("score", ["--stream", "--per-token"], "--per-token cannot be used with --stream"),
        ("score", ["--columns", "2"], "--columns needs --stream"),
        ("score", ["--stream", "--columns", "2", "--cache-size", "5"], "--columns must be 1 with --cache-size"),
        ("score", ["--weights", "1"], "--weights needs --interpolate"),
        ("score", ["--interpolate", "b"], "--interpolate needs either --weights or --fit-weights"),
        ("score", ["--interpolate", "b", "--weights", "0.5", "0.6"], "--weights must be positive and sum to 1"),
        ("score", ["--log-base", "10"], "argument --log-base: invalid choice"),
        ("generate", ["--num-samples", "0"], "--num-samples must be at least 1, got 0"),
        ("generate", ["--max-tokens", "-1"], "--max-tokens must be at least 0"),
        ("generate", ["--seed", "-1"], "--seed must be at least 0"),
        ("generate", ["--threads", "0"], "--threads must be at least 1"),
        ("generate", ["--temperature", "nan"], "--temperature must be a finite number, got nan"),
        ("generate", ["--temperature", "inf"], "--temperature must be a finite number, got inf"),
        ("generate", ["--temperature", "-1"], "--temperature must be at least 0, got -1.0"),
        ("generate", ["--top-p", "2"], "--top-p must be at most 1, got 2.0"),
        ("generate", ["--stop", ""], "--stop must not be empty"),
        ("generate", ["--min-tokens", "9", "--max-tokens", "3"], "--min-tokens must be at most --max-tokens 3"),
        ("generate", ["--beam-size", "4", "--top-k", "3"], "--beam-size cannot be used with --top-k"),
        ("generate", ["--beam-size", "4", "--live"], "--live cannot be used with --beam-size"),
        ("generate", ["--prompt-file", "nothing.txt"], "cannot find nothing.txt"),
        ("generate", ["--interactive", "--prompt-file", "a"], "--prompt-file cannot be used with --interactive"),
        ("generate", ["--live", "--output", "a"], "--output cannot be used with --live or --interactive"),
        ("generate", ["--output", "nowhere/a"], "there is no folder nowhere"),
        ("generate", ["--output", "."], ". is a folder: name a file"),
        ("generate", ["--prompt-file", "text.txt", "--output", "text.txt"], "would replace a file that is read"),
        ("generate", ["--interactive", "--prompt", "a"], "--prompt cannot be used with --interactive"),
        ("score", ["text.txt", "--threads", "0"], "--threads must be at least 1"),
        ("score", ["text.txt", "--sentences", "word"], "invalid choice: 'word'"),
        ("generate", ["--nonsense"], "unrecognized arguments"),
        ("score", ["--nonsense"], "unrecognized arguments"),
        ("info", ["--nonsense"], "unrecognized arguments"),
    ],
)
def test_flags_of_the_other_commands_that_cannot_be(commands, name, arguments, message):
    refused(commands, message, name, MODEL, *arguments)


def test_a_checkpoint_whose_tensors_do_not_fit(commands):
    with safetensors.safe_open(MODEL, "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        facts = json.loads(file.metadata()[KEY])
    del facts["checksum"], facts["tensors"]  # otherwise the damage is noticed earlier
    tensors["last/W_he"] = np.zeros((2, 2), "float32")
    safetensors.numpy.save_file(tensors, "other.safetensors", {KEY: json.dumps(facts)})
    refused(commands, "W_he must be float32", "train", "--resume", "--checkpoint", "other.safetensors")
