"""Training of recognizers: an easy language is learned, resumed to the byte; what cannot be is refused in one line."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import Commands, log_of

from theano_rnn.learning.checkpoint import load
from theano_rnn.settings.base import UserError
from theano_rnn.tasks.recognize import ALL_BLANK, Recognize
from theano_rnn.tasks.registry import TASKS, stored_sections

MODEL = "model.safetensors"
FLAGS = ["--preset", "none", "--task", "recognize", "--hidden-size", "4", "--num-layers", "1", "--batch-size", "8",
         "--train", "sound.npz"]  # fmt: skip
SYMBOLS, BANDS = "abc", 3
NAMES = {"loss", "label_error", "utterance_error"}


def write_recordings(count=60, *, too_short=False):
    """Packed features: each letter is some frames of a vector of its own, between pauses; four speakers.

    If `too_short`, one recording has fewer frames than letters.
    """
    rng = np.random.default_rng(0)
    frames, lengths, texts = [], [], []
    for number in range(count):
        text = "".join(rng.choice(list(SYMBOLS), size=rng.integers(1, 5)))
        parts = [np.zeros((rng.integers(3, 6), BANDS))]
        for letter in text:
            parts += [np.tile(3 * np.eye(BANDS)[SYMBOLS.index(letter)], (rng.integers(6, 9), 1)), np.zeros((3, BANDS))]
        x = np.concatenate(parts)
        if too_short and number == 0:
            x, text = x[:4], "abcabc"
        frames.append(x + 0.1 * rng.normal(size=x.shape))
        lengths.append(len(x))
        texts.append(text)
    np.savez("sound.npz", frames=np.concatenate(frames).astype("float32"), lengths=np.array(lengths),
             texts=np.array(texts), speakers=np.array([f"s{i % 4}" for i in range(count)]))  # fmt: skip


@pytest.fixture
def commands(tmp_path, monkeypatch, capsys):
    found = Commands(tmp_path, monkeypatch, capsys)
    write_recordings()
    return found


def train(commands, *arguments, epochs=2, checkpoint=MODEL):
    flags = [*FLAGS, "--label-unit", "letter", "--checkpoint", checkpoint, "--epochs", epochs]
    result = commands("train", *flags, *arguments)
    assert result.status == 0, result.err
    return result


@pytest.mark.slow
@pytest.mark.learns
def test_it_learns_and_its_measures_are_recorded_and_shown(commands):
    """The best label errors of seeds 1, 2 and 3 are all 0 %."""
    write_recordings(200)
    arguments = ["--hidden-size", "16", "--learning-rate", "0.02", "--dropout", "0.1"]
    result = train(commands, *arguments, "--test", "sound.npz", epochs=12)
    *epochs, last = log_of(MODEL)
    assert min(record["valid_label_error"] for record in epochs) < 20
    assert {name for name in epochs[0] if name.startswith("valid")} == {f"valid_{name}" for name in NAMES}
    assert last.keys() >= {"recordings", "best_step", *(f"test_{name}" for name in NAMES)}
    assert last["best_step"] == min(epochs, key=lambda record: record["valid_label_error"])["step"]
    assert "150 / 50 / 200 recordings to train / validate / test on" in result.out
    assert "3 different letters: a b c" in result.out and "over 200 recordings" in result.out
    assert "  | said " in result.out and "\n  | read " in result.out and "% of labels wrong" in result.out
    info = commands("info", MODEL)
    assert info.status == 0 and "recognizer, finished" in info.out


@pytest.mark.slow
def test_a_run_is_stopped_and_resumed_to_the_byte(commands):
    """With every change of the recordings: tempo, masks and noise; and with a recording that is too short."""
    write_recordings(too_short=True)
    arguments = ["--dropout", "0.2", "--select", "loss", "--band-masks", "1", "--average-decay", "0.5"]
    train(commands, *arguments, checkpoint="whole.safetensors")
    train(commands, *arguments, "--max-seconds", "1e-9", checkpoint="cut.safetensors")
    result = commands("train", "--resume", "--checkpoint", "cut.safetensors")
    assert result.status == 0, result.err
    assert Path("cut.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()


@pytest.mark.slow
def test_a_network_that_reads_nothing_yet_is_explained_and_training_goes_on(commands):
    result = train(commands, "--learning-rate", "1e-9", "--schedule", "constant", "--patience", "1", epochs=3)
    said = [record["valid_label_error"] for record in log_of(MODEL) if "epoch" in record]
    assert len(said) == 3
    if said == [100.0] * 3:
        assert ALL_BLANK in result.out


@pytest.mark.slow
def test_recordings_that_are_too_long_are_left_out_and_counted(commands):
    result = train(commands, "--max-frames", "30", epochs=1)
    assert "training recordings with more than 30 frames are left out" in result.err + result.out
    failed = commands("train", *FLAGS, "--label-unit", "letter", "--checkpoint", MODEL, "--max-frames", "2")
    assert (failed.status, failed.out) == (2, "") and "every training recording has more than 2 frames" in failed.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bptt-steps", "9"], "--bptt-steps cannot be used with --task recognize"),
        (["--label-smoothing", "0.1"], "--label-smoothing cannot be used with --task recognize"),
        (["--select", "perplexity"], "--select must be one of loss, label_error, utterance_error for --task recognize"),
        (["--embedding-size", "9"], "--embedding-size is for --task"),
    ],
)
def test_settings_of_other_tasks_are_refused(commands, arguments, message):
    result = commands("train", *FLAGS, "--checkpoint", MODEL, *arguments)
    assert (result.status, result.out) == (2, "") and message in result.err


@pytest.mark.slow
def test_a_damaged_checkpoint_is_refused(commands):
    train(commands, epochs=1)
    checkpoint = load(MODEL)
    task, facts = TASKS["recognize"], dict(checkpoint.facts)
    sections = stored_sections(task, checkpoint.settings)
    task.check_stored(sections, facts, checkpoint.best)
    larger = dataclasses.replace(sections["model"], hidden_size=10**6)
    changes = [
        (sections, {**facts, "labels": facts["labels"][:-1]}),
        (sections, {**facts, "labels": [facts["labels"][0]] * len(facts["labels"])}),
        (sections, {**facts, "labels": 7}),
        (sections, {**facts, "features": {**facts["features"], "stacking": 2}}),
        (sections, {**facts, "features": []}),
        (sections, {**facts, "lexicon": {"A": ["q q"]}}),
        ({**sections, "model": larger}, facts),
    ]
    for stored, changed in changes:
        with pytest.raises(UserError):
            task.check_stored(stored, changed, checkpoint.best)


def test_the_epochs_suit_the_number_of_recordings():
    from types import SimpleNamespace

    task = Recognize()
    sections = {name: section() for name, section in task.sections.items()}
    sections["corpus"] = dataclasses.replace(sections["corpus"], train=("a.tsv",))

    def epochs(count):
        data = SimpleNamespace(parts={"train": SimpleNamespace(num_utterances=count)})
        return task.chosen(sections, data)["epochs"]

    assert epochs(848) == 60
    assert epochs(50) > epochs(848) > epochs(50_000) >= 10
