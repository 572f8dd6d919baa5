"""Interrupted anywhere and resumed, a run ends with the bytes of one that was not; a full disk harms nothing.

Copies of this process train and are ended: by a signal at a line of the program, in the middle of a file, at a random
moment. They save after every step, so that many moments are inside a checkpoint.
"""

import functools
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ENGINES
from tiny_runs import SIZES, TINY, Commands, log_of, run, sentences, status_of, wait_for, without_compiling

import theano_rnn
from theano_rnn.cli import session
from theano_rnn.learning import atomic_files
from theano_rnn.learning.checkpoint import load
from theano_rnn.training import fit

WHOLE, MODEL = "whole.safetensors", "model.safetensors"
PACKAGE = str(Path(theano_rnn.__file__).parent)
pytestmark = pytest.mark.filterwarnings("ignore:os.fork")  # JAX, if other tests loaded it; copies do not use it
WATCHED = tuple(
    f"{PACKAGE}/{name}.py"
    for name in ("learning/atomic_files", "learning/checkpoint", "training", "cli/run_files", "cli/session",
                 "cli/train")
)
assert all(map(os.path.isfile, WATCHED))


@pytest.fixture
def commands(tmp_path, monkeypatch, capsys):
    return Commands(tmp_path, monkeypatch, capsys, engine="c")


def saving_always():
    """Make this process save after every step; called in copies only."""
    session.fit = functools.partial(fit, save_seconds=0.0)


def until_finished(commands, *arguments):
    """Resume, or begin again where nothing was saved, until the run is finished."""
    begin = ["train", *TINY, *arguments, "--checkpoint", MODEL]
    result = commands("train", "--resume", "--checkpoint", MODEL) if os.path.exists(MODEL) else commands(*begin)
    assert (result.status, result.err) == (0, "")


def assert_exact():
    """The run is the uninterrupted one: every byte of the checkpoint and, but for the clock, of the log."""
    assert Path(MODEL).read_bytes() == Path(WHOLE).read_bytes()
    assert log_of(MODEL) == log_of(WHOLE)


def clean():
    """Remove a run."""
    for path in Path.cwd().glob("model*"):
        path.unlink()


def at_line(number, action):
    """What makes a process do `action` before it executes its `number`-th line of the watched files."""
    left = number

    def trace(frame, event, argument):
        nonlocal left
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                action(frame)
        return trace

    def begin():
        saving_always()
        sys.settrace(trace)

    return begin


def executed_lines(commands):
    """The watched lines that a whole run executes, one after another, as (function, line number)."""
    lines = []

    def trace(frame, event, argument):
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line":
            lines.append((frame.f_code.co_name, frame.f_lineno))
        return trace

    def action():
        saving_always()
        sys.settrace(trace)
        status = run("train", *TINY, "--checkpoint", MODEL, engine="c")
        sys.settrace(None)
        Path("lines.json").write_text(json.dumps(lines))
        return status

    assert status_of(commands.child(action)) == 0
    clean()
    return [tuple(line) for line in json.loads(Path("lines.json").read_text())]


def test_killed_before_any_line_that_saves_and_resumed_is_exact(commands):
    """Every line of writing a checkpoint and of the log once, at a random time; and some lines anywhere."""
    commands.train(checkpoint=WHOLE)
    lines, rng = executed_lines(commands), random.Random(0)
    saving = {"write_atomically", "lock", "new_run", "keep_previous", "append", "finish", "close_epoch"}
    assert saving < {function for function, _ in lines}
    moments = {line: [i for i, other in enumerate(lines, 1) if other == line] for line in set(lines)}
    chosen = [rng.choice(moments[line]) for line in sorted(moments) if line[0] in saving]
    chosen += rng.sample(range(1, len(lines)), 10)
    assert len(chosen) > 60
    for number in chosen:
        before = at_line(number, lambda frame: os.kill(os.getpid(), signal.SIGKILL))
        result = commands.in_child("train", *TINY, "--checkpoint", MODEL, before=before)
        assert result.status == -signal.SIGKILL, (number, lines[number - 1], result)
        until_finished(commands)
        assert_exact()
        clean()


class CutShort:
    """A file that its process dies in, after a share of what it was to write."""

    def __init__(self, file, share):
        self.file, self.share = file, share

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, data):
        self.file.write(data[: int(self.share * len(data))])
        self.file.flush()
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9999])
@pytest.mark.parametrize("number", [1, 2, 7, 14])
def test_killed_within_a_file_and_resumed_is_exact(commands, number, share):
    commands.train(checkpoint=WHOLE)
    opened = []

    def fragile(path, mode):
        opened.append(path)
        file = open(path, mode)  # noqa: SIM115 - the caller closes it
        return CutShort(file, share) if "x" in mode and len(opened) == number else file

    def before():
        saving_always()
        atomic_files.open = fragile

    assert commands.in_child("train", *TINY, "--checkpoint", MODEL, before=before).status == -signal.SIGKILL
    until_finished(commands)
    assert_exact()
    assert not list(Path.cwd().glob("*.unfinished"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_to_stop_at_any_line_and_resumed_is_exact(commands, number):
    commands.train(checkpoint=WHOLE)
    lines, rng = executed_lines(commands), random.Random(number)
    for moment in rng.sample(range(1, len(lines)), 12):
        before = at_line(moment, lambda frame: os.kill(os.getpid(), number))
        result = commands.in_child("train", *TINY, "--checkpoint", MODEL, before=before)
        assert result.status in (0, 128 + number, -number), (moment, lines[moment - 1], result)
        assert result.err in ("", "theano-rnn train: interrupted\n")
        assert not list(Path.cwd().glob("*.unfinished"))
        until_finished(commands)
        assert_exact()
        clean()


@pytest.mark.parametrize("batching", ["stream", "sentences"])
def test_killed_again_and_again_at_random_moments_is_exact(commands, batching):
    arguments = ["--batching", batching, "--epochs", "12"]
    commands.train(*arguments, checkpoint=WHOLE)
    rng, steps = random.Random(batching), 0
    for _ in range(5):
        how = ["--resume"] if os.path.exists(MODEL) else [*TINY, *arguments]

        def action(how=how):
            saving_always()
            return run("train", *how, "--checkpoint", MODEL, engine="c")

        pid = commands.child(action)
        wait_for(Path(MODEL))
        time.sleep(rng.uniform(0.02, 0.12))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        before, steps = steps, load(MODEL, resume=True).progress["step"]
        assert steps >= before
    until_finished(commands)
    assert_exact()


def test_a_second_signal_ends_at_once_and_harms_nothing(commands):
    commands.train(checkpoint=WHOLE)
    numbers = [i for i, line in enumerate(executed_lines(commands), 1) if line[0] == "update"]

    def twice(frame):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    result = commands.in_child("train", *TINY, "--checkpoint", MODEL, before=at_line(numbers[30], twice))
    assert (result.status, result.err) == (130, "theano-rnn train: interrupted\n")
    until_finished(commands)
    assert_exact()


@pytest.mark.parametrize("is_new", [True, False])
def test_a_full_disk_is_one_line_and_status_1_and_the_checkpoint_stays(commands, is_new):
    commands.train(checkpoint=WHOLE)
    commands.train("--max-seconds", "1e-9")
    model = Path(MODEL).read_bytes()

    def before():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    result = commands.in_child("train", *(TINY if is_new else ["--resume"]), "--checkpoint", MODEL, before=before)
    assert len(model) > 2000
    assert result.status == 1, result
    assert result.err.count("\n") == 1 and "File too large" in result.err and MODEL in result.err
    assert Path("model.1.safetensors" if is_new else MODEL).read_bytes() == model
    assert not list(Path.cwd().glob("*.unfinished"))
    until_finished(commands)
    assert_exact()


def test_programs_of_their_own_stopped_by_signals_end_exactly(commands, tmp_path):
    """Without copies: scripts/train.py, stopped by Ctrl-C, resumed and stopped by SIGTERM, resumed here."""
    commands.engine = ENGINES[-1]  # jax starts sooner
    (tmp_path / "text.txt").write_text(" ".join(sentences(1500)))
    arguments = [*SIZES, "--batch-size", "2", "--bptt-steps", "3", "--epochs", "1", "--train", "text.txt"]
    assert commands("train", *arguments, "--checkpoint", WHOLE).status == 0
    script = Path(PACKAGE).parent / "scripts" / "train.py"
    for number, how in ((signal.SIGINT, arguments), (signal.SIGTERM, ["--resume"])):
        line = [sys.executable, script, *how, "--engine", commands.engine, "--checkpoint", MODEL]
        pipe = subprocess.PIPE
        with subprocess.Popen(line, text=True, stdout=pipe, stderr=pipe) as process:
            assert any(line.startswith("step ") for line in process.stdout)
            process.send_signal(number)
            out, err = process.communicate()
        assert (process.returncode, without_compiling(err)) == (128 + number, "")
        assert out.splitlines()[-1].startswith("stopped after ")
    until_finished(commands)
    assert_exact()
