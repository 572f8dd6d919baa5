"""Several successive frames as one input of the network, which then has fewer steps to compute."""

from __future__ import annotations

from typing import Any

import numpy as np


def num_stacked(num_frames: Any, by: int) -> Any:
    """Returns how many inputs a number of frames becomes, or each of an array of numbers: the last one may be padded.

    >>> num_stacked(7, 3)
    3
    """
    return -(-num_frames // by)


def stacked(frames: Any, by: int) -> Any:
    """Returns frames side by side, (frames, features) -> (ceil(frames / by), by * features).

    The last frame is repeated where frames are missing.

    >>> stacked(np.array([[1], [2], [3]]), 2).tolist()
    [[1, 2], [3, 3]]
    """
    x = np.asarray(frames)
    if not len(x):
        return np.zeros((0, by * x.shape[1]), x.dtype)
    x = np.concatenate([x, np.repeat(x[-1:], -len(x) % by, axis=0)])
    return x.reshape(len(x) // by, by * x.shape[1])
