"""Change Aesara's settings for a while, in one thread at a time.

Aesara has one set of settings for the whole process. If two threads changed them at once, each could undo, or restore
too late, what the other had set: the C engine then compiled under the XLA engine's ``cxx=""``, that is, not at all, and
ran Aesara's Python code, which is slow and negates booleans wrongly. So whoever changes something holds `AESARA_LOCK`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import aesara

AESARA_LOCK = threading.RLock()


@contextlib.contextmanager
def changed_flags(**flags: Any) -> Iterator[None]:
    """Set flags of ``aesara.config`` within this context. Other threads wait until they are what they were."""
    with AESARA_LOCK, aesara.config.change_flags(**flags):
        yield
