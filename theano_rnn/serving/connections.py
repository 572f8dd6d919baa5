"""Connections of the server: those that send no request are closed, so that they lock nobody out.

uvicorn limits the time between two requests, but waits without limit for the head of the first one, and counts silent
connections like others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


def limited_connections(max_connections: int, head_seconds: float) -> tuple[type[H11Protocol], Callable[[], int]]:
    """Returns a class for the connections of one server, and a function that counts those with a request.

    A connection is closed if the head of a request has not arrived after `head_seconds`. If there are more than
    `max_connections`, the one that has been silent longest is closed at once.
    """
    silent: dict[Any, None] = {}  # connections that wait for the head of a request, in order
    busy: set[Any] = set()

    class LimitedConnection(H11Protocol):
        timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.wait_for_head()
            if len(self.connections) > max_connections and silent:
                next(iter(silent)).close()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self.stop_waiting()
                busy.add(self)
            elif self not in silent:  # the head of a further request has begun
                self.wait_for_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self.stop_waiting()
            busy.discard(self)
            super().connection_lost(exc)

        def wait_for_head(self) -> None:
            silent[self] = None
            busy.discard(self)
            self.timer = self.loop.call_later(head_seconds, self.close)

        def stop_waiting(self) -> None:
            silent.pop(self, None)
            if self.timer is not None:
                self.timer.cancel()

        def close(self) -> None:
            self.stop_waiting()
            self.transport.abort()

    return LimitedConnection, lambda: len(busy)
