"""Damaged and hostile checkpoints: every command ends with a status and a line, never with a traceback.

`benchmarks/hostile_checkpoints.py` tries more of them, with time and memory limits and real computation.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from mutated_checkpoints import mutated, read, write
from tiny_runs import Commands, KeepsCompiled, contents, train_in

from theano_rnn.settings.base import RunError

GOOD, BAD = "good.safetensors", "bad.safetensors"
SQUARE = ["--embedding-size", "4"]  # which PyTorch's layers can compute with tied weights
COMMANDS = [
    ("info", BAD), ("score", BAD, "text.txt"), ("generate", BAD), ("train", "--resume", "--checkpoint", BAD),
    ("export", BAD),
]  # fmt: skip
ACCEPTED = "nothing is computed in this test"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run that can be resumed."""
    folder = tmp_path_factory.mktemp("runs")
    train_in(folder, *SQUARE, "--dropout", "0.2", "--max-seconds", "1e-9", checkpoint=GOOD)
    return folder


@pytest.fixture
def commands(folder, tmp_path, monkeypatch, capsys):
    def refuse_to_compile(*_, **__):
        raise RunError(ACCEPTED)

    monkeypatch.setattr(KeepsCompiled, "compile", refuse_to_compile)
    for name in (GOOD, "text.txt"):
        shutil.copy(folder / name, tmp_path)
    return Commands(tmp_path, monkeypatch, capsys)


def problem_of(result):
    """Returns what is wrong with how a command ended; "" if nothing is."""
    lines = result.err.splitlines()
    if result.status == 0:
        return ""
    if result.status not in (1, 2) or not lines:
        return f"status {result.status}, {len(lines)} lines of errors"
    if result.status == 1 and not lines[-1].endswith(ACCEPTED):
        return lines[-1]
    return "" if len(lines) <= 1 + (result.status == 1) else f"{len(lines)} lines of errors"  # a note on a stopped run


@pytest.mark.parametrize("seeds", [range(20), pytest.param(range(20, 500), marks=pytest.mark.slow)], ids=len)
def test_every_command_ends_with_a_line(commands, seeds):
    problems = []
    for seed in seeds:
        content, change = mutated(Path(GOOD), seed)
        for command in COMMANDS:
            for file in Path().glob("bad.*"):
                file.unlink()
            Path(BAD).write_bytes(content)
            before = contents(Path())
            result = commands(*command)
            problem = problem_of(result)
            if result.status == 2 and contents(Path()) != before:
                problem += " and it has changed files"
            if problem:
                problems.append(f"{seed} {command[0]}: {change}: {problem}")
    assert not problems


def refusal(commands, change):
    """The line with which `score` refuses a checkpoint that `change` has changed."""
    tensors, facts = read(GOOD)
    change(tensors, facts)
    Path(BAD).write_bytes(write(tensors, facts, has_checksums=True))
    result = commands("score", BAD, "text.txt")
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    return result.err


@pytest.mark.parametrize(("name", "value"), [("hidden_size", 12_000), ("embedding_size", 10**6), ("num_layers", 10**6)])
def test_a_network_larger_than_its_tensors_is_not_built(commands, monkeypatch, name, value):
    monkeypatch.setattr("theano_rnn.tasks.next_token.NextToken.make_model", lambda *_, **__: pytest.fail("built"))
    assert "do not fit its 247 parameters" in refusal(commands, lambda _, facts: facts["settings"]["model"].update(
        {name: value}))  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("progress.step", -1, "progress.step must be a whole number from 0, got '-1'"),
        ("progress.step", True, "progress.step must be a whole number from 0, got 'True'"),
        ("progress.learning_rate", "1", "progress.learning_rate must be a number below 3e+38, got '1'"),
        ("progress.learning_rate", 1e308, "progress.learning_rate must be a number below 3e+38"),
        ("progress.records", [[]], "progress.records.0 must be an object, got '[]'"),
        ("settings.model", [], "settings.model must be an object, got '[]'"),
        ("settings.model.dtype", "object", "dtype must be float32 or float64, got 'object'"),
        ("settings.training.bptt_steps", 10**7, "batch_size times --bptt-steps must be at most 16,777,216 tokens"),
        ("kind", 3, "kind must be text, got '3'"),
    ],
)
def test_a_value_that_cannot_be_is_named(commands, path, value, message):
    def change(_, facts):
        *places, name = path.split(".")
        for place in places:
            facts = facts[place]
        facts[name] = value

    assert message in refusal(commands, change)


@pytest.mark.parametrize("name", ["training", "corpus"])
def test_a_run_without_its_settings_is_resumed_or_refused_in_one_line(commands, name):
    tensors, facts = read(GOOD)
    del facts["settings"][name]
    Path(BAD).write_bytes(write(tensors, facts, has_checksums=True))
    result = commands("train", "--resume", "--checkpoint", BAD, "--train", "text.txt", "--max-seconds", "1e-9")
    assert not problem_of(result)


def test_a_checkpoint_without_vocabulary_is_damaged(commands):
    assert "it has no vocabulary" in refusal(commands, lambda _, facts: facts.pop("vocabulary"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.update({"best/b_y": np.zeros(3, "float32")}), "b_y must be float32 (19,)"),
        (lambda tensors: tensors.pop("best/b_y"), "the checkpoint's tensors do not fit: b_y"),
        (lambda tensors: tensors.update({"carried/0": np.zeros((4, 5), "float32")}), "its hidden state does not fit"),
    ],
)
def test_tensors_are_checked_before_training_goes_on(folder, tmp_path, monkeypatch, capsys, change, message):
    """Best parameters of another shape would end a run with an error, hours later."""
    shutil.copy(folder / "text.txt", tmp_path)
    commands = Commands(tmp_path, monkeypatch, capsys)
    tensors, facts = read(folder / GOOD)
    tensors |= {name.replace("last", "best"): array for name, array in tensors.items() if name.startswith("last")}
    change(tensors)
    Path(BAD).write_bytes(write(tensors, facts, has_checksums=True))
    result = commands("train", "--resume", "--checkpoint", BAD)
    assert result.status == 2 and message in result.err
