"""The commands on engine jax, each in a process of its own, and runs and checkpoints that change their engine.

On one engine an interrupted run ends with the bytes of one that was not; on two, in float32, with the same numbers to
the bounds below.
"""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ENGINES
from tiny_runs import TINY, Commands, log_of

from theano_rnn.learning.checkpoint import load

pytest.importorskip("jax")

ROOT = Path(__file__).parents[2]
BOUND = 1e-4  # relative, of losses and scores
UNSET = ("AESARA_FLAGS", "JAX_COMPILATION_CACHE_DIR")  # each process compiles for itself, as a user's does
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in UNSET} | {"PYTHONPATH": str(ROOT)}
ARGUMENTS = [*TINY, "--learning-rate", "0.05", "--test", "text.txt"]
both_engines = pytest.mark.skipif(len(ENGINES) < 2, reason="one engine only can run here")


def by_xla(folder, *commands):
    """Standard output of each command, all at once, each a process with engine jax that must succeed."""
    flags = ["--engine", "jax", "--device", "cpu", "--threads", "1"]

    def output_of(command):
        name, *arguments = command
        line = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *arguments, *flags]
        done = subprocess.run(line, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
        assert done.returncode == 0 and "Warning" not in done.stderr, done.stderr
        return done.stdout

    with ThreadPoolExecutor() as pool:
        return list(pool.map(output_of, commands))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs by each engine: whole, and cut short after the first step, the latter resumed by each engine.

    ``c.safetensors``, ``jax.safetensors``; ``jax-c.safetensors`` was begun by jax and ended by c, and so on.
    """
    folder, cut = tmp_path_factory.mktemp("engines"), ["--max-seconds", "1e-6"]
    begin = ["train", *ARGUMENTS, "--checkpoint"]
    with pytest.MonkeyPatch.context() as monkeypatch:
        by_c = Commands(folder, monkeypatch, SimpleNamespace(readouterr=lambda: ("", "")), engine="c")
        interrupted = [f"jax-{engine}.safetensors" for engine in ENGINES]
        by_xla(folder, [*begin, "jax.safetensors"], [*begin, interrupted[0], *cut])
        if len(ENGINES) == 2:
            shutil.copy(interrupted[0], interrupted[1])
            by_c.train(*ARGUMENTS, checkpoint="c.safetensors")
            by_c.train(*ARGUMENTS, *cut, checkpoint="c-jax.safetensors")
            interrupted.append("c-jax.safetensors")
        for name in interrupted:
            assert load(name, resume=True).progress["step"] == 1
        resume = ["train", "--resume", "--checkpoint"]
        by_xla(folder, *([*resume, name] for name in interrupted if name.endswith("-jax.safetensors")))
        if len(ENGINES) == 2:
            assert by_c(*resume, "jax-c.safetensors").status == 0
    return folder


@pytest.fixture
def by_c(folder, monkeypatch, capsys):
    return Commands(folder, monkeypatch, capsys, engine="c")


def losses_of(log):
    """All losses and perplexities of a log."""
    return [value for record in log for name, value in record.items() if name.endswith(("loss", "perplexity"))]


def test_a_run_interrupted_and_resumed_on_xla_ends_with_the_bytes_of_one_that_was_not(folder):
    assert (folder / "jax-jax.safetensors").read_bytes() == (folder / "jax.safetensors").read_bytes()
    log = log_of(folder / "jax.safetensors")
    assert log_of(folder / "jax-jax.safetensors") == log
    assert len(log) == 3 and log[1]["valid_loss"] < log[0]["valid_loss"]


@both_engines
@pytest.mark.parametrize("name", ["jax", "c-jax", "jax-c"])
def test_a_run_that_another_engine_made_in_part_or_whole_is_that_of_the_c_engine(folder, name):
    ours, theirs = (load(folder / f"{run}.safetensors", resume=True) for run in (name, "c"))
    for kind in ("last", "best", "optimizer"):
        arrays, expected = getattr(ours, kind), getattr(theirs, kind)
        assert list(arrays) == list(expected)
        for key, value in expected.items():
            assert (arrays[key].dtype, arrays[key].shape) == (value.dtype, value.shape)
            if kind != "optimizer":
                np.testing.assert_allclose(arrays[key], value, rtol=1e-3, atol=1e-4)
    for part in ("settings", "vocabulary", "fingerprint"):
        assert getattr(ours, part) == getattr(theirs, part)
    log, expected_log = log_of(folder / f"{name}.safetensors"), log_of(folder / "c.safetensors")
    assert [list(record) for record in log] == [list(record) for record in expected_log]
    assert losses_of(log) == pytest.approx(losses_of(expected_log), rel=BOUND)
    assert log[-1]["tokens"] == expected_log[-1]["tokens"]


def test_scores_by_xla_are_the_loss_that_training_measured_on_either_engine(folder):
    names = ["jax", "c"][: len(ENGINES)]
    columns = str(load(folder / "jax.safetensors").settings["training"]["batch_size"])
    outputs = by_xla(folder, *(["score", f"{name}.safetensors", "text.txt", "--stream", "--columns", columns]
                               for name in names))  # fmt: skip
    for name, out in zip(names, outputs):
        ours, last = json.loads(out), log_of(folder / f"{name}.safetensors")[-1]
        assert ours["loss"] == pytest.approx(last["test_loss"], rel=0 if name == "jax" else BOUND)
        assert (ours["tokens"], ours["unk_rate"]) == (last["tokens"], last["unk_rate"])


@both_engines
def test_scores_of_sentences_by_xla_are_those_of_the_c_engine(folder, by_c):
    command = ["score", "c.safetensors", "text.txt"]
    ours, theirs = ([line.split("\t") for line in out.splitlines()]
                    for out in (*by_xla(folder, command), by_c(*command).out))  # fmt: skip
    assert len(ours) == 60
    assert [row[1::2] for row in ours] == [row[1::2] for row in theirs]
    for place in (0, 2):
        np.testing.assert_allclose(*([float(row[place]) for row in rows] for rows in (ours, theirs)), rtol=BOUND)


def test_text_by_xla_is_the_same_every_time_and_that_of_the_c_engine(folder, by_c):
    command = ["generate", "jax.safetensors", "--num-samples", "5", "--prompt", "Emma"]
    first, second = by_xla(folder, command, command)
    assert first == second
    assert len(set(first.splitlines())) == 5 and all(line.startswith("Emma") for line in first.splitlines())
    if len(ENGINES) == 2:
        assert by_c(*command).out == first


def test_info_says_the_same_of_a_checkpoint_whatever_engine_made_it(folder, by_c):
    result = by_c("info", "jax.safetensors")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith("jax.safetensors: language model, finished\nstep 10, 2 epochs done")
    if len(ENGINES) == 2:
        theirs = by_c("info", "c.safetensors").out.splitlines()
        numbered = ("  epoch", "  step", "c.", "jax.")
        ours = [line for line in result.out.splitlines() if not line.startswith(numbered)]
        assert ours == [line for line in theirs if not line.startswith(numbered)]


def test_a_gpu_that_is_not_there_is_missed_before_any_text_is_read(tmp_path):
    import jax

    if jax.default_backend() == "gpu":
        pytest.skip("there is a GPU")
    line = [sys.executable, str(ROOT / "scripts" / "train.py"), "--device", "gpu", "--train", "no_such_file.txt"]
    done = subprocess.run(line, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 2 and "JAX sees no gpu" in done.stderr and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
