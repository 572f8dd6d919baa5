"""Checkpoints: what is written comes back, whole or not at all, and nothing else is taken for one."""

import hashlib
import json
import os
import resource
import signal

import numpy as np
import pytest
import safetensors.numpy

from theano_rnn.learning import atomic_files
from theano_rnn.learning.atomic_files import write_atomically
from theano_rnn.learning.checkpoint import KEY, Checkpoint, assign, load, save, values_of
from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.vocabulary import Vocabulary


class Shared:
    def __init__(self, value):
        self.value = np.asarray(value)

    def get_value(self, borrow=False):
        return self.value

    def set_value(self, value):
        self.value = value


@pytest.fixture
def checkpoint():
    rng = np.random.default_rng(0)
    last = {name: rng.random((3, 4)).astype("float32") for name in ("embedding", "layer0.W_hh")}
    return Checkpoint(
        settings={"model": {"hidden_size": 4}, "text": {}, "corpus": {"train": ["caf\udce9"]}},  # a name, not UTF-8
        facts={"vocabulary": Vocabulary(("the", "naïve", "\n", "</s>"), text=TextConfig(lowercase=True))},
        fingerprint="abc",
        progress={"step": 12, "loss_sum": 0.1 + 0.2, "records": [{"valid_loss": 1 / 3}]},
        last=last,
        best={name: value + 1 for name, value in last.items()},
        optimizer={"t": np.array(5, "int32"), "m.embedding": rng.random((3, 4))},
        carried=[np.full((2, 3), float(i)) for i in range(11)],
    )


def test_everything_comes_back_for_resuming(tmp_path, checkpoint):
    path = tmp_path / "m.safetensors"
    save(path, checkpoint)
    back = load(path, resume=True)
    for name in ("settings", "vocabulary", "fingerprint", "progress", "kind"):
        assert getattr(back, name) == getattr(checkpoint, name)
    for name in ("last", "best", "optimizer"):
        old, new = getattr(checkpoint, name), getattr(back, name)
        assert set(new) == set(old)
        for key, value in old.items():
            assert value.tobytes() == new[key].tobytes()
            assert (value.dtype, value.shape) == (new[key].dtype, new[key].shape)
    assert [float(value[0, 0]) for value in back.carried] == list(range(11))


def test_only_the_best_parameters_are_read_for_use(tmp_path, checkpoint):
    path = tmp_path / "m.safetensors"
    save(path, checkpoint)
    back = load(path)
    assert back.best["embedding"].tobytes() == checkpoint.best["embedding"].tobytes()
    assert not back.last
    assert not back.optimizer
    assert not back.carried


def test_best_parameters_equal_to_the_last_are_stored_once(tmp_path, checkpoint):
    path = tmp_path / "m.safetensors"
    save(path, checkpoint)
    size = path.stat().st_size
    checkpoint.best = {name: value.copy() for name, value in checkpoint.last.items()}
    save(path, checkpoint)
    assert path.stat().st_size < size
    for resume in (True, False):
        assert load(path, resume=resume).best["embedding"].tobytes() == checkpoint.last["embedding"].tobytes()


def test_equal_checkpoints_are_equal_bytes(tmp_path, checkpoint):
    save(tmp_path / "a", checkpoint)
    checkpoint.settings = dict(reversed(checkpoint.settings.items()))
    checkpoint.last = dict(reversed(checkpoint.last.items()))
    save(tmp_path / "b", checkpoint)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_task_keeps_facts_of_its_own(tmp_path, checkpoint):
    path = tmp_path / "m.safetensors"
    source = Vocabulary(("le",))
    checkpoint.facts = {"source_vocabulary": source, "num_labels": 3, "labels": ["a", "b"]}
    save(path, checkpoint)
    assert load(path).facts == {"source_vocabulary": source, "num_labels": 3, "labels": ["a", "b"]}


def test_a_checkpoint_has_the_same_bytes_on_every_stack(tmp_path, checkpoint):
    """The sum was printed by Python 3.11 with NumPy 1.26 and safetensors 0.8.0."""
    save(tmp_path / "m", checkpoint)
    data = (tmp_path / "m").read_bytes()
    assert hashlib.sha256(data).hexdigest() == "1ca3cfca0de96b08ceb4e85e95266484615245f9480384671564ae9abe33de7d"
    save(tmp_path / "m", load(tmp_path / "m", resume=True))
    assert (tmp_path / "m").read_bytes() == data


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, checkpoint, monkeypatch):
    path = tmp_path / "m.safetensors"
    save(path, checkpoint)
    before = path.read_bytes()

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic_files.os, "fsync", fail)
    checkpoint.progress["step"] = 13
    with pytest.raises(OSError, match="No space left"):
        save(path, checkpoint)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_a_file_size_limit_leaves_the_old_file(tmp_path):
    path = tmp_path / "m"
    write_atomically(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write_atomically(path, b"new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["m"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_atomically(tmp_path / "nowhere" / "m", b"new")


def test_every_truncation_is_refused_in_one_line(tmp_path, checkpoint):
    path, cut = tmp_path / "m", tmp_path / "cut"
    save(path, checkpoint)
    data = path.read_bytes()
    for size in [0, 1, 7, 8, 9, 100, len(data) // 2, len(data) - 1]:
        cut.write_bytes(data[:size])
        with pytest.raises(UserError, match="damaged or not a checkpoint") as caught:
            load(cut)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "not a checkpoint of theano_rnn"),
        ({"other": "1"}, "not a checkpoint of theano_rnn"),
        ({KEY: "{"}, "settings cannot be read"),
        ({KEY: "[]"}, "settings cannot be read"),
        ({KEY: "{}"}, "settings cannot be read"),
        ({KEY: json.dumps({"format_version": 2})}, "newer theano_rnn"),
        ({KEY: json.dumps({"format_version": "x"})}, "newer theano_rnn"),
        ({KEY: json.dumps({"format_version": 1})}, "damaged checkpoint"),
        ({KEY: json.dumps({"format_version": 1, "settings": {}, "vocabulary": 3})}, "damaged checkpoint"),
    ],
)
def test_other_safetensors_files_are_refused(tmp_path, metadata, message):
    path = tmp_path / "other.safetensors"
    safetensors.numpy.save_file({"x": np.zeros(3)}, path, metadata)
    with pytest.raises(UserError, match=message):
        load(path)


def test_a_missing_file_and_a_folder_are_said_plainly(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


def test_values_are_copies_and_come_back_by_assign():
    params = {"W": Shared(np.ones((2, 3)))}
    values = values_of(params)
    values["W"][0, 0] = 7
    assert params["W"].get_value()[0, 0] == 1
    assign(params, values)
    assert params["W"].get_value()[0, 0] == 7


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "tensors do not fit: W"),
        ({"W": np.ones((2, 3)), "b": np.ones(1)}, "tensors do not fit: b"),
        ({"W": np.ones((3, 2))}, "W must be float64"),
        ({"W": np.ones((2, 3), "float32")}, "W must be float64"),
    ],
)
def test_tensors_that_do_not_fit_change_nothing(values, message):
    params = {"W": Shared(np.zeros((2, 3)))}
    with pytest.raises(UserError, match=message):
        assign(params, values)
    assert not params["W"].get_value().any()
