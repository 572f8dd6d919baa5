"""What the machine is to do the work with, fixed before numpy and aesara are imported."""

from __future__ import annotations

import dataclasses
import os
import sys

from theano_rnn.aesara_flags import has_jax, set_threads, without_compiler
from theano_rnn.config import MachineConfig, UserError

MOST_THREADS = 8
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")


def default_threads() -> int:
    """The cores that this process may use, at most eight: more slow small matrices down."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_THREADS)


def prepare_machine(config: MachineConfig) -> MachineConfig:
    """Set threads and Aesara's flags; returns the settings with the engine that `auto` stands for.

    The number of threads decides the last digits of results: it is `config.threads`, else what the environment says,
    else one for each core.

    Raises
    ------
    UserError
        The engine is not installed, or does not run on this Python.
    """
    if config.threads is not None or not any(name in os.environ for name in THREAD_VARIABLES):
        set_threads(config.threads or default_threads())
    engine = config.engine
    if engine == "auto":
        engine = "jax" if has_jax() or sys.version_info >= (3, 12) else "c"
    if engine == "jax":
        if not has_jax():
            raise UserError("engine jax needs JAX: pip install 'theano_rnn[jax]' (with a GPU: [cuda12] or [cuda13])")
        without_compiler()
    elif config.device == "gpu":
        raise UserError("--device gpu needs --engine jax: Aesara's C code runs on the CPU alone")
    return dataclasses.replace(config, engine=engine)
