"""Locks: one holder at a time, none that outlives its process, and nothing left behind."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from theano_rnn.learning import atomic_files
from theano_rnn.learning.atomic_files import lock, remove_unfinished, write_atomically
from theano_rnn.settings.base import UserError

STRESS = """
import os, sys
from theano_rnn.learning.atomic_files import lock
from theano_rnn.settings.base import UserError
held = 0
for _ in range(300):
    try:
        with lock("model"):
            os.close(os.open("alone", os.O_CREAT | os.O_EXCL))  # fails if another process holds the lock too
            os.unlink("alone")
            held += 1
    except UserError as error:
        assert "model is in use" in str(error)
print(held)
"""


def test_only_one_of_several_processes_holds_a_lock(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    processes = [subprocess.Popen([sys.executable, "-c", STRESS], cwd=tmp_path, env=environment, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]  # fmt: skip
    results = [process.communicate() for process in processes]
    assert all(int(out) > 0 and not err for out, err in results), results
    assert os.listdir(tmp_path) == []


def test_a_lock_names_its_holder_and_leaves_nothing(tmp_path):
    path = tmp_path / "new" / "folder" / "m"
    with lock(path):
        assert os.listdir(path.parent) == ["m.lock"]
        with pytest.raises(UserError, match=f"m is in use: process {os.getpid()} on .* is training it"), lock(path):
            pass
    assert os.listdir(tmp_path) == []
    with lock(path):
        write_atomically(path, b"new")
    assert os.listdir(path.parent) == ["m"]


def test_a_link_and_its_target_have_one_lock(tmp_path):
    (tmp_path / "link").symlink_to("m")
    with lock(tmp_path / "m"), pytest.raises(UserError, match="in use"), lock(tmp_path / "link"):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_a_file_system_without_locks_is_used_without(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic_files.fcntl, "flock", refuse)
    with lock(tmp_path / "m"):
        write_atomically(tmp_path / "m", b"new")
    assert set(os.listdir(tmp_path)) <= {"m", "m.lock"}


def test_a_folder_that_cannot_be_written_is_left_to_those_who_write(tmp_path):
    (tmp_path / "file").write_text("")
    with lock(tmp_path / "file" / "m"), lock("/proc/nothing/m"), lock(tmp_path / ("x" * 300)):
        pass


def test_only_temporary_files_of_this_file_are_removed(tmp_path):
    for name in ("m.0123abcd.unfinished", "m.mine.unfinished", "m.jsonl.0123abcd.unfinished", "other.unfinished", "m"):
        (tmp_path / name).write_text("")
    remove_unfinished(tmp_path / "m")
    assert sorted(os.listdir(tmp_path)) == ["m", "m.jsonl.0123abcd.unfinished", "m.mine.unfinished", "other.unfinished"]
