"""Standard output and error that may be closed, broken or not UTF-8: a command ends with its status, not a traceback.

>>> import io
>>> stream = Output(io.StringIO())
>>> stream.stream.close()
>>> stream.write("lost"), stream.has_failed
(4, True)
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

STREAMS = ("stdin", "stdout", "stderr")
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in b"\t\n"}


def visible(text: str) -> str:
    """Returns a text with its control characters spelled out, so that a terminal does not obey them.

    >>> print(visible("It is\\x1b[2J a truth.\\n"), end="")
    It is\\x1b[2J a truth.
    """
    return text.translate(CONTROLS)


class Output:
    """A text stream whose writes do not raise. What cannot be written is lost.

    `on_failure` is called once, with the first error.
    """

    def __init__(self, stream: Any, on_failure: Callable[[Exception], None] | None = None) -> None:
        self.stream, self.on_failure, self.has_failed = stream, on_failure, False

    def write(self, text: str) -> int:
        try:
            return int(self.stream.write(text))
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            self.fail(error)
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except (OSError, ValueError) as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        if not self.has_failed:
            self.has_failed = True
            discard(self.stream)
            if self.on_failure is not None:
                self.on_failure(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class TerminalOutput:
    """Standard output if it is a terminal: control characters, as a text or a checkpoint may have, become visible."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return int(self.stream.write(visible(text)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def discard(stream: Any) -> None:
    """Send all further output of `stream` to the null device. Otherwise Python reports an error at its exit."""
    with contextlib.suppress(OSError, ValueError):
        descriptor = stream.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, descriptor)
        os.close(null)


def open_closed_streams() -> set[str]:
    """Connect standard streams that were closed to the null device. Returns their names.

    Otherwise the next file that is opened would take their place, and be written by all that prints.
    """
    closed = set()
    for descriptor, name in enumerate(STREAMS):
        if getattr(sys, name) is None:
            closed.add(name)
            try:
                os.fstat(descriptor)
            except OSError:
                null = os.open(os.devnull, os.O_RDWR)
                if null != descriptor:
                    os.dup2(null, descriptor)
                    os.close(null)
            setattr(sys, name, open(os.devnull, "r+" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115
    return closed


@contextlib.contextmanager
def safe_streams() -> Iterator[set[str]]:
    """Make the standard streams safe to use, and yield the names of those that were closed.

    Characters that standard output cannot encode are escaped. Standard input is read as UTF-8, as all text is. Errors
    of standard error are ignored, because there is nowhere to report them.
    """
    closed = open_closed_streams()
    with contextlib.suppress(AttributeError, ValueError):  # replaced by a program or a test
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    with contextlib.suppress(AttributeError, ValueError, OSError):
        sys.stdin.reconfigure(encoding="utf-8", errors="strict")  # type: ignore[union-attr]
    old, sys.stderr = sys.stderr, Output(sys.stderr)
    ours = sys.stderr
    old_output = sys.stdout
    with contextlib.suppress(AttributeError, ValueError):
        if sys.stdout.isatty():
            sys.stdout = TerminalOutput(sys.stdout)
    try:
        yield closed
    finally:
        try:
            sys.stdout.flush()
        except (OSError, ValueError):
            discard(sys.stdout)
        ours.flush()
        if isinstance(sys.stdout, TerminalOutput):
            sys.stdout = old_output
        if sys.stderr is ours:
            sys.stderr = old


@contextlib.contextmanager
def watched_output(on_failure: Callable[[Exception], None]) -> Iterator[Output]:
    """Call `on_failure` once if standard output cannot be written, and continue without printing."""
    old, output = sys.stdout, Output(sys.stdout, on_failure)
    sys.stdout = output
    try:
        yield output
    finally:
        output.flush()
        sys.stdout = old
