"""JAX's devices, of this process and of others that train with it."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.experimental.multihost_utils
import numpy as np

from theano_rnn.settings.base import UserError

HEARTBEAT_SECONDS = 30  # after which a silent process counts as dead; one that dies is noticed at once


def devices(kind: str, count: int | None) -> list[Any]:
    """`count` of JAX's devices, of all processes, of a kind: "auto" (GPUs where there are any), "cpu" or "gpu".

    A count of None is all of them.

    Raises
    ------
    UserError
        JAX sees no such device, or fewer.
    """
    try:
        found = jax.devices(None if kind == "auto" else kind)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"JAX sees no {kind} ({reason}): install the extra cuda12 or cuda13, or use --device cpu"
        ) from None
    if count is not None and count > len(found):
        raise UserError(f"--num-devices {count}: JAX sees {len(found)}")
    return list(found[:count])


def is_ours(device: Any) -> bool:
    """Whether a device is this process's own."""
    return bool(device.process_index == jax.process_index())


def join(coordinator: str, num_processes: int, process_id: int) -> None:
    """Become one of `num_processes` that see each other's devices; process 0 listens at `coordinator`, HOST:PORT.

    Raises
    ------
    UserError
        The others cannot be reached.
    """
    options: dict[str, Any] = {}
    if "heartbeat_timeout_seconds" in inspect.signature(jax.distributed.initialize).parameters:
        options["heartbeat_timeout_seconds"] = HEARTBEAT_SECONDS
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(coordinator, num_processes, process_id, initialization_timeout=60, **options)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"the processes at --coordinator {coordinator} did not all meet: {reason}") from None


def any_process(flag: bool) -> bool:
    """Whether `flag` is true in any of the processes; all must ask at the same time."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(jax.experimental.multihost_utils.process_allgather(np.int32(flag))))
