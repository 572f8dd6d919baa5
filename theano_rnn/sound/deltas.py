"""Slopes of features over time ("deltas"), which tell a recognizer how the sound changes."""

from __future__ import annotations

from typing import Any

import numpy as np

REACH = 2  # frames on each side


def slopes(frames: Any) -> Any:
    """Returns the slope of each feature, float32 (frames, features), by linear regression over five frames:

        d[t] = sum_k k (x[t + k] - x[t - k]) / (2 sum_k k^2),    k = 1 .. 2

    The first and the last frame are repeated beyond the ends.

    >>> slopes(np.array([[0.0], [3.0], [6.0], [9.0], [12.0]]))[2]
    array([3.], dtype=float32)
    """
    x = np.asarray(frames, np.float32)
    if not len(x):
        return x
    padded = np.concatenate([np.repeat(x[:1], REACH, 0), x, np.repeat(x[-1:], REACH, 0)])
    count = len(x)
    total = sum(k * (padded[REACH + k :][:count] - padded[REACH - k :][:count]) for k in range(1, REACH + 1))
    return (total / np.float32(2 * sum(k * k for k in range(1, REACH + 1)))).astype(np.float32)


def with_deltas(frames: Any, order: int) -> Any:
    """Returns the features with their slopes behind them, float32 (frames, (1 + order) * features).

    Parameters
    ----------
    order
        0: no slopes; 1: slopes; 2: also the slopes of the slopes.
    """
    found = [np.asarray(frames, np.float32)]
    for _ in range(order):
        found.append(slopes(found[-1]))
    return np.concatenate(found, axis=1)
