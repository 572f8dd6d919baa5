"""Handle Ctrl-C and SIGTERM during training."""

from __future__ import annotations

import signal
from typing import Any


class Interruption:
    """Turns the first Ctrl-C or SIGTERM into a request to stop. A second one ends the process as usual."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.is_deferred = False
        self.old: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        for number in (signal.SIGINT, signal.SIGTERM):
            self.old[number] = signal.signal(number, self.receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.old.items():
            signal.signal(number, handler)

    def receive(self, number: int, _: Any) -> None:
        if not self.is_deferred or self.signal is not None:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        self.signal = number
