"""Keep freed memory in the process, so that each training step reuses it.

XLA allocates the working memory of a call as one block and frees it afterwards. The C library requests a block of that
size from the operating system every time, which fills each page with zeros at its first use. That takes a tenth to a
fifth of a training step on a CPU.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # malloc.h
INT_MAX = 2**31 - 1


def keep_freed_memory() -> bool:
    """Make glibc's allocator keep freed memory, for the whole process. Returns whether it accepts the settings.

    For programs that train. Call it before threads start. The process then keeps its peak memory until it ends. No
    effect with another C library (macOS, Alpine).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: INT_MAX, M_ARENA_MAX: 1}  # each of several arenas is too small
    accepted = [mallopt(name, value) == 1 for name, value in settings.items()]
    return all(accepted)
