"""Averages of the parameters over training steps.

Each function takes an optimizer's updates and returns ``(updates, state)``: further updates, for the averages, and the
shared variables that hold them, for the checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aesara
import aesara.tensor as T
import numpy as np
from aesara.tensor.var import TensorVariable

Params = Mapping[str, Any]
UpdateDict = dict[Any, TensorVariable]
State = dict[str, Any]


def exponential_average(params: Params, updates: UpdateDict, decay: float) -> tuple[UpdateDict, State]:
    """Exponential moving averages ``ema.NAME`` of the parameters, ``a <- a + (1 - decay) (p - a)``.

    They start from the current parameters, whose weight after t steps is ``decay^t``. Every step reads and writes all
    elements of all parameters, including rows of an embedding that do not change.

    Parameters
    ----------
    updates
        An optimizer's updates. The averages include their new values.

    Raises
    ------
    ValueError
        `decay` is not in [0, 1).
    """
    if not 0 <= decay < 1:
        raise ValueError(f"decay must be at least 0 and less than 1, got {decay}")
    state: State = {}
    average_updates: UpdateDict = {}
    for name, p in params.items():
        average = aesara.shared(np.array(p.get_value(borrow=True)), name=f"ema.{name}")
        state[f"ema.{name}"] = average
        average_updates[average] = average + np.asarray(1 - decay, p.dtype) * (updates.get(p, p) - average)
    return average_updates, state


def running_mean(params: Params, updates: UpdateDict) -> tuple[UpdateDict, State]:
    """Means ``mean.NAME`` of the parameters over all steps since `start_averaging` (Polyak & Juditsky 1992).

    ``n <- n + 1``, ``mean <- mean + (p - mean) / n``. The count n is ``num_averaged`` in the state. It is -1 until
    averaging starts, and until then the means are copies of the parameters. `start_averaging` sets it to 0 between two
    steps; the next step's parameters are then the first of the mean. PyTorch's ASGD leaves these first parameters out.

    Parameters
    ----------
    updates
        An optimizer's updates. The means include their new values.
    """
    count = aesara.shared(np.full((), -1, "int32"), name="num_averaged")
    n = T.switch(T.lt(count, 0), count, count + np.int32(1))
    state: State = {"num_averaged": count}
    average_updates: UpdateDict = {count: n}
    for name, p in params.items():
        mean = aesara.shared(np.array(p.get_value(borrow=True)), name=f"mean.{name}")
        state[f"mean.{name}"] = mean
        new = updates.get(p, p)
        average_updates[mean] = T.switch(T.le(n, 1), new, mean + (new - mean) / T.cast(T.maximum(n, 1), p.dtype))
    return average_updates, state


def start_averaging(state: State) -> None:
    """Start the means of `running_mean` or `asgd` with the next step, unless they have started."""
    if state["num_averaged"].get_value() < 0:
        state["num_averaged"].set_value(np.zeros((), "int32"))


def select_averages(state: State, kind: str) -> State:
    """Returns the averages in an optimizer's state by the names of their parameters.

    `kind` is "ema" (`exponential_average`) or "mean" (`running_mean`).
    """
    return {name.removeprefix(f"{kind}."): value for name, value in state.items() if name.startswith(f"{kind}.")}
