"""Memory that is freed stays with the process.

XLA allocates the working memory of a call as one block and frees it afterwards. The C library asks the system for so
large a block each time anew, and the system fills every page with zeros at its first touch: a tenth to a fifth of a
training step on a CPU. Kept, the pages are there at the next call.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # malloc.h
LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to keep what is freed, for the whole process; whether it could be told.

    For programs that train, before their threads start. What the process holds at its peak it then holds to its end.
    No effect where the C library is another (macOS, Alpine).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: LARGEST, M_ARENA_MAX: 1}  # of several arenas each is too small
    accepted = [mallopt(name, value) == 1 for name, value in settings.items()]
    return all(accepted)
