"""Commands: from an argument list to an exit status; from an error to one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from theano_rnn import __version__
from theano_rnn.cli import info, main
from theano_rnn.cli.main import COMMANDS, command
from theano_rnn.settings.base import RunError, UserError
from theano_rnn.training import DivergedError

SCRIPTS = Path(__file__).parents[2] / "scripts"


def test_the_version_and_the_commands_are_told(capsys):
    assert main.main(["--version"]) == 0
    assert main.main(["--help"]) == 0
    out, err = capsys.readouterr()
    assert __version__ in out and not err
    assert all(f"  {name}" in out and text in out for name, text in COMMANDS.items())


def test_a_command_gets_its_own_arguments(capsys, tmp_path, monkeypatch):
    assert main.main(["info", str(tmp_path / "nothing")]) == 2
    expected = f"theano-rnn info: cannot find the model {tmp_path}/nothing: train one, name another, or name austen, "
    assert capsys.readouterr().err == f"{expected}which comes with the package\n"
    monkeypatch.setattr(sys, "argv", ["theano-rnn", "info", "--help"])
    assert main.main() == 0


def test_python_runs_the_package_as_the_program_runs(tmp_path, capsys):
    def run(*arguments):
        return subprocess.run([sys.executable, "-m", "theano_rnn", *arguments], capture_output=True, text=True,
                              cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(SCRIPTS.parent)})  # fmt: skip

    listing = run("--help")
    assert main.main(["--help"]) == listing.returncode == 0
    assert listing.stdout.startswith("usage: python -m theano_rnn COMMAND ...\n")
    assert listing.stdout.replace("python -m theano_rnn", "theano-rnn") == capsys.readouterr().out
    missing = run("info", "nothing")
    assert missing.returncode == 2 and not missing.stdout
    assert missing.stderr.startswith("python -m theano_rnn info: cannot find the model nothing: train one, ")


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UserError("two\n lines"), 2, "two lines"),
        (FileNotFoundError(2, "No such file", "a.txt"), 2, "a.txt: No such file"),
        (PermissionError("no"), 2, "no"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (OSError(28, "No space left on device", "m"), 1, "m: No space left on device"),
        (MemoryError(), 1, "out of memory"),
        (MemoryError("Unable to allocate 1 TiB"), 1, "Unable to allocate 1 TiB"),
        (DivergedError("the loss is nan at step 3"), 1, "the loss is nan at step 3. The last good checkpoint is kept"),
        (RunError("a process has ended"), 1, "a process has ended"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_an_error_is_one_line_and_a_status(monkeypatch, capsys, error, status, line):
    def run(args, root):
        raise error

    monkeypatch.setattr(info, "run", run)
    assert command("info", [], prog="prog") == status
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith(f"prog: {line}") and err.count("\n") == 1


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ValueError("a bug")])
def test_a_bug_is_not_hidden(monkeypatch, error):
    def run(args, root):
        raise error

    monkeypatch.setattr(info, "run", run)
    with pytest.raises(type(error), match="a bug"):
        command("info", [], prog="prog")


def test_a_signal_while_nothing_is_to_be_saved_is_its_status(monkeypatch):
    def run(args, root):
        raise SystemExit(143)

    monkeypatch.setattr(info, "run", run)
    assert command("info", [], prog="prog") == 143


def test_a_script_runs_its_command_with_its_folder(monkeypatch):
    asked = {}

    def remember(name, arguments, *, prog, root):
        asked.update(name=name, arguments=arguments, prog=prog, root=root)
        return 5

    monkeypatch.setattr(main, "command", remember)
    monkeypatch.setattr(sys, "argv", ["x", "--seed", "3"])
    assert main.script(str(SCRIPTS / "train.py")) == 5
    assert asked == {"name": "train", "arguments": ["--seed", "3"], "prog": "python scripts/train.py",
                     "root": SCRIPTS.parent}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.stem)
def test_every_script_says_a_mistake_in_one_line_from_anywhere(path, tmp_path):
    result = subprocess.run([sys.executable, path, "--nonsense"], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 2
    assert not result.stdout
    assert result.stderr.count("\n") == 1 and result.stderr.startswith(f"python scripts/{path.name}: ")
