"""What train draws, and what it tells TensorBoard."""

import importlib.util
import itertools
import json
import sys

import numpy as np
import pytest
from conftest import ENGINES
from tiny_runs import TINY, Commands, Stopping, log_of

from theano_rnn.cli import session
from theano_rnn.cli.curves import Curves
from theano_rnn.learning.measures import PERPLEXITY
from theano_rnn.model import RNNLM
from theano_rnn.nn.embedding import FEW_ROWS
from theano_rnn.settings.network import ModelConfig

PNG = b"\x89PNG\r\n\x1a\n"
RECORDS = [{"epoch": i + 1, "step": 9 * i, "train_loss": 5 - i / 10, "valid_loss": 5 - i / 11} for i in range(3)]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    return Commands(tmp_path, monkeypatch, capsys)


@pytest.fixture
def without(monkeypatch):
    """Makes a package one that is not installed."""

    def without(name):
        real = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda *asked: None if asked[0] == name else real(*asked))
        for loaded in [known for known in sys.modules if known.split(".")[0] == name]:
            monkeypatch.delitem(sys.modules, loaded)
        monkeypatch.setitem(sys.modules, name, None)

    return without


def stopped_at(monkeypatch, step):
    monkeypatch.setattr(session.Session, "should_stop", Stopping.should_stop)
    monkeypatch.setattr(session.Session, "at_step", step, raising=False)
    real = session.Session.on_step

    def on_step(self, progress, *rest):
        self.step = progress.step
        real(self, progress, *rest)

    monkeypatch.setattr(session.Session, "on_step", on_step)
    monkeypatch.setattr(session.Session, "step", 0, raising=False)


def test_a_picture_beside_the_checkpoint(run, tmp_path):
    pytest.importorskip("matplotlib")
    result = run.train("--curves")
    assert (tmp_path / "model.curves.png").read_bytes().startswith(PNG)
    assert "learning curves in model.curves.png" in result.out and not result.err
    first = (tmp_path / "model.curves.png").read_bytes()
    run.train("--curves", "--seed", "2")
    assert (tmp_path / "model.1.curves.png").read_bytes() == first
    assert (tmp_path / "model.curves.png").read_bytes() != first
    assert not list(tmp_path.glob("*.unfinished"))


@pytest.mark.slow
@pytest.mark.parametrize("installed", [True, False])
def test_a_picture_of_the_users_own_is_let_be(run, tmp_path, without, installed):
    if not installed:
        without("matplotlib")
    (tmp_path / "model.png").write_bytes(b"mine")
    for _ in range(2):
        run.train("--curves")
    run("train", "--train", "text.txt", "--resume", "--checkpoint", "model.safetensors", "--curves")
    assert (tmp_path / "model.png").read_bytes() == b"mine" and not list(tmp_path.glob("model.png.*"))


def test_a_folder_in_the_pictures_place_is_found_before_anything_begins(run, tmp_path):
    (tmp_path / "model.curves.png").mkdir()
    result = run("train", *TINY, "--curves", "--checkpoint", "model.safetensors")
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert "model.curves.png is a folder" in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.curves.png", "text.txt"]


@pytest.mark.slow
def test_none_where_none_is_wanted(run, tmp_path):
    assert "curves" not in run.train().out
    assert not list(tmp_path.glob("*.png"))


def test_an_interrupted_and_resumed_run_has_the_same_picture(run, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    run.train("--curves")
    whole = (tmp_path / "model.curves.png").read_bytes()
    with monkeypatch.context() as patch:
        stopped_at(patch, 9)
        assert run("train", *TINY, "--curves", "--checkpoint", "other/model.safetensors").status > 128
    run("train", "--resume", "--checkpoint", "other/model.safetensors", "--curves", "--train", "text.txt")
    assert (tmp_path / "other" / "model.curves.png").read_bytes() == whole


def test_without_matplotlib_the_extra_is_named_once_at_the_end(run, tmp_path, without):
    without("matplotlib")
    result = run.train("--curves")
    assert result.out.count("pip install 'theano_rnn[plot]'") == 1
    assert "theano_rnn[plot]" in result.out.splitlines()[-1] and not result.err
    assert not list(tmp_path.glob("*.png"))


def test_pictures_come_seldom_and_the_last_always(tmp_path):
    pytest.importorskip("matplotlib")
    now, said = [0.0], []
    curves = Curves(tmp_path / "a.png", PERPLEXITY, said.append, clock=lambda: now[0])
    curves.draw([])
    assert not (tmp_path / "a.png").exists() and curves.summary() == ""
    pictures = []
    for second, count, is_last in ((0, 1, False), (9, 2, False), (11, 3, False), (12, 2, True)):
        now[0] = second
        curves.draw(RECORDS[:count], is_last=is_last)
        pictures.append((tmp_path / "a.png").read_bytes())
    assert pictures[0] == pictures[1] and len(set(pictures)) == 3 and not said


def test_a_picture_that_cannot_be_written_is_said_once(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "a.png").mkdir()
    said = []
    curves = Curves(tmp_path / "a.png", PERPLEXITY, said.append)
    curves.draw(RECORDS)
    curves.draw(RECORDS, is_last=True)
    assert len(said) == 1 and said[0].startswith("cannot draw the learning curves, training continues: ")


def events_of(folder):
    """Numbers by tag, each a list of (step, value), as TensorBoard reads them, and the texts' tags."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    read = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    read.Reload()
    tags = read.Tags()
    return {tag: [(each.step, each.value) for each in read.Scalars(tag)] for tag in tags["scalars"]}, tags["tensors"]


def test_tensorboard_is_told_what_the_log_has(run, tmp_path):
    pytest.importorskip("tensorboard")
    run.train("--tensorboard", "events")
    numbers, texts = events_of(tmp_path / "events" / "model")
    records = log_of("model.safetensors")
    for tag, key in (("loss/epoch", "train_loss"), ("loss/validation", "valid_loss")):
        assert numbers[tag] == [(r["step"], pytest.approx(r[key])) for r in records if key in r]
    assert numbers["loss/test"] == [(records[-1]["step"], pytest.approx(records[-1]["test_loss"]))]
    assert numbers["perplexity/validation"][0][1] == pytest.approx(records[0]["valid_perplexity"], rel=1e-5)
    steps = [step for step, _ in numbers["loss/training"]]
    assert steps[0] == 1 and all(step % 20 == 0 for step in steps[1:])
    for tag in ("learning_rate", "norm/gradient", "norm/gradient/embedding", "norm/parameter/embedding"):
        assert [step for step, _ in numbers[tag]] == steps and all(value > 0 for _, value in numbers[tag])
    assert any(tag.startswith("settings") for tag in texts)


def test_training_is_the_same_with_event_files(run, tmp_path):
    pytest.importorskip("tensorboard")
    run.train(checkpoint="plain.safetensors")
    run.train("--tensorboard", "events", checkpoint="told.safetensors")
    plain, told = log_of("plain.safetensors"), log_of("told.safetensors")
    for one, other in zip(plain, told, strict=True):
        assert one == pytest.approx(other, rel=1e-5)


def test_what_was_not_saved_is_forgotten_on_resume(run, tmp_path, monkeypatch):
    tensorboard = pytest.importorskip("tensorboard")
    assert tensorboard
    run.train("--tensorboard", "whole")
    with monkeypatch.context() as patch:
        stopped_at(patch, 9)
        assert run("train", *TINY, "--tensorboard", "parts", "--checkpoint", "parts.safetensors").status > 128
    from theano_rnn.view.events import EventFile

    file = EventFile(tmp_path / "parts" / "parts", from_step=10)
    file.scalars(12, {"loss/training": 99.0})  # as if the process had gone on and been killed
    file.close()
    run("train", "--resume", "--checkpoint", "parts.safetensors", "--train", "text.txt", "--tensorboard", "parts")
    (whole, _), (parts, _) = events_of(tmp_path / "whole" / "model"), events_of(tmp_path / "parts" / "parts")
    assert parts.keys() == whole.keys()
    for tag in whole:
        assert parts[tag] == [(step, pytest.approx(value, rel=1e-5)) for step, value in whole[tag]], tag


def test_older_event_files_are_put_aside_and_none_is_lost(run, tmp_path):
    """Those of other checkpoints, which TensorBoard shows beside them, stay where they are."""
    pytest.importorskip("tensorboard")
    names, folder = [], tmp_path / "events"
    run.train("--tensorboard", "events", checkpoint="other.safetensors")
    others = list((folder / "other").iterdir())
    for _ in range(3):
        result = run.train("--tensorboard", "events")
        names += [path.name for path in (folder / "model").iterdir()]
        (folder / "model" / "mine.txt").write_text("mine")
        names.remove("mine.txt") if "mine.txt" in names else None
    assert [path.name for path in (folder / "model.1").iterdir()] == names[:1]
    assert [path.name for path in (folder / "model.2").iterdir()] == names[1:2]
    assert {path.name for path in (folder / "model").iterdir()} == {names[2], "mine.txt"}
    assert "kept the older event files in" in result.out and list((folder / "other").iterdir()) == others


def test_a_folder_named_events_is_no_obstacle(run, tmp_path):
    pytest.importorskip("tensorboard")
    (tmp_path / "events" / "events").mkdir(parents=True)
    run.train("--tensorboard", "events")
    assert list((tmp_path / "events" / "model").iterdir())


@pytest.mark.parametrize("where", ["text.txt", "text.txt/events"])
def test_a_folder_that_cannot_be_is_one_line_and_nothing_is_begun(run, tmp_path, where):
    pytest.importorskip("tensorboard")
    result = run("train", "--train", "text.txt", "--tensorboard", where)
    assert result.status == 2 and result.err.count("\n") == 1 and "text.txt" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


def test_without_tensorboard_the_extra_is_named_before_anything_begins(run, tmp_path, without):
    without("tensorboard")
    result = run("train", "--train", "text.txt", "--tensorboard", "events")
    assert result.status == 2 and "pip install 'theano_rnn[tensorboard]'" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


def test_a_full_disk_ends_the_events_not_the_training(run, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    from theano_rnn.view.events import EventFile

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EventFile, "scalars", full)
    result = run.train("--tensorboard", "events")
    assert result.out.count("training continues without them: No space left on device") == 1


@pytest.mark.slow
@pytest.mark.parametrize(("head", "tie_weights", "vocab_size"), [
    ("softmax", False, FEW_ROWS // 5),
    *itertools.product(["softmax", "adaptive"], [False, True], [FEW_ROWS + 20]),
])  # fmt: skip
def test_norms_are_those_of_gradients_by_central_differences(head, tie_weights, vocab_size):
    """With clipping, which must not be seen; the gradient of a large embedding comes by rows where it is not tied."""
    config = ModelConfig(cell="gru", vocab_size=vocab_size, embedding_size=3, hidden_size=3, dtype="float64", head=head,
                         cutoffs=(8, 20) if head == "adaptive" else (), tie_weights=tie_weights)  # fmt: skip
    model = RNNLM(config, rng=np.random.default_rng(1))
    rng = np.random.default_rng(2)
    tokens, targets = rng.integers(0, 9, (2, 6, 3)).astype(np.int32)  # many of them twice
    mask, state = np.ones((6, 3)), model.initial_state(3)
    before = {name: parameter.get_value() for name, parameter in model.params.items()}
    functions = model.compile("train", "loss", engine=ENGINES[-1], clip_norm=0.01, with_norms=True)
    _, norms, *_ = functions.train(tokens, targets, mask, *state, np.float64(0.1))
    for name, parameter in model.params.items():
        parameter.set_value(before[name])
    for i, (name, parameter) in enumerate(model.params.items()):
        assert norms[1, i] == pytest.approx(np.linalg.norm(before[name]))
        square, seen = 0.0, np.unique(tokens) if name == "embedding" and not tie_weights else None
        for index in np.ndindex(*before[name].shape):
            if seen is not None and index[0] not in seen:
                continue  # a row that is not read
            losses = []
            for change in (1e-5, -1e-5):
                value = before[name].copy()
                value[index] += change
                parameter.set_value(value)
                losses.append(np.asarray(functions.loss(tokens, targets, mask, *state)[0]).mean())
            square += ((losses[0] - losses[1]) / 2e-5) ** 2
        parameter.set_value(before[name])
        assert norms[0, i] == pytest.approx(np.sqrt(square), rel=1e-5, abs=1e-9), name


def test_event_files_hold_what_they_were_given(tmp_path):
    """A number, and a text, whatever characters are in it."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    from theano_rnn.view.events import EventFile

    file = EventFile(tmp_path)
    file.text(0, "settings", json.dumps({"a": "\ud800 \u00e9 <b>"}, ensure_ascii=False))
    file.scalars(3, {"loss/a": 1.5, "b": float("inf")})
    file.close()
    numbers, (tag,) = events_of(tmp_path)
    assert numbers == {"loss/a": [(3, 1.5)], "b": [(3, float("inf"))]}
    read = accumulator.EventAccumulator(str(tmp_path))
    read.Reload()
    (event,) = read.Tensors(tag)
    assert (event.step, event.tensor_proto.string_val[0].decode()) == (0, '{"a": "? \u00e9 <b>"}')
