"""Continuous batching: many requests share the steps of one model, and each may join or leave the batch at any step.

A request is a Python generator. It yields the id of the next token to read and receives the log-probabilities (vocab,)
of the token after it; its return value is its result. One thread collects a token of every active request, calls `step`
once for all of them, and gives each request its row. So a short request never waits for a long one to end. To share the
work on these rows as well, a request yields a `BatchedCall`. This module knows neither models nor the web, so a test
can pass a fake step.

>>> def fake(tokens, seen):
...     return np.tile(seen, (1, 3)), seen + 1  # "log-probabilities": the number of tokens read before
>>> def request():
...     first = yield 7
...     second = yield 8
...     return [float(first[0]), float(second[0])]
>>> batcher = RequestBatcher(fake, lambda batch_size: [np.zeros((batch_size, 1))])
>>> batcher.submit(request()).result()
[0.0, 1.0]
>>> batcher.close()
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np

Step = Callable[..., Sequence[Any]]
BATCH_SIZES = (1, 4, 16, 32)  # of a step: only a few, because XLA compiles the step for each of them
MAX_WAITING = 512  # requests


class TokenAfterReset(int):
    """A token id that is read from the zero state, like the first token of every request."""


class BatchedCall(NamedTuple):
    """Yielded by a request to receive ``function([argument, ...])[i]``; one call serves all requests that yield it."""

    function: Callable[[list[Any]], Sequence[Any]]
    argument: Any


ModelRequest = Generator[Any, Any, Any]  # yields token ids or BatchedCall


class QueueFullError(RuntimeError):
    """Too many requests are waiting."""


class Job:
    """A submitted request: the token that it wants read, and its row in the batch's state (-1 for the zero state)."""

    def __init__(self, request: ModelRequest) -> None:
        self.request, self.row, self.token = request, -1, 0
        self.call: BatchedCall | None = None
        self.future: Future[Any] = Future()

    def advance(self, value: Any) -> bool:
        """Send `value` to the request (None at the start). Returns False if it has ended, by a result or an error."""
        try:
            wanted = self.request.send(value)
            self.call = wanted if isinstance(wanted, BatchedCall) else None
            self.token = self.token if self.call else int(wanted)
        except StopIteration as stop:
            return self.end(stop.value)
        except Exception as error:
            return self.end(error=error)
        if isinstance(wanted, TokenAfterReset):
            self.row = -1
        return True

    def end(self, result: Any = None, *, error: Exception | None = None) -> bool:
        """Resolve the future, unless it was cancelled, and close the request. Returns False."""
        if self.future.set_running_or_notify_cancel():
            if error is None:
                self.future.set_result(result)
            else:
                self.future.set_exception(error)
        self.request.close()
        return False


class RequestBatcher:
    """Runs requests in one thread, in batches.

    Parameters
    ----------
    step
        ``step(tokens_t, *state) -> [log-probabilities (batch, vocab), *state]``, as of `Functions`.
    initial_state
        ``initial_state(batch_size)``, zeros (batch_size, units) for each part of the state.
    batch_sizes
        Batch sizes for `step`, in rising order. Each step uses the smallest that holds all active requests. The largest
        limits the number of active requests; further requests wait and are started in the order of arrival.
    max_waiting
        Largest number of waiting requests.
    """

    def __init__(
        self,
        step: Step,
        initial_state: Callable[[int], Sequence[Any]],
        *,
        batch_sizes: Sequence[int] = BATCH_SIZES,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self.step, self.batch_sizes, self.max_waiting = step, list(batch_sizes), max_waiting
        self.zero = [np.asarray(part) for part in initial_state(self.batch_sizes[-1])]
        self.state: list[Any] = [part[:0] for part in self.zero]
        self.waiting: deque[Job] = deque()
        self.changed = threading.Condition()
        self.is_closed = False
        self.thread = threading.Thread(target=self.run, name="request-batcher", daemon=True)
        self.thread.start()

    def submit(self, request: ModelRequest) -> Future[Any]:
        """Submit one request; see `submit_all`."""
        return self.submit_all([request])[0]

    def submit_all(self, requests: Sequence[ModelRequest]) -> list[Future[Any]]:
        """Submit all of the requests or none. To end a request before the next step, cancel its future.

        Raises
        ------
        QueueFullError
            Too many requests are waiting.
        RuntimeError
            `close` was called.
        """
        jobs = list(map(Job, requests))
        with self.changed:
            if self.is_closed:
                raise RuntimeError("the request batcher is closed")
            if len(self.waiting) + len(jobs) > self.max_waiting:
                self.waiting = deque(job for job in self.waiting if not job.future.cancelled())
            if len(self.waiting) + len(jobs) > self.max_waiting:
                raise QueueFullError(f"{len(self.waiting)} requests are waiting, at most {self.max_waiting} may wait")
            self.waiting.extend(jobs)
            self.changed.notify()
        return [job.future for job in jobs]

    def close(self) -> None:
        """Stop the thread after its current step and cancel all unfinished requests."""
        with self.changed:
            self.is_closed = True
            self.changed.notify()
        self.thread.join()

    def run(self) -> None:
        """Run steps until `close` is called; this is the thread's loop."""
        active: list[Job] = []
        while self.admit_waiting(active):
            rows = self.run_step(active)
            active = advance_all(active, rows)
        for job in [*active, *self.waiting]:
            job.future.cancel()
            job.request.close()

    def admit_waiting(self, active: list[Job]) -> bool:
        """Remove cancelled jobs from `active` and add waiting ones, in place.

        Blocks until there is an active job. Returns False if the batcher was closed.
        """
        for job in [job for job in active if job.future.cancelled()]:
            active.remove(job)
            job.request.close()
        while True:
            with self.changed:
                while not (active or self.waiting or self.is_closed):
                    self.changed.wait()
                if self.is_closed:
                    return False
                num_free = self.batch_sizes[-1] - len(active)
                new = [self.waiting.popleft() for _ in range(min(num_free, len(self.waiting)))]
            new = [job for job in new if not job.future.cancelled()]
            active += advance_all(new, [None] * len(new))
            if active:
                return True

    def run_step(self, active: list[Job]) -> list[Any]:
        """Run one step. Returns log-probabilities (vocab,) for each active job; if the step fails, all of them fail.

        A row is valid for its request until the request yields again.
        """
        batch_size = next(size for size in self.batch_sizes if size >= len(active))
        self.arrange_state([job.row for job in active], batch_size)
        tokens = np.zeros(batch_size, np.int32)
        tokens[: len(active)] = [job.token for job in active]
        try:
            log_probabilities, *self.state = self.step(tokens, *self.state)
            rows = np.asarray(log_probabilities)
        except Exception as error:
            for job in active:
                job.end(error=error)
            active.clear()
            self.state = [part[:0] for part in self.zero]
            return []
        for number, job in enumerate(active):
            job.row = number
        return list(rows[: len(active)])

    def arrange_state(self, rows: list[int], batch_size: int) -> None:
        """Make the state one of `batch_size` rows, with the given rows first; the values of the others do not matter.

        If the active requests have not changed, the state is not touched and stays on its device.
        """
        if rows == list(range(len(rows))) and len(self.state[0] if self.state else ()) == batch_size:
            return
        state = [part[:batch_size].copy() for part in self.zero]
        kept = [number for number, row in enumerate(rows) if row >= 0]
        for new, old in zip(state, self.state):
            new[kept] = np.asarray(old)[[rows[number] for number in kept]]
        self.state = state


def advance_all(jobs: Sequence[Job], values: Sequence[Any]) -> list[Job]:
    """Send each job its value and run the batched calls that follow. Returns the jobs that want another token read."""
    running = [job for job, value in zip(jobs, values) if job.advance(value)]
    while calling := [job for job in running if job.call]:
        ended: set[Job] = set()
        for function in dict.fromkeys(job.call.function for job in calling if job.call):
            group = [job for job in calling if job.call and job.call.function == function]
            try:
                results = function([job.call.argument for job in group if job.call])
            except Exception as error:
                ended.update(job for job in group if not job.end(error=error))
            else:
                ended.update(job for job, result in zip(group, results) if not job.advance(result))
        running = [job for job in running if job not in ended]
    return running
