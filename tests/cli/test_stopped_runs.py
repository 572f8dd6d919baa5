"""Which parameters a run leaves that was stopped within an epoch, or before anything was validated."""

import signal
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_runs import TINY, Commands

from theano_rnn.cli import session
from theano_rnn.cli.stopped_runs import choose_parameters
from theano_rnn.learning.checkpoint import load, save
from theano_rnn.learning.evaluation import Evaluation
from theano_rnn.learning.measures import LOSS, PERPLEXITY

MODEL = "model.safetensors"


@pytest.fixture
def commands(tmp_path, monkeypatch, capsys):
    return Commands(tmp_path, monkeypatch, capsys)


def progress_of(**changes):
    return SimpleNamespace(**{"batch": 3, "step": 13, "best_value": 2.0, "best_step": 10, "use_last": False} | changes)


def chosen(progress, loss=1.0, speed=100.0, num_targets=1000):
    return choose_parameters(progress, lambda: Evaluation({"loss": loss}, 1), (LOSS, PERPLEXITY), LOSS,
                             num_targets=num_targets, speed=speed)  # fmt: skip


def test_the_last_parameters_are_used_if_they_are_better():
    progress = progress_of()
    assert chosen(progress) == "the model is that of the last step, validation perplexity 2.72"
    assert progress.use_last


def test_the_best_are_used_if_the_last_are_worse_or_measuring_takes_long():
    for options in ({"loss": 3.0}, {"num_targets": 10_000}, {"speed": 0.0}):
        progress = progress_of()
        assert chosen(progress, **options) == "the model is that of step 10, validation perplexity 7.39"
        assert not progress.use_last


def test_nothing_is_measured_at_the_end_of_an_epoch():
    assert "step 10" in chosen(progress_of(batch=0))


def test_the_last_are_used_where_nothing_was_validated():
    progress = progress_of(best_value=None, best_step=0)
    assert "nothing was validated yet" in chosen(progress, num_targets=10_000)


def stop_after(monkeypatch, step):
    """Make the program receive Ctrl-C in this step."""
    on_step = session.Session.on_step

    def stopping(self, progress, *rest):
        on_step(self, progress, *rest)
        if progress.step == step:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(session.Session, "on_step", stopping)


def test_a_run_stopped_in_its_first_epoch_leaves_what_it_has_learned(commands, monkeypatch):
    commands.train(checkpoint="whole.safetensors")
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        result = commands("train", *TINY, "--checkpoint", MODEL)
    assert result.status == 130
    assert "the model is that of the last step, validation perplexity" in result.out
    used, both = load(MODEL), load(MODEL, resume=True)
    assert both.progress["best_value"] is None and both.progress["use_last"]
    for name, value in used.best.items():
        np.testing.assert_array_equal(value, both.last[name])
    assert any((value != both.best[name]).any() for name, value in both.last.items())
    assert not commands("generate", MODEL).err
    assert commands("train", "--resume", "--checkpoint", MODEL).status == 0
    with open(MODEL, "rb") as file, open("whole.safetensors", "rb") as whole:
        assert file.read() == whole.read()


def test_a_model_that_was_never_validated_says_so(commands, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        commands("train", *TINY, "--checkpoint", MODEL)
    checkpoint = load(MODEL, resume=True)
    checkpoint.progress["use_last"] = False  # as after a crash, or where validating takes long
    save(MODEL, checkpoint)
    result = commands("generate", MODEL)
    assert result.status == 0
    assert result.err == (f"{MODEL} was stopped after 3 steps, before its first validation: using its last "
                          "parameters\n")  # fmt: skip
    used, both = load(MODEL), load(MODEL, resume=True)
    assert all((used.best[name] == value).all() for name, value in both.last.items())
    checkpoint.progress["step"] = 0
    save(MODEL, checkpoint)
    assert "has not been trained yet" in commands("generate", MODEL).err


def test_a_run_out_of_time_says_where_it_is_and_how_to_go_on(commands):
    result = commands.train("--max-seconds", "1e-9")
    assert result.out.splitlines()[-1] == (
        f"stopped by --max-seconds after 1 step, in epoch 1 of 2; to continue, use --resume --checkpoint {MODEL}"
    )
    assert "stopped" not in commands.train().out


def test_a_model_that_is_not_there_is_told_with_those_that_are(commands):
    commands.train("--max-seconds", "1e-9")
    assert commands("info", "nothing").err == (
        f"theano-rnn info: cannot find the model nothing: train one, name another (. has {MODEL}), or name austen, "
        "which comes with the package\n"
    )
    assert f"is a folder: name a model in it (. has {MODEL})" in commands("score", ".", "text.txt").err
