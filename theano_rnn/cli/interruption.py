"""Handle Ctrl-C, SIGTERM, SIGHUP and a closed standard output during training."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import Any


class Interruption:
    """Turns the first signal into a request to stop. A second one ends the process as usual.

    The signals are those of Ctrl-C, SIGTERM, and SIGHUP (the terminal was closed), unless ``nohup`` disabled the last.
    A standard output that can no longer be written counts as SIGPIPE.
    """

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint  # for messages
        self.signal: int | None = None
        self.is_deferred = False
        self.old: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is not threading.main_thread():
            return self  # only the main thread may handle signals
        for number in stopping_signals():
            self.old[number] = signal.signal(number, self.receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.old.items():
            signal.signal(number, handler)

    def receive(self, number: int, _: Any) -> None:
        if not self.is_deferred or self.signal is not None:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        self.signal = number
        if number == signal.SIGINT and os.isatty(2):  # not by print, which cannot be called while it is running
            with contextlib.suppress(OSError):
                os.write(2, b"\nstopping: the model is saved in some seconds; press Ctrl-C again to stop at once\n")

    def receive_failure(self, error: Exception) -> None:
        """Stop, because standard output cannot be written. For `watched_output`."""
        reason = getattr(error, "strerror", None) or error
        print(f"standard output cannot be written ({reason}): training stops after the next step and saves; to "
              f"continue, use --resume --checkpoint {self.checkpoint}", file=sys.stderr)  # fmt: skip
        self.signal = self.signal or signal.SIGPIPE


def stopping_signals() -> list[signal.Signals]:
    """Returns the signals that stop a training."""
    is_ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN  # by nohup
    return [signal.SIGINT, signal.SIGTERM, *([] if is_ignored else [signal.SIGHUP])]
