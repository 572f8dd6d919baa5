"""Standard output and error that are closed, broken or not UTF-8, signals, and a current folder that was removed."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_runs import TINY, Commands, contents, log_of, train_in

from theano_rnn.cli import session
from theano_rnn.cli.interruption import stopping_signals
from theano_rnn.cli.records import append, restore_log
from theano_rnn.learning.checkpoint import load
from theano_rnn.scoring.sentences import Totals
from theano_rnn.settings.strict_json import to_json

ROOT = Path(__file__).parents[2]
MODEL, WHOLE = "model.safetensors", "whole.safetensors"


@pytest.fixture
def commands(tmp_path, monkeypatch, capsys):
    return Commands(tmp_path, monkeypatch, capsys)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model whose words are not ASCII."""
    folder = tmp_path_factory.mktemp("folder")
    (folder / "text.txt").write_text("Zoë saw the naïve Ωmega. " * 100, encoding="utf-8")
    train_in(folder, "--max-seconds", "1e-9")
    return folder


def shell(folder, line, **environment):
    """Run a line of the shell, in which `theano-rnn` is the program."""
    program = f'theano-rnn() {{ "{sys.executable}" -m theano_rnn "$@"; }}; set -o pipefail; '
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(["bash", "-c", program + line], capture_output=True, cwd=folder, check=False,
                          encoding="utf-8", errors="replace", env=environment)  # fmt: skip


class BrokenStream:
    """A standard output that cannot be written after some lines."""

    encoding = "utf-8"

    def __init__(self, error, num_lines):
        self.error, self.num_lines = error, num_lines

    def write(self, text):
        self.num_lines -= text.count("\n")
        if self.num_lines < 0:
            raise self.error
        return len(text)

    def flush(self):
        pass

    def isatty(self):
        return False

    def fileno(self):
        raise OSError("a stream of a test")


@pytest.mark.slow
@pytest.mark.parametrize("num_lines", [0, 1, 4])
@pytest.mark.parametrize(
    "error",
    [BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left on device"), OSError(5, "Input/output error"),
     ValueError("closed file")],
)  # fmt: skip
def test_training_whose_output_cannot_be_written_saves_and_stops(commands, monkeypatch, error, num_lines):
    """As in `train | head -1`."""
    commands.train(checkpoint=WHOLE)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", BrokenStream(error, num_lines))
        result = commands("train", *TINY, "--checkpoint", MODEL)
    assert result.status == 128 + signal.SIGPIPE
    assert result.err == (
        f"standard output cannot be written ({getattr(error, 'strerror', error)}): training stops after the next step "
        f"and saves; to continue, use --resume --checkpoint {MODEL}\n"
    )
    assert load(MODEL, resume=True).progress["step"] >= 1
    assert commands("train", "--resume", "--checkpoint", MODEL).status == 0
    assert Path(MODEL).read_bytes() == Path(WHOLE).read_bytes() and log_of(MODEL) == log_of(WHOLE)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_finishes_the_step_and_saves(commands, monkeypatch, number):
    on_step = session.Session.on_step

    def interrupted(self, progress, *rest):
        on_step(self, progress, *rest)
        if progress.step == 3:
            os.kill(os.getpid(), number)

    old = signal.signal(number, signal.default_int_handler)  # a test under nohup ignores SIGHUP
    try:
        monkeypatch.setattr(session.Session, "on_step", interrupted)
        result = commands("train", *TINY, "--checkpoint", MODEL)
    finally:
        signal.signal(number, old)
    assert (result.status, result.err) == (128 + number, "")
    assert f"stopped after 3 steps, in epoch 1 of 2; to continue, use --resume --checkpoint {MODEL}" in result.out
    assert load(MODEL, resume=True).progress["step"] == 3


def test_a_run_under_nohup_survives_the_terminal():
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in stopping_signals()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        assert signal.SIGHUP in stopping_signals()
    finally:
        signal.signal(signal.SIGHUP, old)


@pytest.mark.slow
def test_what_standard_output_cannot_encode_is_escaped(folder):
    for environment in ({"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1:strict"}):
        result = shell(folder, "theano-rnn info nothing", **environment)
        assert result.returncode == 2
        result = shell(folder, f"theano-rnn info {MODEL}", **environment)
        assert (result.returncode, result.stderr) == (0, "")
        assert r"\u03a9mega" in result.stdout


@pytest.mark.slow
def test_results_that_have_no_place_are_an_error(folder):
    before = contents(folder)
    result = shell(folder, f"theano-rnn info {MODEL} >&-")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.endswith("info: standard output is closed, so the results cannot be printed\n")
    assert result.stderr.count("\n") == 1
    assert contents(folder) == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_device_is_one_line(folder):
    result = shell(folder, f"theano-rnn info {MODEL} > /dev/full")
    assert (result.returncode, result.stderr) == (1, "python -m theano_rnn info: No space left on device\n")


def test_readers_that_have_enough_end_the_command_quietly(folder):
    result = shell(folder, f"for i in 1 2 3; do theano-rnn info {MODEL}; done | head -1")
    assert result.stderr == "" and result.stdout.startswith(MODEL)


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", ">&- 2>&- <&-"])
def test_without_standard_error_the_status_remains(folder, redirection):
    assert shell(folder, f"theano-rnn info nothing {redirection}").returncode in (1, 2)
    assert shell(folder, f"theano-rnn train --nonsense {redirection}").returncode == 2


def test_a_closed_stream_is_no_file_that_is_opened_later(tmp_path):
    """Without its streams, a program's first file would get their numbers, and all that libraries print."""
    code = (
        "import os, sys\nfrom theano_rnn.cli.streams import safe_streams\n"
        "with safe_streams() as closed:\n"
        "    with open('model', 'wb') as file:\n"
        "        print('text', closed)\n        print('text', file=sys.stderr)\n"
        "        os.write(1, b'text')\n        os.write(2, b'text')\n"
        "        file.write(str(sorted(closed)).encode())\n"
    )
    result = shell(tmp_path, f"\"{sys.executable}\" -c '{code.replace(chr(39), chr(34))}' >&- 2>&- <&-")
    assert result.returncode == 0
    assert (tmp_path / "model").read_text() == "['stderr', 'stdin', 'stdout']"


def test_a_current_folder_that_was_removed_is_one_line(tmp_path):
    result = shell(tmp_path, "mkdir gone; cd gone; rmdir ../gone; theano-rnn train --train text.txt")
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert "the current folder was removed: go to another one with cd" in result.stderr


def test_input_that_is_not_utf8_is_one_line(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    commands = Commands(folder, monkeypatch, capsys)

    def broken():
        raise UnicodeDecodeError("utf-8", b"\xef", 0, 1, "invalid")

    monkeypatch.setattr("builtins.input", lambda _: broken())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))
    result = commands("generate", MODEL, "--interactive")
    assert result.status == 2
    assert result.err == "theano-rnn generate: standard input is not UTF-8 text: convert it to UTF-8\n"


@pytest.mark.slow
def test_programs_train_on_without_streams_and_stop_when_nobody_reads(folder):
    """Programs of their own: closed streams; `| head -1`, also of both streams; a terminal that goes away."""
    flags = f"{' '.join(TINY)} --engine jax --no-curves"
    pytest.importorskip("jax")
    assert shell(folder, f"theano-rnn train {flags} --checkpoint a.safetensors >&- 2>&- <&-").returncode == 0
    assert load(folder / "a.safetensors").progress["is_finished"]
    for line in ("| head -1", "2>&1 | head -1"):
        result = shell(folder, f"theano-rnn train {flags} --epochs 9 --checkpoint b.safetensors {line}")
        assert result.returncode == 128 + signal.SIGPIPE and "Traceback" not in result.stderr + result.stdout
        progress = load(folder / "b.safetensors").progress
        assert progress["step"] >= 1 and not progress["is_finished"]


ESCAPES = "\x1b[2J\x1b]0;title\x07\x9b31m"


@pytest.mark.slow
@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_gets_no_control_characters_of_a_text(commands, monkeypatch, is_terminal):
    """A file or another program gets the text as it is."""
    (commands.folder / "text.txt").write_text(f"Emma{ESCAPES} saw the house. " * 40, encoding="utf-8")
    commands.train()
    write, written = sys.stdout.write, []
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    monkeypatch.setattr(sys.stdout, "write", lambda text: written.append(text) or write(text))
    assert commands("score", MODEL, "text.txt").status == 0
    assert (ESCAPES in "".join(written)) != is_terminal
    assert ("\\x1b[2J\\x1b]0;title\\x07\\x9b31m" in "".join(written)) == is_terminal
    assert "".join(written).count("\t") == 3 * 40
    assert sys.stdout.write.__name__ == "<lambda>"  # as it was before


def test_messages_have_no_control_characters(commands):
    result = commands("score", f"no{ESCAPES}.safetensors", "text.txt")
    assert result.status == 2 and "no\\x1b[2J" in result.err
    result = commands("generate", MODEL, "--prompt", ESCAPES)
    assert not set("\x1b\x07\x9b") & set(result.err)


def test_numbers_that_json_lacks_are_null_in_logs(tmp_path):
    log, record = tmp_path / "log.jsonl", {"epoch": 1, "valid_loss": 800.0, "valid_perplexity": math.inf}
    append(log, record | {"tokens_per_second": 7.0, "seconds": 1.0})
    written = log.read_bytes()
    assert json.loads(written, parse_constant=pytest.fail)["valid_perplexity"] is None
    assert restore_log(log, [record], "tokens") == written


def test_totals_of_nothing_are_null():
    assert json.loads(to_json(Totals().summary()), parse_constant=pytest.fail)["perplexity"] is None
