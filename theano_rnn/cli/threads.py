"""The number of threads, fixed before numpy is imported: results depend on it in the last digits."""

from __future__ import annotations

import os

from theano_rnn.aesara_flags import set_threads

MOST = 8


def default_threads() -> int:
    """The cores that this process may use, at most eight: more slow small matrices down."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST)


def fix_threads(threads: int | None) -> None:
    """Use `threads`, or what the environment says, or the default."""
    if threads is None and any(name in os.environ for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")):
        return
    set_threads(threads or default_threads())
