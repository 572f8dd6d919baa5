"""Change the settings of Aesara, or of Python's garbage collector, for a while, in one thread at a time.

Aesara has one set of settings for the whole process. If two threads changed them at once, each could undo, or restore
too late, what the other had set: the C engine then compiled under the XLA engine's ``cxx=""``, that is, not at all, and
ran Aesara's Python code, which is slow and negates booleans wrongly. So whoever changes something holds `AESARA_LOCK`.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator
from typing import Any

import aesara

AESARA_LOCK = threading.RLock()
RARELY = (100_000, 20, 50)  # for `gc.set_threshold`


@contextlib.contextmanager
def changed_flags(**flags: Any) -> Iterator[None]:
    """Set flags of ``aesara.config`` within this context. Other threads wait until they are what they were."""
    with AESARA_LOCK, aesara.config.change_flags(**flags):
        yield


@contextlib.contextmanager
def rare_garbage_collection() -> Iterator[None]:
    """Have Python look for garbage rarely within this context, which compiles.

    Nearly all of the hundreds of thousands of objects that graphs consist of stay in use. Looking through them as often
    as by default takes a sixth of the time.
    """
    with AESARA_LOCK:
        before = gc.get_threshold()
        gc.set_threshold(*(max(pair) for pair in zip(before, RARELY)) if before[0] else before)
        try:
            yield
        finally:
            gc.set_threshold(*before)
