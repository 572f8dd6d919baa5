"""The commands of classification: train by an easy rule, resume, show; what cannot be is refused in one line."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mutated_checkpoints import read, write
from tiny_runs import ENGINE, SIZES, Commands, contents, log_of

from theano_rnn.learning.checkpoint import load
from theano_rnn.settings.base import UserError
from theano_rnn.tasks.trained_model import TrainedModel

MODEL = "model.safetensors"
FLAGS = ["--preset", "none", "--task", "classify", *SIZES, "--batch-size", "8", "--learning-rate", "0.03",
         "--dropout", "0", "--test-fraction", "0.1"]  # fmt: skip
VALUES = {"loss", "accuracy", "macro_f1", "calibration_error"}


def lines(count=300, rare=2):
    """Texts of three to nine letters; every second (or `rare`-th) has an x, and the label yes."""
    rng = np.random.default_rng(0)
    for number in range(count):
        words = list(rng.choice(list("abcde"), size=rng.integers(3, 10)))
        if number % rare == 1:
            words[rng.integers(len(words))] = "x"
        yield f"{'no' if number % rare != 1 else 'yes'}\t{' '.join(words)}\n"


@pytest.fixture
def commands(tmp_path, monkeypatch, capsys):
    (tmp_path / "labelled.txt").write_text("".join(lines()))
    return Commands(tmp_path, monkeypatch, capsys)


def train(commands, *arguments, epochs=2, checkpoint=MODEL, text="labelled.txt"):
    result = commands("train", *FLAGS, "--train", text, "--checkpoint", checkpoint, "--epochs", epochs, *arguments)
    assert result.status == 0, result.err
    return result


@pytest.mark.slow
@pytest.mark.learns
def test_it_learns_and_its_measures_are_recorded_shown_and_drawn(commands):
    """The best epoch of each of ten seeds has an accuracy of 1.0, with the instructions of older processors, too."""
    best = []
    for seed in (1, 2, 3):
        result = train(commands, "--seed", seed, "--curves", epochs=8)
        *epochs, last = log_of(MODEL)
        best.append(max(record["valid_accuracy"] for record in epochs))
    assert np.median(best) > 0.9
    assert [set(record) for record in epochs] == [
        {"epoch", "step", "train_loss", "learning_rate", "texts_per_second", *(f"valid_{name}" for name in VALUES)}
    ] * 8
    assert last.keys() >= {"texts", "best_step", *(f"test_{name}" for name in VALUES)} and last["texts"] == 30
    assert last["best_step"] == next(each["step"] for each in epochs if each["valid_accuracy"] == best[-1])
    assert f"accuracy {best[-1]:.4f}" in result.out and "perplexity" not in result.out
    assert "256 / 14 / 30 texts to train / validate / test on, 2 labels (no 128, yes 128)" in result.out
    shown = [line for line in result.out.splitlines() if line.startswith("  | ")]
    assert len(shown) == 3 * 8 and all("   (yes " in line or "   (no " in line for line in shown)
    if find_spec("matplotlib"):
        assert Path("model.curves.png").read_bytes().startswith(b"\x89PNG")
    info = commands("info", MODEL)
    assert info.status == 0 and "classifier, finished" in info.out and "valid_accuracy" in info.out
    facts = load(MODEL).facts
    assert facts["labels"] == ["no", "yes"] and 1 / 16 <= facts["temperature"] <= 16


@pytest.mark.slow
def test_it_is_stopped_and_resumed_to_the_byte(commands):
    arguments = ["--class-weights", "balanced", "--dropout", "0.2"]
    train(commands, *arguments, checkpoint="whole.safetensors")
    train(commands, *arguments, "--max-seconds", "1e-9", checkpoint="cut.safetensors")
    assert "can be resumed" in commands("info", "cut.safetensors").out
    result = commands("train", "--resume", "--checkpoint", "cut.safetensors")
    assert result.status == 0, result.err
    assert Path("cut.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()
    logs = [log_of(f"{name}.safetensors") for name in ("cut", "whole")]
    for record in [*logs[0], *logs[1]]:
        record.pop("texts_per_second", None)
    assert logs[0] == logs[1]


@pytest.mark.slow
def test_a_changed_label_is_another_text(commands):
    train(commands, "--max-seconds", "1e-9")
    text = Path("labelled.txt").read_text()
    Path("labelled.txt").write_text(text.replace("no\t", "yes\t", 1))
    result = commands("train", "--resume", "--checkpoint", MODEL)
    assert (result.status, result.err.count("\n")) == (2, 1) and "the text differs" in result.err


@pytest.mark.slow
def test_the_best_parameters_are_those_of_the_selected_measure(commands):
    train(commands, "--select", "loss", epochs=4)
    *epochs, last = log_of(MODEL)
    assert last["best_step"] == min(epochs, key=lambda record: record["valid_loss"])["step"]
    result = commands("train", *FLAGS, "--train", "labelled.txt", "--checkpoint", MODEL, "--select", "perplexity")
    assert "--select must be one of loss, accuracy, macro_f1, calibration_error for --task classify" in result.err


@pytest.mark.slow
def test_weights_of_labels_change_what_is_learned(commands):
    Path("labelled.txt").write_text("".join(lines(rare=10)))
    found = []
    for weights in ("equal", "balanced"):
        train(commands, "--class-weights", weights, "--seed", "3", epochs=1)
        found.append(load(MODEL, resume=True).last["b_y"])
    assert found[0][0] > found[0][1]  # nine texts of ten are no
    assert found[1][0] - found[1][1] < found[0][0] - found[0][1] - 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [["--unit", "char"], ["--bidirectional", "--pooling", "attention"], ["--sentences", "line", "--pooling", "final"]],
    ids=repr,
)
def test_other_units_and_networks_are_trained(commands, arguments):
    result = train(commands, *arguments, epochs=1)
    assert ("characters in the vocabulary" in result.out) == ("char" in arguments)
    assert commands("info", MODEL).status == 0
    assert all(np.isfinite(value).all() for value in load(MODEL, resume=True).last.values())


def test_settings_are_chosen_for_the_number_of_texts(commands):
    flags = [flag for flag in FLAGS if flag not in ("--preset", "none")]
    result = commands("train", *flags, "--train", "labelled.txt", "--checkpoint", MODEL, "--max-seconds", "1e-9")
    assert result.status == 0, result.err
    training = load(MODEL).settings["training"]
    assert training["epochs"] == 30 and training["patience"] == 10 and training["batch_size"] == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bptt-steps", "20"], "--bptt-steps cannot be used with --task classify, which reads whole texts: leave it"),
        (["--batching", "stream"], "--batching cannot be used with --task classify"),
        (["--batching", "sentences"], "--batching cannot be used with --task classify"),
        (["--random-windows"], "--random-windows cannot be used with --task classify"),
        (["--bidirectional", "--residual"], "--residual cannot be used with --bidirectional"),
        (["--pooling", "sum"], "--pooling"),
        (["--class-weights", "rare"], "--class-weights"),
        (["--tie-weights"], "--tie-weights"),
        (["--head", "adaptive"], "--head"),
        (["--train", "nothing.txt"], "cannot find nothing.txt"),
        (["--train", "text.txt"], "text.txt has no labels: each line must be a label, a tab and a text"),
        (["--train", "one.tsv"], "all training texts have the label 'x'"),
        (["--train", "no.csv"], "no.csv has no column label (its columns: id, when, text)"),
        (["--label-column", "kind", "--train", "no.csv"], "no.csv has no column kind (its columns: id, when, text)"),
        (["--valid", "one.tsv"], "one.tsv row 1: no training text has the label 'x' (the labels are no, yes)"),
        (["--task", "next", "--pooling", "max"], "--pooling"),
        (["--task", "next", "--label-column", "x"], "--label-column"),
    ],
    ids=repr,
)
def test_a_mistake_is_one_line_and_status_2(commands, arguments, message):
    Path("one.tsv").write_text("x\tone text\nx\tanother text\n")
    Path("no.csv").write_text("id,when,text\n1,2,yes or no\n")
    before = contents(commands.folder).keys()
    result = commands("train", *FLAGS, "--train", "labelled.txt", "--checkpoint", MODEL, "--epochs", "1", *arguments)
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1), result.err
    assert message in result.err
    assert {name for name in contents(commands.folder) if "cache" not in name} <= set(before)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A checkpoint that was trained for one epoch."""
    folder = tmp_path_factory.mktemp("good")
    (folder / "labelled.txt").write_text("".join(lines(60)))
    with pytest.MonkeyPatch.context() as monkeypatch:
        train(Commands(folder, monkeypatch, SimpleNamespace(readouterr=lambda: ("", ""))), epochs=1)
    return folder


@pytest.mark.parametrize(
    ("name", "value"),
    [("labels", value) for value in (None, [], ["no"], ["no", "no"], ["no", 3], "noyes", {"no": 1}, ["a", "b", "c"],
                                     [["no"], ["yes"]], 3)]
    + [("temperature", value) for value in (0, -1, "1", None, [1], True, 1e9, float("nan"), float("inf"))],
    ids=repr,
)  # fmt: skip
def test_damaged_labels_and_temperatures_are_refused_in_one_line(good, commands, name, value):
    shutil.copy(good / MODEL, MODEL)
    tensors, facts = read(MODEL)
    place = facts if name in facts else facts["facts"]
    assert name in place
    place[name] = value
    Path("bad.safetensors").write_bytes(write(tensors, facts, has_checksums=True))
    assert commands("info", "bad.safetensors").status in (0, 2)
    result = commands("train", "--resume", "--checkpoint", "bad.safetensors")
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1), result
    assert "damaged" in result.err or name in result.err
    with pytest.raises(UserError) as caught:
        TrainedModel("bad.safetensors", task="classify", engine=ENGINE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["hidden_size", "num_labels", "num_layers"])
def test_a_network_that_does_not_fit_its_tensors_is_refused(good, commands, name):
    tensors, facts = read(good / MODEL)
    facts["settings"]["model"][name] = 10**6
    Path("bad.safetensors").write_bytes(write(tensors, facts, has_checksums=True))
    result = commands("train", "--resume", "--checkpoint", "bad.safetensors", "--train", str(good / "labelled.txt"))
    assert (result.status, result.err.count("\n")) == (2, 1), result


def test_other_commands_refuse_a_classifier(good, commands):
    shutil.copy(good / MODEL, MODEL)
    for arguments in (("score", MODEL, "labelled.txt"), ("generate", MODEL), ("fill", MODEL, "labelled.txt")):
        result = commands(*arguments)
        assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
        assert "is a classifier, but a " in result.err
