"""Checkpoints: what is written comes back, whole or not at all, and nothing else is taken for one."""

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

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
        progress={"step": 12, "best_value": 0.5, "loss_sum": 0.1 + 0.2, "records": [{"valid_loss": 1 / 3}],
                  "learning_rate": 0.1, "epoch": 1, "best_step": 9, "is_finished": False},
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
    assert hashlib.sha256(data).hexdigest() == "802559290b18a8f32eb47e286c26756e2a9f3f1fd81bc32114e94c63ec95d40d"
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
        ({KEY: "[" * 100_000}, "settings cannot be read"),
        ({KEY: '{"format_version": 1, "x": ' + "[" * 100_000 + "]" * 100_000 + "}"}, "settings cannot be read"),
        ({KEY: '{"checksum": "00000000", "format_version": 1}'}, "checksum of its settings is wrong"),
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


def rewritten(path, *, tensors=None, **changed):
    """Write the checkpoint at `path` again without checksums, as older versions did, with other tensors or facts."""
    with safetensors.safe_open(path, "np") as file:
        old = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        facts = json.loads(file.metadata()[KEY])
    del facts["checksum"], facts["tensors"]
    safetensors.numpy.save_file(old | (tensors or {}), path, {KEY: json.dumps(facts | changed)})


def test_a_flipped_bit_anywhere_is_noticed(tmp_path, checkpoint):
    """One of each byte, and all bits of some; for use, those that are read."""
    path, rng = tmp_path / "m", np.random.default_rng(0)
    checkpoint.carried = checkpoint.carried[:2]
    save(path, checkpoint)
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    for position in range(len(data)):
        for bit in range(8) if position % 50 == 0 else rng.integers(8, size=1):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            for resume in (True, False) if position < start else (True,):
                with pytest.raises(UserError, match=r"damaged|not a checkpoint|newer") as caught:
                    load(path, resume=resume)
                assert "\n" not in str(caught.value)


def test_a_damaged_weight_is_named_by_all_that_read_it(tmp_path, checkpoint):
    path = tmp_path / "m"
    save(path, checkpoint)
    data = path.read_bytes()
    for group, is_noticed in (("best", (True, True)), ("optimizer", (True, False))):
        name = {"best": "embedding", "optimizer": "m.embedding"}[group]
        position = data.index(getattr(checkpoint, group)[name].tobytes())
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        for resume, expected in zip((True, False), is_noticed):
            if expected:
                with pytest.raises(UserError, match=f"damaged checkpoint: the checksum of {group}/{name} is wrong"):
                    load(path, resume=resume)
            else:
                load(path, resume=resume)


def test_files_without_checksums_are_accepted(tmp_path, checkpoint):
    """Those of older versions; also those that other programs write."""
    path = tmp_path / "m"
    save(path, checkpoint)
    rewritten(path, fingerprint="other")
    assert load(path, resume=True).fingerprint == "other"
    assert load(path).best["embedding"].tobytes() == checkpoint.best["embedding"].tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("group", ["last", "best"])
def test_weights_that_are_not_finite_are_refused(tmp_path, checkpoint, group, value):
    path = tmp_path / "m"
    getattr(checkpoint, group)["layer0.W_hh"][1, 2] = value
    save(path, checkpoint)
    with pytest.raises(UserError, match=rf"not finite numbers \({group}/layer0.W_hh\), because its training diverged"):
        load(path, resume=True)


@pytest.mark.parametrize("facts", [{"settings": []}, {"progress": 3}, {"settings": None}])
def test_facts_of_another_kind_are_damage(tmp_path, checkpoint, facts):
    path = tmp_path / "m"
    save(path, checkpoint)
    rewritten(path, **facts)
    with pytest.raises(UserError, match="must be an object"):
        load(path)


def test_a_link_stays_and_its_target_is_replaced(tmp_path, checkpoint):
    (tmp_path / "disk").mkdir()
    (tmp_path / "m").symlink_to("disk/m")
    for step in (1, 2):
        checkpoint.progress["step"] = step
        save(tmp_path / "m", checkpoint)
        assert (tmp_path / "m").is_symlink() and load(tmp_path / "disk" / "m").progress["step"] == step
    assert os.listdir(tmp_path / "disk") == ["m"]


STRESS = """
import sys
from theano_rnn.learning.checkpoint import load, save
number, source, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
checkpoint = load(source, resume=True)
for step in range(60):
    checkpoint.progress["step"] = 1000 * number + step
    save(path, checkpoint)
    load(path, resume=True)
"""


@pytest.mark.slow
def test_several_processes_save_and_read_one_file(tmp_path, checkpoint):
    """With one name for all temporary files, a third of such saves failed, and some readers saw torn files."""
    checkpoint.last = {name: np.tile(value, (500, 10)) for name, value in checkpoint.last.items()}
    checkpoint.best = {name: value + 1 for name, value in checkpoint.last.items()}
    save(tmp_path / "source", checkpoint)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    arguments = [str(tmp_path / "source"), str(tmp_path / "m")]
    processes = [subprocess.Popen([sys.executable, "-c", STRESS, str(number), *arguments], env=environment,
                                  stderr=subprocess.PIPE, text=True) for number in range(3)]  # fmt: skip
    results = [(process.communicate()[1], process.returncode) for process in processes]
    assert results == [("", 0)] * 3
    assert load(tmp_path / "m", resume=True).progress["step"] % 1000 == 59
    assert sorted(os.listdir(tmp_path)) == ["m", "source"]


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
