"""What is shown while something takes long: plain lines, or a bar where standard error is a terminal."""

import io
import os
import sys
from types import SimpleNamespace

import pytest

from theano_rnn.cli import console
from theano_rnn.cli.console import Bar, TrainingDisplay, compiling_progress, describe_loss, reading_progress, say
from theano_rnn.learning.measures import LOSS, PERPLEXITY

MEASURES = (LOSS, PERPLEXITY)


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def fileno(self):
        return 99


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
    progress, close = reading_progress("splitting text into tokens")
    clock.now = 110.0
    progress(3_000_000, 4_000_000)
    clock.now = 120.0
    progress(1_000_000, 2_000_000)
    close()
    assert capsys.readouterr().err.splitlines() == [
        "splitting text into tokens: 3.0 of 4.0 MB, 10 s",
        "splitting text into tokens: 1.0 of 2.0 MB, 20 s",
    ]


def screen_of(terminal, columns=80):
    """The lines that a terminal of this width shows after everything that was written to it."""
    lines, column = [""], 0
    for character in terminal.getvalue():
        if character == "\n":
            lines.append("")
            column = 0
        elif character == "\r":
            column = 0
        else:
            assert character.isprintable(), repr(character)
            if column == columns:
                lines.append("")
                column = 0
            lines[-1] = lines[-1][:column].ljust(column) + character + lines[-1][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


def test_the_bar_of_tokenizing_is_gone_when_the_text_is_tokenized(monkeypatch, clock):
    """With several files, the first of them done before anything is shown."""
    terminal = terminal_of(monkeypatch)
    monkeypatch.setattr(sys, "stdout", terminal)
    progress, close = reading_progress("splitting text into tokens")
    for clock.now, done in ((100.5, 6), (103.0, 1), (104.0, 6), (105.0, 2), (106.0, 6)):
        progress(done, 6)
    assert screen_of(terminal)[-1].startswith("splitting text into tokens:")
    close()
    say("789,570 / 47,062 tokens")
    assert screen_of(terminal) == ["789,570 / 47,062 tokens", ""]


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
        "step 6, loss 9.00, perplexity 8103, 7 s left, 50 tokens/s",
    ]


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_shows_loss_and_time_left_first_and_all_fits(monkeypatch, clock, columns):
    terminal = terminal_of(monkeypatch)
    monkeypatch.setattr(os, "get_terminal_size", lambda _=None: os.terminal_size((columns, 30)))
    display, progress = TrainingDisplay(MEASURES, "tokens"), SimpleNamespace(step=0, epoch=9, batch=0)
    display.begin()
    assert screen_of(terminal, columns) == ["waiting for the first step"]
    for progress.step in range(1, 100):
        progress.batch, clock.now = progress.step, clock.now + 1.0
        display.step(progress, 9.2, 12_345, 200, 12)
    display.bar.refresh()
    (shown,) = screen_of(terminal, columns)
    assert shown.startswith("loss 9.20, perplexity 9897, 8 min left |")
    assert shown.endswith("| epoch 10/12, 12,345 tokens/s")
    assert columns - 2 <= len(shown) <= columns
    display.close()
    assert screen_of(terminal, columns) == [""]


def test_the_time_left_counts_validation_and_a_limit_of_time(clock):
    for max_seconds, expected in ((None, ["39 s left"]), (11.0, ["1 s left"])):
        display, progress = TrainingDisplay(MEASURES, "tokens", max_seconds), SimpleNamespace(step=0, epoch=0, batch=0)
        display.begin()
        for progress.step in range(1, 11):
            progress.batch, clock.now = progress.step, clock.now + 1.0
            display.step(progress, 9.0, 50, 10, 4)
        display.close()
        assert display.describe_time_left(progress, 10, 4) == (["30 s left"] if max_seconds is None else expected)
        clock.now += 3.0
        display.begin()
        progress.epoch, progress.batch = 1, 0
        assert display.describe_time_left(progress, 10, 4) == expected


def test_the_time_left_does_not_count_compiling_for_other_shapes(clock):
    display, progress = TrainingDisplay(MEASURES, "labels"), SimpleNamespace(step=0, epoch=0, batch=0)
    display.begin()
    for progress.step, seconds in enumerate([12.0, 0.5, 9.0, 1.5, 11.0, 0.5, 1.5, 0.5, 1.5], start=1):
        progress.batch, clock.now = progress.step, clock.now + seconds
        display.step(progress, 9.0, int(100 * seconds) if seconds < 5 else 100, 109, 1)
    assert display.describe_time_left(progress, 109, 1) == ["1 min 40 s left"]
    assert display.speed() == 100
