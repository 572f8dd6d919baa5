"""The cache of tokenized files: what it stores, and that its faults never do harm."""

import errno
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from theano_rnn.settings.cache_folder import cache_folder, max_cache_bytes
from theano_rnn.text import corpus_cache
from theano_rnn.text.corpus_cache import IdFile, load, store, temporary_folders

IDS, TYPES = np.array([1, 2, 0, 1, 0], np.int32), ["</s>", "a", "b"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("THEANO_RNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("THEANO_RNN_CACHE_MB", raising=False)
    return tmp_path / "cache"


def test_what_is_stored_is_loaded(folder):
    assert load("key") is None
    store("key", IDS, TYPES)
    ids, types = load("key")
    assert (ids.tolist(), ids.dtype, types) == (IDS.tolist(), np.int32, TYPES)
    assert [entry.name for entry in folder.iterdir()] == ["key"]


def test_storing_again_keeps_the_first(folder):
    store("key", IDS, TYPES)
    store("key", IDS, TYPES)
    assert [entry.name for entry in folder.iterdir()] == ["key"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ids.bin", b""),
        ("ids.bin", b"123"),
        ("ids.bin", IDS[:4].tobytes()),
        ("ids.bin", IDS[::-1].tobytes()),
        ("types.json", b""),
        ("types.json", b"[]"),
        ("types.json", b"{}"),
        ("types.json", b"[" * 100_000 + b"]" * 100_000),
        ("types.json", b'{"types": [1], "check": []}'),
        ("types.json", b'{"types": ["</s>", "a", "c"], "check": [5, 0, 0]}'),
    ],
)
def test_a_damaged_entry_is_removed(folder, name, content):
    store("key", IDS, TYPES)
    (folder / "key" / name).write_bytes(content)
    assert load("key") is None
    assert not (folder / "key").exists()


def test_the_longest_unused_give_way(folder, monkeypatch):
    store("a", IDS, TYPES)
    size = sum(file.stat().st_size for file in (folder / "a").iterdir())
    monkeypatch.setenv("THEANO_RNN_CACHE_MB", str(2.5 * size / 1e6))  # room for two
    for age, key in enumerate("abc"):
        store(key, IDS, TYPES)
        if (folder / key).exists():
            os.utime(folder / key, (1000 + age, 1000 + age))
        if key == "b":
            load("a")
            os.utime(folder / "a", (2000, 2000))
    assert sorted(entry.name for entry in folder.iterdir()) == ["a", "c"]


def test_an_entry_larger_than_the_cache_is_not_stored(folder, monkeypatch):
    monkeypatch.setenv("THEANO_RNN_CACHE_MB", "0.00001")
    store("key", IDS, TYPES)
    assert not folder.exists()


def test_what_a_crash_left_is_removed_after_a_day(folder):
    for name, age in (("writing-old", 2 * 86_400), ("writing-new", 60), ("something", 2 * 86_400)):
        (folder / name).mkdir(parents=True)
        os.utime(folder / name, (time.time() - age,) * 2)
    store("key", IDS, TYPES)
    assert sorted(entry.name for entry in folder.iterdir()) == ["key", "something", "writing-new"]


@pytest.mark.parametrize("megabytes", ["0", "-1", "many", "inf"])
def test_nothing_is_kept_without_room(folder, monkeypatch, megabytes):
    monkeypatch.setenv("THEANO_RNN_CACHE_MB", megabytes)
    store("key", IDS, TYPES)
    assert (max_cache_bytes(), cache_folder(), load("key"), folder.exists()) == (0, None, None, False)
    assert temporary_folders() == [Path(tempfile.gettempdir())]


def test_a_folder_that_cannot_be_made_does_no_harm(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("THEANO_RNN_CACHE", str(tmp_path / "file" / "cache"))
    store("key", IDS, TYPES)
    assert load("key") is None
    ids = IdFile()
    ids.append(IDS)
    assert ids.array().tolist() == IDS.tolist()


def test_the_folder_is_where_users_expect_it(monkeypatch):
    monkeypatch.delenv("THEANO_RNN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/theano_rnn")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/jane")
    assert cache_folder() == Path("/home/jane/.cache/theano_rnn")

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert cache_folder() is None


class FullDisk:
    """A file on a disk with room for 12 bytes."""

    def __init__(self, file):
        self.file = file

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, data):
        if self.file.tell() + len(data) > 12:
            self.file.write(data[: 12 - self.file.tell()])
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(data)

    def close(self):
        self.file.close()
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("num_full", [1, 2])
def test_ids_move_to_the_next_disk_when_one_is_full(folder, monkeypatch, num_full):
    make = tempfile.TemporaryFile
    made = []

    def temporary(dir):
        made.append(dir)
        return FullDisk(make(dir=dir)) if len(made) <= num_full else make(dir=dir)

    monkeypatch.setattr(corpus_cache.tempfile, "TemporaryFile", temporary)
    ids = IdFile()
    ids.append(np.array([1, 2], np.int32))
    if num_full == 2:
        with pytest.raises(OSError, match="No space left"):
            ids.append(np.array([3, 4], np.int32))
        ids.file.file.close()
    else:
        ids.append(np.array([3, 4], np.int32))
        assert ids.array().tolist() == [1, 2, 3, 4]
    assert made == [folder, Path(tempfile.gettempdir())]


def test_no_disk_at_all_is_an_error(monkeypatch):
    def refuse(dir):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(corpus_cache.tempfile, "TemporaryFile", refuse)
    with pytest.raises(PermissionError, match="Permission denied"):
        IdFile().append(IDS)


def test_no_ids_are_an_empty_array():
    empty = IdFile()
    assert empty.array().shape == (0,)
    empty.append(IDS[:0])
    assert empty.array().shape == (0,)
