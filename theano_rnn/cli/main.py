"""Entry points: ``theano-rnn COMMAND`` and ``python scripts/COMMAND.py``. An error is one line and a status."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from theano_rnn import __version__
from theano_rnn.cli import machine
from theano_rnn.cli.options import Parser
from theano_rnn.cli.streams import discard, safe_streams, visible
from theano_rnn.cli.supervision import note_report
from theano_rnn.settings.base import RunError, UserError

COMMANDS = {
    "train": "train a language model on text, by default on six novels by Jane Austen",
    "search": "find good settings by training with many combinations of values",
    "generate": "write text with a trained model",
    "score": "compute log-probability and perplexity of text under a trained model",
    "rescore": "reorder the hypotheses of n-best lists with a trained model",
    "fill": "predict missing words with a model trained with --task fill",
    "classify": "label texts with a model trained with --task classify, and explain the labels",
    "translate": "translate sentences with a model trained with --task translate, and measure or show translations",
    "recognize": "recognize speech with a model trained with --task recognize, and measure or show what it hears",
    "describe": "describe pictures with a model trained with --task describe, and measure or show descriptions",
    "look": "see a model's predictions and activations, and how far back its gradients reach",
    "serve": "play with a trained model in a browser, or use it over HTTP",
    "words": "list similar words, or write a model's word vectors to a file",
    "info": "show the contents of a checkpoint",
    "export": "write a trained model as a small file, for PyTorch, or as ONNX",
    "import": "make a checkpoint from a PyTorch model",
}
# commands whose results go to standard output
PRINTING = ("generate", "score", "rescore", "fill", "classify", "translate", "recognize", "describe", "words", "info",
            "search")  # fmt: skip
BAD_INPUT = (UserError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


def main(argv: Sequence[str] | None = None, *, prog: str = "theano-rnn") -> int:
    """Run ``theano-rnn COMMAND``. Returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in COMMANDS:
        return command(arguments[0], arguments[1:], prog=f"{prog} {arguments[0]}")
    listing = "\n".join(f"  {name:10}{text}" for name, text in COMMANDS.items())
    parser = Parser(
        prog=prog,
        usage=f"{prog} COMMAND ...",
        description="Train recurrent language models on text, and use them.",
        epilog=f"commands:\n{listing}\n\nRun '{prog} COMMAND --help' for the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"theano-rnn {__version__}")
    parser.add_argument("command", choices=list(COMMANDS), help="one of the commands below", metavar="COMMAND")
    try:
        parser.parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def script(file: str) -> int:
    """Run the command of ``scripts/NAME.py``, given its ``__file__``. Returns the exit status."""
    path = Path(file).resolve()
    return command(path.stem, sys.argv[1:], prog=f"python scripts/{path.name}", root=path.parent.parent)


def command(name: str, arguments: Sequence[str], *, prog: str, root: Path | None = None) -> int:
    """Run one command. Returns 0 for success, 2 for a user's mistake, 1 for other failures, 128 + n for signal n.

    A failing process that trains together with others exits at once, because JAX would first wait for the others, which
    wait for this one.
    """
    status = 1
    try:
        with safe_streams() as closed:
            if "stdout" in closed and name in PRINTING:
                return fail(prog, "standard output is closed, so the results cannot be printed", 1)
            status = run_command(name, arguments, prog=prog, root=root)
    except Exception:
        if machine.has_joined:
            traceback.print_exc()
        else:
            raise
    finally:
        if machine.has_joined and status:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return status


def run_command(name: str, arguments: Sequence[str], *, prog: str, root: Path | None) -> int:
    """Run one command. Returns the exit status; prints errors that are not bugs as one line."""
    try:
        module = importlib.import_module(f"theano_rnn.cli.{name}")
        try:
            status: int = module.run(module.build(prog).parse_args(arguments), root)
        except SystemExit as stop:
            status = int(stop.code or 0)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        discard(sys.stdout)
        return 128 + signal.SIGPIPE if name == "train" else 0  # `generate | head` has what it wanted
    except BAD_INPUT as error:
        if isinstance(error, FileNotFoundError) and not has_current_folder():
            return fail(prog, f"the current folder was removed: go to another one with cd ({describe(error)})", 2)
        return fail(prog, describe(error), 2)
    except KeyboardInterrupt:
        return fail(prog, "interrupted", 130)
    except (OSError, MemoryError, RunError) as error:
        return fail(prog, describe(error) or "out of memory", 1)
    except RuntimeError as error:
        if type(error).__name__ in ("XlaRuntimeError", "JaxRuntimeError"):
            what = "another process of this training ended" if machine.has_joined else "the device failed"
            return fail(prog, f"{what} ({describe(error)[:200]}): resume from the checkpoint with --resume", 1)
        if type(error).__name__ != "DivergedError":
            raise
        return fail(prog, f"{error}. The last good checkpoint is kept: try a smaller --learning-rate or --clip-norm", 1)


def has_current_folder() -> bool:
    """Returns whether the current folder exists."""
    try:
        return bool(os.getcwd())
    except FileNotFoundError:
        return False


def describe(error: BaseException) -> str:
    """Returns an error as one line; for an error of the operating system, the file and the reason."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())


def fail(prog: str, message: str, status: int) -> int:
    """Print an error message. Returns `status`."""
    print(visible(f"{prog}: {message}"), file=sys.stderr, flush=True)
    note_report()
    return status
