"""Sets threads, memory, engine and devices, before numpy and aesara are imported."""

from __future__ import annotations

import dataclasses
import os
from typing import TypeVar

from theano_rnn.cli.compilation_cache import keep_compiled_code
from theano_rnn.cli.supervision import supervise
from theano_rnn.engine.aesara_flags import disable_c_compiler, resolve_engine, set_threads
from theano_rnn.engine.allocator import keep_freed_memory
from theano_rnn.engine.kernels import choose_kernels, resolve_kernels
from theano_rnn.settings.base import UserError
from theano_rnn.settings.machine import MachineConfig, TrainingMachineConfig

MAX_THREADS = 8
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
Machine = TypeVar("Machine", bound=MachineConfig)
has_joined = False  # whether this process trains together with others


def default_threads() -> int:
    """Returns the number of cores that this process may use, at most 8, because more slow down small matrices."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MAX_THREADS)


def prepare_machine(config: Machine, *, is_command: bool = True) -> Machine:
    """Set threads, memory and Aesara's flags. Returns the settings with the engine and kernels that `auto` selects.

    The number of threads is `config.threads`; if that is not set, the environment's; otherwise one for each core. It
    affects the last digits of results. In a program that has imported NumPy (not `is_command`), it stays as it is.

    Raises
    ------
    UserError
        The engine is not installed, or does not run on this Python.
    """
    if not is_command and config.threads is not None:
        raise UserError("threads cannot be set after NumPy was imported: set the environment variable OMP_NUM_THREADS "
                        "before that")  # fmt: skip
    if is_command and (config.threads is not None or not any(name in os.environ for name in THREAD_VARIABLES)):
        set_threads(config.threads or default_threads())
    engine = resolve_engine(config.engine)
    if engine == "jax":
        disable_c_compiler()
        keep_freed_memory()
        keep_compiled_code()
    elif config.device == "gpu":
        raise UserError("--device gpu needs --engine jax, because Aesara's C code runs only on the CPU")
    choose_kernels(config.kernels)
    kernels = resolve_kernels(config.kernels) if engine == "jax" else "none"
    config = dataclasses.replace(config, engine=engine, kernels=kernels)
    if config.device == "gpu" and getattr(config, "coordinator", None) is None:  # said before any text is read
        from theano_rnn.engine.devices import find_devices

        find_devices("gpu", None)
    if isinstance(config, TrainingMachineConfig):
        return dataclasses.replace(config, num_devices=str(count_devices(config)))
    return config


def count_devices(config: TrainingMachineConfig) -> int:
    """Join the other processes if there are any. Returns the number of devices that `config` selects."""
    text = config.num_devices
    if text != "auto" and not (text.isascii() and text.isdigit() and int(text) > 0):
        raise UserError(f"--num-devices must be a whole number of at least 1, or auto, got {text!r}")
    coordinator, count, number = config.coordinator, config.num_processes, config.process_id
    is_one_of_several = not (coordinator is None and count is None and number is None)
    if is_one_of_several and (coordinator is None or count is None or number is None):
        raise UserError("--coordinator, --num-processes and --process-id must be used together: give all three")
    if count is not None and number is not None and number >= count:
        raise UserError(f"--process-id must be less than --num-processes {count}, got {number}")
    if text == "1" and is_one_of_several:
        text = "auto"  # at least one device of each process
    if text == "1":
        return 1
    if config.engine != "jax":
        raise UserError("several devices or processes need --engine jax: add --engine jax")
    if is_one_of_several:
        supervise(f"process {number}")
    from theano_rnn.engine.devices import connect_processes, find_devices

    if coordinator is not None and count is not None and number is not None:
        global has_joined
        connect_processes(coordinator, count, number)
        has_joined = True
    return len(find_devices(config.device, None if text == "auto" else int(text)))
