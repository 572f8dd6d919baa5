"""Compiled functions are kept for the next run, for this kind of machine, and compiled before they are needed."""

import os
import time
from types import SimpleNamespace

import numpy as np
import pytest

from theano_rnn.cli import compilation_cache, compiling_ahead
from theano_rnn.cli.compilation_cache import FOLDER_VARIABLE, evict, keep_compiled_code
from theano_rnn.cli.compiling_ahead import AheadCompiler


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("THEANO_RNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(compilation_cache, "sys", SimpleNamespace(modules={}))  # JAX is not imported yet
    yield tmp_path / "cache"
    os.environ.pop(FOLDER_VARIABLE, None)


def test_a_folder_is_for_one_kind_of_machine_and_number_of_threads(cache, monkeypatch):
    named = set()
    for threads in ("1", "2", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        os.environ.pop(FOLDER_VARIABLE, None)
        keep_compiled_code()
        named.add(os.environ[FOLDER_VARIABLE])
    assert len(named) == 2
    assert {str(path) for path in cache.iterdir()} == named
    assert all(path.stat().st_mode & 0o777 == 0o700 for path in cache.iterdir())  # it holds code


def test_the_users_folder_wins(cache, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, "mine")
    keep_compiled_code()
    assert os.environ[FOLDER_VARIABLE] == "mine" and not cache.exists()


def test_a_folder_that_cannot_be_made_or_a_disabled_cache_is_no_error(cache, monkeypatch):
    cache.write_text("a file")
    keep_compiled_code()
    cache.unlink()
    monkeypatch.setenv("THEANO_RNN_CACHE_MB", "0")
    keep_compiled_code()
    assert FOLDER_VARIABLE not in os.environ and not cache.exists()


def test_the_least_recently_used_functions_are_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr(compilation_cache, "MAX_BYTES", 250)
    (tmp_path / "xla-1").mkdir()
    (tmp_path / "text").mkdir()
    paths = [tmp_path / "xla-1" / name for name in "abc"] + [tmp_path / "text" / "old"]
    for age, path in enumerate(paths):
        path.write_bytes(bytes(100))
        os.utime(path, (time.time() - 100 * (age + 1),) * 2)
    evict(tmp_path)
    assert [path.exists() for path in paths] == [True, True, False, True]


class Batch(SimpleNamespace):
    num_columns = 2


def test_the_shapes_of_later_batches_are_compiled_in_time(monkeypatch):
    monkeypatch.setattr(compiling_ahead, "FIRST_STEP", 2)
    seen = []
    train = SimpleNamespace(compile_for=lambda *arguments: seen.append([np.shape(each) for each in arguments]))
    model = SimpleNamespace(config=SimpleNamespace(dtype="float32"), initial_state=lambda n: (np.zeros((n, 3)),))
    batches = [Batch(arrays=(np.zeros((time, 2)),)) for time in (4, 4, 4, 7)]
    ahead = AheadCompiler(train, lambda epoch: batches if epoch == 5 else [], model)
    ahead.on_step(5, 1)
    assert ahead.thread is None
    ahead.on_step(5, 2)
    ahead.thread.join(60)
    ahead.close()
    assert seen == [[(4, 2), (2, 3), ()], [(7, 2), (2, 3), ()]]


def test_whole_texts_are_compiled_for_from_the_first_step_on_the_last_shapes_first():
    seen = []
    train = SimpleNamespace(compile_for=lambda first, *rest: seen.append(len(first)))
    model = SimpleNamespace(config=SimpleNamespace(dtype="float32"), initial_state=lambda n: (), prepared_inputs=())
    lengths = [8, 8, 16, 8, 16, 32, 24, 16]

    class Batches(list):
        plan = [(None, length, 2) for length in lengths]  # noqa: RUF012

    batches = Batches(Batch(arrays=(np.zeros((length, 2)),)) for length in lengths)
    ahead = AheadCompiler(train, lambda epoch: batches, model, has_texts=True)
    ahead.on_step(0, 1)
    ahead.thread.join(60)
    assert seen == [24, 32, 16, 8]
    model.prepared_inputs = (object(),)  # they may have other shapes in each batch
    assert ahead.in_order(batches, range(1, 8)) == [6, 5, 2, 1, *range(1, 8)]


def test_without_a_compiler_for_shapes_nothing_happens():
    ahead = AheadCompiler(lambda *arguments: arguments, lambda epoch: [], None)
    for _ in range(2 * compiling_ahead.FIRST_STEP):
        ahead.on_step(0, 1)
    ahead.close()
    assert ahead.thread is None
