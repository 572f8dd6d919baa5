"""Compile the training function for the shapes of later batches while the first batches are trained on.

XLA compiles a function again for each new shape of its inputs. Most batches have one shape, but sentences have several
lengths, and an adaptive softmax needs more slots for a batch with many rare words. Without this, training would stand
still for seconds in the middle of an epoch, when the first such batch comes.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

FIRST_STEP = 20  # of this process; a shorter run needs no other shapes
FIRST_STEP_OF_TEXTS = 1  # whole texts have several lengths, most of which come among the first batches
MAX_BATCHES = 2_000  # to look at: shapes that first come later are rare


class AheadCompiler:
    """Compiles in a thread of its own. `close` must be called before the program ends.

    Parameters
    ----------
    train
        The compiled ``train``; without a method ``compile_for``, as with engine c, nothing is done.
    batches_of_epoch
        Returns the batches of an epoch.
    model
        The model that ``train`` belongs to.
    has_texts
        Whether each batch has whole texts, padded to one of several lengths.
    """

    def __init__(
        self, train: Any, batches_of_epoch: Callable[[int], Sequence[Any]], model: Any, *, has_texts: bool = False
    ) -> None:
        self.compile_for = getattr(train, "compile_for", None)
        self.batches_of_epoch, self.model = batches_of_epoch, model
        self.first_step = FIRST_STEP_OF_TEXTS if has_texts else FIRST_STEP
        self.num_steps, self.is_closed = 0, False
        self.thread: threading.Thread | None = None

    def on_step(self, epoch: int, batch: int) -> None:
        """Call after each update, with the epoch and the number of its batches so far."""
        self.num_steps += 1
        if self.num_steps == self.first_step and self.compile_for is not None:
            self.thread = threading.Thread(target=self.run, args=(epoch, batch), name="compiling ahead")
            self.thread.start()

    def run(self, epoch: int, first: int) -> None:
        with contextlib.suppress(Exception):  # the main thread will meet the same error, and report it
            batches = self.batches_of_epoch(epoch)
            for number in self.in_order(batches, range(first, min(len(batches), first + MAX_BATCHES))):
                if self.is_closed:
                    return
                batch = batches[number]
                rate = np.asarray(0, self.model.config.dtype)
                state = self.model.initial_state(batch.num_columns)
                self.compile_for(*batch.arrays, *state, rate)  # type: ignore[misc]

    def in_order(self, batches: Any, numbers: Sequence[int]) -> list[int]:
        """Returns the numbers of the batches to compile for, in that order.

        Where batches have a plan, the shapes that come last are the first, because training compiles for those that
        come first. Other batches of the same shapes matter only if the model prepares more inputs from them.
        """
        found: dict[Any, int] = {}
        for number in numbers if hasattr(batches, "plan") else ():
            found.setdefault(batches.plan[number][1:], number)
        has_more = not found or bool(self.model.prepared_inputs)
        return [*reversed(found.values()), *(numbers if has_more else ())]

    def close(self) -> None:
        """Stop. Waits for a compilation in progress, because a program cannot end in the middle of one."""
        self.is_closed = True
        if self.thread is not None:
            self.thread.join()
