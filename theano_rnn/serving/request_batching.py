"""Continuous batching: many small pieces of work share the steps of one model, and join and leave at any step.

A piece of work is a Python generator, a *column*: it yields the id that it wants read next and is sent back the
log-probabilities (vocab,) of what follows; what it returns is its result. One thread takes an id of every active
column, calls `step` once for all, and hands out the rows. So a short request does not wait for a long one to end. What
all columns do with their rows can be done for all at once, too: a column yields it as `Together`. It knows no model and
no web; a test passes a fake step.

>>> def fake(tokens, seen):
...     return np.tile(seen, (1, 3)), seen + 1  # "log-probabilities": how many ids were read before
>>> def column():
...     first = yield 7
...     second = yield 8
...     return [float(first[0]), float(second[0])]
>>> columns = Columns(fake, lambda batch_size: [np.zeros((batch_size, 1))])
>>> columns.submit(column()).result()
[0.0, 1.0]
>>> columns.close()
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np

Step = Callable[..., Sequence[Any]]
WIDTHS = (1, 4, 16, 32)  # columns of a step: few, since XLA compiles each
MOST_WAITING = 512  # columns


class Anew(int):
    """An id that is read from the zero state, as the first one of every column is."""


class Together(NamedTuple):
    """What a column yields for the result of ``function([argument, ...])[i]``, called once for all that yield it."""

    function: Callable[[list[Any]], Sequence[Any]]
    argument: Any


Column = Generator[Any, Any, Any]  # yields ids, or Together


class Busy(RuntimeError):
    """More columns are waiting than there may be."""


class Job:
    """A column on its way: the id that it wants read, and its row of the state, -1 for the zero state."""

    def __init__(self, column: Column) -> None:
        self.column, self.row, self.token = column, -1, 0
        self.asks: Together | None = None
        self.future: Future[Any] = Future()

    def advance(self, sent: Any) -> bool:
        """Send the column what it waits for, None at first; false once it has ended, by its result or by an error."""
        try:
            wanted = self.column.send(sent)
            self.asks = wanted if isinstance(wanted, Together) else None
            self.token = self.token if self.asks else int(wanted)
        except StopIteration as stop:
            return self.end(stop.value)
        except Exception as error:
            return self.end(error=error)
        if isinstance(wanted, Anew):
            self.row = -1
        return True

    def end(self, result: Any = None, *, error: Exception | None = None) -> bool:
        """Settle the future, unless it was cancelled, and close the column; false."""
        if self.future.set_running_or_notify_cancel():
            if error is None:
                self.future.set_result(result)
            else:
                self.future.set_exception(error)
        self.column.close()
        return False


class Columns:
    """Runs columns in a thread of its own.

    Parameters
    ----------
    step
        ``step(tokens_t, *state) -> [log-probabilities (batch, vocab), *state]``, as of `Functions`.
    initial_state
        ``initial_state(batch_size)``, zeros (batch_size, units) for each part of the state.
    widths
        Batch sizes that `step` is called with, rising: of each step the smallest that holds all active columns. The
        largest is the most columns that are active at a time; others wait, first come, first served.
    most_waiting
        Columns that may wait.
    """

    def __init__(
        self,
        step: Step,
        initial_state: Callable[[int], Sequence[Any]],
        *,
        widths: Sequence[int] = WIDTHS,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self.step, self.widths, self.most_waiting = step, list(widths), most_waiting
        self.zero = [np.asarray(part) for part in initial_state(self.widths[-1])]
        self.state: list[Any] = [part[:0] for part in self.zero]
        self.waiting: deque[Job] = deque()
        self.changed = threading.Condition()
        self.is_closed = False
        self.thread = threading.Thread(target=self.work, name="columns", daemon=True)
        self.thread.start()

    def submit(self, column: Column) -> Future[Any]:
        """Let a column run; see `submit_all`."""
        return self.submit_all([column])[0]

    def submit_all(self, columns: Sequence[Column]) -> list[Future[Any]]:
        """Let columns run, all or none. Cancelling a future ends its column before the next step.

        Raises
        ------
        Busy
            Too many are waiting.
        RuntimeError
            `close` was called.
        """
        jobs = list(map(Job, columns))
        with self.changed:
            if self.is_closed:
                raise RuntimeError("columns are closed")
            if len(self.waiting) + len(jobs) > self.most_waiting:
                self.waiting = deque(job for job in self.waiting if not job.future.cancelled())
            if len(self.waiting) + len(jobs) > self.most_waiting:
                raise Busy(f"{len(self.waiting)} are waiting, at most {self.most_waiting} may")
            self.waiting.extend(jobs)
            self.changed.notify()
        return [job.future for job in jobs]

    def close(self) -> None:
        """End the thread after its step; what has not ended is cancelled."""
        with self.changed:
            self.is_closed = True
            self.changed.notify()
        self.thread.join()

    def work(self) -> None:
        """The thread: one step after the other while there are columns."""
        active: list[Job] = []
        while self.joined_by_waiting(active):
            rows = self.rows_after(active)
            active = advanced(active, rows)
        for job in [*active, *self.waiting]:
            job.future.cancel()
            job.column.close()

    def joined_by_waiting(self, active: list[Job]) -> bool:
        """Drop from `active` what was cancelled and add what waits, in place; waits for work. False once closed."""
        for job in [job for job in active if job.future.cancelled()]:
            active.remove(job)
            job.column.close()
        while True:
            with self.changed:
                while not (active or self.waiting or self.is_closed):
                    self.changed.wait()
                if self.is_closed:
                    return False
                room = self.widths[-1] - len(active)
                new = [self.waiting.popleft() for _ in range(min(room, len(self.waiting)))]
            new = [job for job in new if not job.future.cancelled()]
            active += advanced(new, [None] * len(new))
            if active:
                return True

    def rows_after(self, active: list[Job]) -> list[Any]:
        """One step: log-probabilities (vocab,) for each of `active`; where the step fails all of them do.

        A row is for the column that it is sent to until that yields again.
        """
        width = next(width for width in self.widths if width >= len(active))
        self.arrange([job.row for job in active], width)
        tokens = np.zeros(width, np.int32)
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

    def arrange(self, rows: list[int], width: int) -> None:
        """Make the state one of `width` columns, those of `rows` first; what is in the others does not matter.

        While the columns are the same it stays as it is, on its device.
        """
        if rows == list(range(len(rows))) and len(self.state[0] if self.state else ()) == width:
            return
        state = [part[:width].copy() for part in self.zero]
        kept = [number for number, row in enumerate(rows) if row >= 0]
        for new, old in zip(state, self.state):
            new[kept] = np.asarray(old)[[rows[number] for number in kept]]
        self.state = state


def advanced(jobs: Sequence[Job], sent: Sequence[Any]) -> list[Job]:
    """Those of `jobs` that want another id read, after each was sent its part of `sent` and what it asked for then."""
    going = [job for job, value in zip(jobs, sent) if job.advance(value)]
    while asking := [job for job in going if job.asks]:
        ended: set[Job] = set()
        for function in dict.fromkeys(job.asks.function for job in asking if job.asks):
            group = [job for job in asking if job.asks and job.asks.function == function]
            try:
                answers = function([job.asks.argument for job in group if job.asks])
            except Exception as error:
                ended.update(job for job in group if not job.end(error=error))
            else:
                ended.update(job for job, answer in zip(group, answers) if not job.advance(answer))
        going = [job for job in going if job not in ended]
    return going
