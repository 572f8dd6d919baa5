"""Keep what XLA compiles in the cache folder, so that the next run of a command starts sooner.

JAX does the work: it stores each compiled function under a hash of the function, its options and the versions of JAX
and XLA. A folder is for one kind of processor and one number of threads, because XLA compiles different code for them,
and the last digits of results must not depend on what another run has left in the cache.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
import zlib
from pathlib import Path

from theano_rnn.engine.aesara_flags import x86_instructions
from theano_rnn.settings.cache_folder import cache_folder

MAX_BYTES = 256_000_000
FOLDER_VARIABLE = "JAX_COMPILATION_CACHE_DIR"
COMPILED_FROM = ("NPROC", "XLA_FLAGS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")


def keep_compiled_code() -> None:
    """Let JAX store compiled functions in the cache folder, and delete the least recently used beyond 256 MB.

    Must be called before JAX is imported. Does nothing if the cache is disabled (``THEANO_RNN_CACHE_MB=0``), its folder
    cannot be written, or the user's environment names a folder of its own (``JAX_COMPILATION_CACHE_DIR``).
    """
    folder = cache_folder()
    if folder is None or FOLDER_VARIABLE in os.environ or "jax" in sys.modules:
        return
    folder /= f"xla-{zlib.crc32(repr(machine_facts()).encode()):08x}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        evict(folder.parent)
    except OSError:
        return  # the cache only saves time
    if not os.access(folder, os.W_OK):
        return
    os.environ[FOLDER_VARIABLE] = str(folder)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache")


def machine_facts() -> list[object]:
    """Returns what XLA's code depends on besides the function, its options and the versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [sorted(x86_instructions()), cores, *(os.environ.get(name) for name in COMPILED_FROM)]


def evict(folder: Path) -> None:
    """Delete the least recently used compiled functions until the rest fits into `MAX_BYTES`."""
    entries = []
    for path in folder.glob("xla-*/*"):
        with contextlib.suppress(OSError):
            facts = path.stat()
            entries.append((max(facts.st_atime, facts.st_mtime), facts.st_size, path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= MAX_BYTES:
            return
        path.unlink(missing_ok=True)
        total -= size
