"""Tiny runs of the commands, in this process and in copies of it, with models that are compiled once."""

import collections
import dataclasses
import functools
import importlib
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from conftest import ENGINES

from theano_rnn.cli.main import command
from theano_rnn.engine.kernels import resolve_kernels
from theano_rnn.learning.checkpoint import assign, values_of
from theano_rnn.settings.training import RegularizationConfig
from theano_rnn.training import Callback

ENGINE = ENGINES[-1]  # C takes long to compile
SIZES = ["--embedding-size", "3", "--hidden-size", "4"]
TINY = [*SIZES, "--preset", "none", "--batch-size", "4", "--bptt-steps", "20", "--epochs", "2", "--train", "text.txt"]
CLOCK = ("tokens_per_second", "seconds", "kernels")


def sentences(count, seed=0):
    """English of a kind: every sentence has one verb out of eight, so there is something to learn."""
    rng = np.random.default_rng(seed)
    verbs = ["saw", "met", "knew", "asked", "heard", "left", "found", "liked"]
    names, nouns = ["Emma", "Jane", "Anne"], ["house", "garden", "letter", "ball"]
    return [f"{rng.choice(names)} {verbs[i % 8]} the {rng.choice(nouns)}." for i in rng.permutation(count)]


def regularization_of(regularization=None, **options):
    """What a compiled function depends on: commands give all settings of the training."""
    names = [field.name for field in dataclasses.fields(RegularizationConfig)]
    return regularization and {name: getattr(regularization, name) for name in names}


class KeepsCompiled:
    """Mixed into a model: functions are compiled when first asked for and kept; `train` has a fresh optimizer then."""

    def compile(self, *names, progress=None, **options):
        known = self.__dict__.setdefault("known", {})
        regularization = regularization_of(**options)
        if regularization and not any(rate for name, rate in regularization.items() if name.endswith("dropout")):
            options["seed"] = 0  # which is that of dropout masks
        training = sorted({**options, "regularization": regularization}.items())
        key = repr((names, training, sorted(self.rate_factors), resolve_kernels("auto")))
        if key not in known:
            functions = super().compile(*names, progress=progress, **options)
            known[key] = functions, self.optimizer_state, values_of(self.optimizer_state), self.averages
        functions, optimizer_state, beginning, averages = known[key]
        if "train" in names:
            self.optimizer_state, self.averages = optimizer_state, averages
            assign(optimizer_state, beginning)
        return functions

    def scale_rates(self, names):
        known = self.__dict__.setdefault("known_factors", {})
        super().scale_rates(names)
        for name, variable in self.rate_factors.items():
            known.setdefault(name, variable).set_value(variable.get_value())
        self.rate_factors = {name: known[name] for name in self.rate_factors}


SHARED = {
    "theano_rnn.model": "RNNLM",
    "theano_rnn.tasks.cloze": "Cloze",
    "theano_rnn.tasks.text_classifier": "TextClassifier",
    "theano_rnn.tasks.translation_model": "TranslationModel",
    "theano_rnn.tasks.recognition_model": "RecognitionModel",
    "theano_rnn.tasks.caption_model": "CaptionModel",
}
KINDS = {f"{module}.{name}": getattr(importlib.import_module(module), name) for module, name in SHARED.items()}
MODELS = {}
IN_THIS_COMMAND = collections.Counter()  # an ensemble may have several models of the same sizes


@functools.cache
def shared(kind):
    """In place of a class: one model for each of the arguments, with the parameters that a new one would have."""
    kind = type(f"Shared{kind.__name__}", (KeepsCompiled, kind), {})

    def model_of(*arguments, rng, **options):
        fresh = kind(*arguments, rng=rng, **options)
        key = (kind, arguments, IN_THIS_COMMAND[kind, arguments])
        IN_THIS_COMMAND[kind, arguments] += 1
        model = MODELS.setdefault(key, fresh)
        model.rate_factors = {}
        assign(model.params, values_of(fresh.params))
        return model

    return model_of


def run(name, *arguments, engine=ENGINE):
    """The exit status of a command."""
    flags = [] if name in ("info", "words", "export", "import") else ["--engine", engine]
    if name == "train" and "--curves" not in arguments:
        flags.append("--no-curves")
    IN_THIS_COMMAND.clear()
    try:
        return command(name, [*map(str, arguments), *flags], prog=f"theano-rnn {name}")
    finally:
        IN_THIS_COMMAND.clear()


class Stopping(Callback):
    """Stops `fit` after a step."""

    def __init__(self, at_step):
        self.at_step, self.step = at_step, 0

    def on_step(self, progress, loss, num_targets, num_batches):
        self.step = progress.step

    def should_stop(self):
        return self.step == self.at_step


class Result(NamedTuple):
    """Exit status, standard output, standard error."""

    status: int
    out: str
    err: str


def without_compiling(err):
    """Standard error without what is said while functions are compiled: whether they are depends on what was before."""
    return "".join(line for line in err.splitlines(keepends=True) if not line.startswith("compiling "))


class Commands:
    """Runs of commands in a folder that holds `text.txt`.

    Those in copies of this process are by engine c: a copy of a process in which JAX has threads may hang.
    """

    def __init__(self, folder, monkeypatch, capsys, engine=ENGINE):
        for name, kind in KINDS.items():
            monkeypatch.setattr(name, shared(kind))
        if "jax" in ENGINES:  # a function of a shared model meets the shapes of all tests, each of which has few
            monkeypatch.setattr("theano_rnn.engine.xla.MAX_SHAPES", 10**6)
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # too late to count here, where numpy is; but it is in a child
        monkeypatch.chdir(folder)
        self.folder, self.capsys, self.engine = folder, capsys, engine
        if not (folder / "text.txt").exists():
            (folder / "text.txt").write_text(" ".join(sentences(60)))

    def __call__(self, name, *arguments):
        self.capsys.readouterr()
        status = run(name, *arguments, engine=self.engine)
        out, err = self.capsys.readouterr()
        return Result(status, out, without_compiling(err))

    def train(self, *arguments, checkpoint="model.safetensors"):
        """A tiny run that must succeed."""
        result = self("train", *TINY, "--checkpoint", checkpoint, *arguments)
        assert result.status == 0, result.err
        return result

    def child(self, action):
        """The process id of a copy of this process that runs `action` and ends with the status it returns."""
        pid = os.fork()
        if pid:
            return pid
        status = 70
        try:
            sys.stdout, sys.stderr = open("out", "w"), open("err", "w")  # noqa: SIM115 - until the process ends
            status = action()
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:
            Path("trouble").write_text(traceback.format_exc())
        finally:
            os._exit(status)

    def in_child(self, name, *arguments, before=lambda: None):
        """A command in a copy of this process after `before()`; its status is negative where a signal ended it."""

        def action():
            before()
            return run(name, *arguments, engine="c")

        status = status_of(self.child(action))
        assert not Path("trouble").exists(), Path("trouble").read_text()
        return Result(status, Path("out").read_text(), Path("err").read_text())


def log_of(checkpoint):
    """The records of a run, without what the clock said."""
    lines = Path(checkpoint).with_suffix(".jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name not in CLOCK} for line in lines]


def contents(folder):
    """Every file below `folder` with its bytes, every folder with None."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
            for path in sorted(folder.rglob("*"))}  # fmt: skip


def status_of(pid, seconds=60.0):
    """The exit status of a copy of this process, once it has ended."""
    end = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"a copy of this process hangs: {os.waitpid(pid, 0)}")
        time.sleep(0.002)


def wait_for(path, seconds=60.0):
    """Until there is such a file."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} has not come"
        time.sleep(0.005)


def train_in(folder, *arguments, **options):
    """`Commands.train` where no fixture of a test is at hand."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        Commands(folder, monkeypatch, SimpleNamespace(readouterr=lambda: ("", ""))).train(*arguments, **options)
