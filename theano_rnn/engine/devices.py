"""JAX's devices: those of this process, and those of other processes that train with it."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.experimental.multihost_utils
import numpy as np

from theano_rnn.settings.base import UserError

HEARTBEAT_SECONDS = 30  # without a sign of life until a process counts as dead; one that exits is noticed at once


def find_devices(kind: str, count: int | None) -> list[Any]:
    """Returns `count` of JAX's devices, across all processes; all of them if `count` is None.

    `kind` is "auto" (GPUs if there are any, else CPUs), "cpu" or "gpu".

    Raises
    ------
    UserError
        JAX sees no device of this kind, or fewer than `count`.
    """
    try:
        found = jax.devices(None if kind == "auto" else kind)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"JAX sees no {kind} ({reason}): install the extra cuda12 or cuda13, or use --device cpu"
        ) from None
    if count is not None and count > len(found):
        raise UserError(f"--num-devices {count}: JAX sees {len(found)}; ask for at most that many")
    return list(found[:count])


def is_local(device: Any) -> bool:
    """Returns whether a device belongs to this process."""
    return bool(device.process_index == jax.process_index())


def connect_processes(coordinator: str, num_processes: int, process_id: int) -> None:
    """Connect this process to others for training on the devices of all.

    Process 0 listens at `coordinator`, HOST:PORT. The call returns when all `num_processes` are connected.

    Raises
    ------
    UserError
        The processes do not connect within 60 seconds.
    """
    options: dict[str, Any] = {}
    if "heartbeat_timeout_seconds" in inspect.signature(jax.distributed.initialize).parameters:
        options["heartbeat_timeout_seconds"] = HEARTBEAT_SECONDS
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(coordinator, num_processes, process_id, initialization_timeout=60, **options)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"cannot connect all {num_processes} processes through --coordinator {coordinator} ({reason}): "
            "start every process with the same address, and check that it can be reached"
        ) from None


def any_process(flag: bool) -> bool:
    """Returns whether `flag` is true in any process. All processes must call it at the same time."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(jax.experimental.multihost_utils.process_allgather(np.int32(flag))))
