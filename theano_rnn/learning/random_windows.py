"""Windows of random length, so that every epoch cuts a stream at other places (Merity et al. 2018).

>>> lengths = random_lengths(1000, 35, rng=np.random.default_rng(0))
>>> int(lengths.sum()), all(length <= max(padded_lengths(35)) for length in lengths)
(1000, True)
"""

from __future__ import annotations

from typing import Any

import numpy as np


def padded_lengths(bptt_steps: int) -> list[int]:
    """Returns the lengths, at most four, to which windows of random length are padded.

    >>> padded_lengths(70)
    [40, 70, 75, 85]
    """
    spread = window_spread(bptt_steps)
    return sorted({bptt_steps // 2 + spread, bptt_steps, bptt_steps + spread, bptt_steps + 3 * spread})


def window_spread(bptt_steps: int) -> int:
    """Returns the standard deviation of a window's length."""
    return min(5, max(bptt_steps // 8, 1))


def random_lengths(num_rows: int, bptt_steps: int, *, rng: np.random.Generator) -> Any:
    """Sample the lengths of the windows that cut `num_rows` rows (Merity et al. 2018). Returns int64 (windows,).

    Each is normally distributed around `bptt_steps`, or with probability 0.05 around half of it, with standard
    deviation 5 (less if windows are short). It is at least 5 (1 if windows are short) and at most the longest padded
    length. The last window has the remaining rows.
    """
    spread, longest = window_spread(bptt_steps), padded_lengths(bptt_steps)[-1]
    least = min(5, max(bptt_steps // 4, 1))
    lengths: list[int] = []
    remaining = num_rows
    while remaining > 0:
        mean = bptt_steps if rng.random() < 0.95 else bptt_steps / 2
        lengths.append(min(int(np.clip(int(rng.normal(mean, spread)), least, longest)), remaining))
        remaining -= lengths[-1]
    return np.array(lengths, "int64")
