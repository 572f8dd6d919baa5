"""Training with kernels, without and in other precisions: the numbers, and exact resume."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ENGINES
from tiny_runs import TINY, Commands, log_of, wait_for

from theano_rnn.engine import kernels
from theano_rnn.learning.checkpoint import load

pytest.importorskip("jax")
pytestmark = pytest.mark.skipif(kernels.extension() is None, reason="there are no kernels here")

ROOT = Path(__file__).parents[2]
BOUND = 1e-5  # relative, of losses


@pytest.fixture
def calls(monkeypatch):
    """The kinds of kernels that are traced."""
    from theano_rnn.engine import windows

    found, call = [], windows.call
    monkeypatch.setattr(windows, "call", lambda window, *rest: (found.append(window.kind), call(window, *rest))[1])
    return found


@pytest.fixture
def commands(tmp_path, monkeypatch, capsys, calls):
    monkeypatch.setenv(kernels.VARIABLE, "auto")  # a command that chooses none changes it, until the test ends
    return Commands(tmp_path, monkeypatch, capsys, engine="jax")


def epochs(checkpoint):
    lines = Path(checkpoint).with_suffix(".jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if "epoch" in record]


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_an_interrupted_run_is_exact_with_kernels_and_near_one_without(commands, calls, cell):
    arguments = ["--cell", cell, "--num-layers", "2", "--device", "cpu", "--test", "text.txt"]
    commands.train(*arguments, checkpoint="whole.safetensors")
    assert set(calls) == {f"{cell}_forward", f"{cell}_backward"}
    commands.train(*arguments, "--max-seconds", "1e-9", checkpoint="cut.safetensors")
    assert load("cut.safetensors").progress["step"] == 1
    result = commands("train", "--resume", "--device", "cpu", "--checkpoint", "cut.safetensors")
    assert result.status == 0, result.err
    assert Path("cut.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()
    assert log_of("cut.safetensors") == log_of("whole.safetensors")

    calls.clear()
    commands.train(*arguments, "--kernels", "none", checkpoint="none.safetensors")
    assert not calls
    for mine, other in zip(epochs("whole.safetensors"), epochs("none.safetensors"), strict=True):
        assert (mine["kernels"], other["kernels"]) == ("auto", "none")
        for name in ("train_loss", "valid_loss"):
            np.testing.assert_allclose(mine[name], other[name], rtol=BOUND)


@pytest.mark.slow
def test_a_run_in_bfloat16_is_resumed_in_it(commands, calls):
    has_unit = bool(kernels.extension().bfloat16_unit())  # else training does without kernels
    arguments = ["--device", "cpu", "--precision", "bfloat16"]
    commands.train(*arguments, checkpoint="whole.safetensors")
    commands.train(*arguments, "--max-seconds", "1e-9", checkpoint="cut.safetensors")
    result = commands("train", "--resume", "--device", "cpu", "--checkpoint", "cut.safetensors")
    assert result.status == 0, result.err
    assert Path("cut.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()
    assert any(kind.endswith("backward") for kind in calls) == has_unit

    commands.train("--device", "cpu", checkpoint="float32.safetensors")
    mine, other = epochs("whole.safetensors"), epochs("float32.safetensors")
    assert [record["kernels"] for record in (mine[0], other[0])] == ["auto" if has_unit else "none", "auto"]
    losses = [record["train_loss"] for record in (mine[-1], other[-1])]
    assert losses[0] != losses[1]
    np.testing.assert_allclose(*losses, rtol=1e-2)


@pytest.mark.skipif("c" not in ENGINES, reason="engine c does not run here")
def test_engine_c_refuses_another_precision_than_float32(commands):
    commands.engine = "c"
    result = commands("train", *TINY, "--precision", "bfloat16", "--checkpoint", "c.safetensors")
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert "--precision bfloat16 needs --engine jax: add --engine jax, or leave out --precision" in result.err


@pytest.mark.slow
def test_killed_and_resumed_with_kernels_is_exact(commands):
    """As a user has it: processes of their own, one of them killed after its first epoch."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    line = [sys.executable, str(ROOT / "scripts" / "train.py"), "--engine", "jax", "--device", "cpu", "--no-curves"]
    begin = [*line, *TINY, "--hidden-size", "32", "--epochs", "3"]
    subprocess.run([*begin, "--checkpoint", "whole.safetensors"], env=environment, check=True, capture_output=True)
    process = subprocess.Popen([*begin, "--checkpoint", "cut.safetensors"], env=environment, stderr=subprocess.DEVNULL)
    wait_for(Path("cut.safetensors"), seconds=600.0)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resume = [*line, "--resume", "--checkpoint", "cut.safetensors"]
    subprocess.run(resume, env=environment, check=True, capture_output=True)
    assert Path("cut.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()
    assert {record["kernels"] for record in epochs("whole.safetensors")} == {"auto"}
