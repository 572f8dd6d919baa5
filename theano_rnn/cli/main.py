"""Entry points: ``theano-rnn COMMAND``, ``python -m theano_rnn COMMAND`` and ``python scripts/COMMAND.py``.

Errors become a line and a status.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from theano_rnn import __version__
from theano_rnn.cli import machine
from theano_rnn.cli.options import Parser
from theano_rnn.settings.base import UserError

COMMANDS = {
    "train": "train a language model on text, by default on six novels by Jane Austen",
    "generate": "write sentences with a trained model",
    "score": "log-probability and perplexity of text under a trained model",
    "rescore": "rank the hypotheses of n-best lists anew with a trained model",
    "fill": "fill in the missing words of sentences with a model trained for that",
    "look": "see what a model makes of a text, and how far back its gradients reach",
    "serve": "play with a trained model in a browser, or ask it by HTTP",
    "info": "show what is in a checkpoint",
    "export": "write a trained model for PyTorch or as ONNX",
    "import": "make a checkpoint of a PyTorch model",
}
BAD_INPUT = (UserError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


def main(argv: Sequence[str] | None = None, *, prog: str = "theano-rnn") -> int:
    """Run a subcommand and return the exit status. Messages call the program `prog`."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in COMMANDS:
        return command(arguments[0], arguments[1:], prog=f"{prog} {arguments[0]}")
    listing = "\n".join(f"  {name:10}{text}" for name, text in COMMANDS.items())
    parser = Parser(
        prog=prog,
        usage=f"{prog} COMMAND ...",
        description="Recurrent language models: text in, a trained model, sentences out.",
        epilog=f"commands:\n{listing}\n\n'{prog} COMMAND --help' says more.",
    )
    parser.add_argument("--version", action="version", version=f"theano-rnn {__version__}")
    parser.add_argument("command", choices=list(COMMANDS), help="one of the commands below", metavar="COMMAND")
    try:
        parser.parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def script(file: str) -> int:
    """What ``scripts/NAME.py`` calls with its ``__file__``."""
    path = Path(file).resolve()
    return command(path.stem, sys.argv[1:], prog=f"python scripts/{path.name}", root=path.parent.parent)


def command(name: str, arguments: Sequence[str], *, prog: str, root: Path | None = None) -> int:
    """Run one command: 0 if all went well, 2 for a user's mistake, 1 for a failure on the way, 128 + n for signals.

    A process that others train with and that fails ends at once: JAX would wait for the others first, and they for it.
    """
    status = 1
    try:
        status = status_of(name, arguments, prog=prog, root=root)
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


def status_of(name: str, arguments: Sequence[str], *, prog: str, root: Path | None) -> int:
    """Run one command; errors that are no bugs become a line and a status."""
    try:
        module = importlib.import_module(f"theano_rnn.cli.{name}")
        status: int = module.run(module.build(prog).parse_args(arguments), root)
        sys.stdout.flush()
        return status
    except SystemExit as stop:
        return int(stop.code or 0)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it exits
        return 0
    except BAD_INPUT as error:
        return fail(prog, describe(error), 2)
    except KeyboardInterrupt:
        return fail(prog, "interrupted", 130)
    except (OSError, MemoryError) as error:
        return fail(prog, describe(error) or "out of memory", 1)
    except RuntimeError as error:
        if type(error).__name__ in ("XlaRuntimeError", "JaxRuntimeError"):
            what = "another process has ended" if machine.has_joined else "the device failed"
            return fail(prog, f"{what} ({describe(error)[:200]}): go on from the checkpoint with --resume", 1)
        if type(error).__name__ != "DivergedError":
            raise
        return fail(prog, f"{error}; the last good checkpoint is kept: try a smaller --learning-rate or --clip-norm", 1)


def describe(error: BaseException) -> str:
    """One line; of an operating system's error the file and what is wrong with it."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())


def fail(prog: str, message: str, status: int) -> int:
    print(f"{prog}: {message}", file=sys.stderr)
    return status
