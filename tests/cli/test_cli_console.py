"""What is shown while something takes long: plain lines, or a bar where standard error is a terminal."""

import io
import sys
from types import SimpleNamespace

import pytest

from theano_rnn.cli import console
from theano_rnn.cli.console import Bar, TrainingDisplay, compiling_progress, describe_loss, say, tokenizing_progress
from theano_rnn.learning.measures import LOSS, PERPLEXITY

MEASURES = (LOSS, PERPLEXITY)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def terminal_of(monkeypatch):
    """Standard error, made a terminal; not in a fixture, after which pytest captures it anew."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    return sys.stderr


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(console.time, "monotonic", lambda: clock.now)
    return clock


@pytest.mark.parametrize(
    ("loss", "text"),
    [(8.91, "loss 8.91, perplexity 7406"), (1.0, "loss 1.000, perplexity 2.72"), (1e9, "perplexity 1014232054735")],
)
def test_a_loss_is_told_with_its_perplexity(loss, text):
    assert text in describe_loss(loss, MEASURES)


def test_a_line_every_five_seconds(clock, capsys):
    bar = Bar("reading", unit=" tokens", total=9000)
    for seconds in range(12):
        clock.now = 100.0 + seconds
        bar.to(1000 * (seconds + 1), 12_000)
    bar.close()
    assert capsys.readouterr().err.splitlines() == [
        "reading: 1,000 of 12,000 tokens, 0 s",
        "reading: 6,000 of 12,000 tokens, 5 s",
        "reading: 11,000 of 12,000 tokens, 10 s",
    ]


def test_nothing_is_said_of_what_is_quickly_done(clock, capsys):
    bar = Bar("reading", unit=" tokens", delay=2.0)
    for clock.now in (100.0, 101.0, 101.9):
        bar.to(5)
    assert not capsys.readouterr().err
    clock.now = 102.0
    bar.to(7)
    assert capsys.readouterr().err == "reading: 7 tokens, 2 s\n"


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    terminal = terminal_of(monkeypatch)
    bar = Bar("reading", unit=" tokens", total=4)
    bar.to(2)
    say("above it")
    bar.close()
    assert "reading" in terminal.getvalue()
    assert capsys.readouterr().out == "above it\n"


def test_tokenizing_starts_again_with_every_file(clock, capsys):
    progress, close = tokenizing_progress()
    clock.now = 110.0
    progress(3_000_000, 4_000_000)
    clock.now = 120.0
    progress(1_000_000, 2_000_000)
    close()
    assert capsys.readouterr().err.splitlines() == [
        "splitting text into tokens: 3.0 of 4.0 MB, 10 s",
        "splitting text into tokens: 1.0 of 2.0 MB, 20 s",
    ]


def test_tokenizing_in_a_terminal_starts_again_with_every_file(monkeypatch):
    terminal = terminal_of(monkeypatch)
    progress, close = tokenizing_progress()
    for done in (1, 5, 2):
        progress(done, 6)
    close()
    assert "splitting text into tokens" in terminal.getvalue()


def test_compiling_is_silent_where_all_is_cached(capsys):
    progress, close = compiling_progress("c")
    close()
    assert not capsys.readouterr().err
    progress, close = compiling_progress("c")
    progress(1)
    close()
    assert capsys.readouterr().err.startswith("compiling with g++ (the first time only): 1 modules")


def test_training_says_its_first_step_and_then_one_every_five_seconds(clock, capsys):
    display, progress = TrainingDisplay(MEASURES, "tokens"), SimpleNamespace(step=0, epoch=0, batch=1)
    display.begin()
    for progress.step in range(1, 9):
        clock.now += 1.0
        display.step(progress, 9.0, 50, 8, 1)
    display.close()
    assert capsys.readouterr().out.splitlines() == [
        "step 1, loss 9.00, perplexity 8103, 50 tokens/s",
        "step 6, loss 9.00, perplexity 8103, 50 tokens/s",
    ]


def test_training_in_a_terminal_is_a_bar_an_epoch(monkeypatch, capsys):
    terminal = terminal_of(monkeypatch)
    display, progress = TrainingDisplay(MEASURES, "tokens"), SimpleNamespace(step=1, epoch=0, batch=1)
    display.begin()
    for progress.step in (1, 2):
        display.step(progress, 2.0, 50, 4, 3)
    display.bar.refresh()
    display.close()
    assert "epoch 1/3" in terminal.getvalue()
    assert "loss 2.000, perplexity 7.39" in terminal.getvalue()
    assert not capsys.readouterr().out
