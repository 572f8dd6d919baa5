"""Schedules of the learning rate: what the base rate is multiplied by, as a function of the step.

A schedule takes `step`, the number of updates already made, and `total_steps`, the stated budget of updates, and
returns a factor. It knows no clock and remembers nothing, so an interrupted run needs no more than its step to go on.
Beyond the budget the last value holds. Points in time are shares of the budget, and fall on the nearest step.

`warmup` is the share of the budget in which the factor rises linearly: of w such steps the first has 1/w, the last 1.

>>> [round(linear(step, 8, warmup=0.5), 2) for step in range(10)]
[0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]

What validation losses decide is not a schedule: halving the rate is part of `training.fit`, and when to start
averaging is said by `is_triggered`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence


def constant(step: int, total_steps: int, *, warmup: float = 0.0) -> float:
    """1, after the warm-up."""
    rising, _ = position(step, total_steps, warmup)
    return rising


def steps(
    step: int,
    total_steps: int,
    *,
    milestones: Sequence[float] = (0.5, 0.75),
    factor: float = 0.1,
    warmup: float = 0.0,
) -> float:
    """`factor` to the power of the number of `milestones`, shares of the budget, that have been reached."""
    rising, _ = position(step, total_steps, warmup)
    reached = sum(step >= round(share * total_steps) for share in milestones)
    return rising * float(factor) ** reached


def linear(step: int, total_steps: int, *, final: float = 0.0, warmup: float = 0.0) -> float:
    """``1 + (final - 1) x``, x rising from 0 after the warm-up to 1 at the budget's end."""
    rising, x = position(step, total_steps, warmup)
    return rising * (1 + (final - 1) * x)


def cosine(step: int, total_steps: int, *, final: float = 0.0, warmup: float = 0.0) -> float:
    """``final + (1 - final) (1 + cos(pi x)) / 2`` (Loshchilov & Hutter 2017, without restarts), x as in `linear`."""
    rising, x = position(step, total_steps, warmup)
    return rising * half_wave(1.0, final, x)


def one_cycle(
    step: int, total_steps: int, *, warmup: float = 0.3, div_factor: float = 25.0, final_div_factor: float = 1e4
) -> float:
    """Up and far down in two half waves of a cosine (Smith & Topin 2018), as PyTorch's OneCycleLR.

    From ``1 / div_factor`` to 1 in a share `warmup` (there pct_start) of the budget, then to
    ``1 / (div_factor final_div_factor)``, which the last step of the budget has. Momentum stays as it is.
    """
    check(step, total_steps, warmup)
    first = 1 / div_factor
    peak, last = warmup * total_steps - 1, total_steps - 1  # steps; the peak may lie between two
    step = min(step, last)
    if step <= peak:
        return half_wave(first, 1.0, step / peak if peak > 0 else 1.0)
    return half_wave(1.0, first / final_div_factor, (step - peak) / (last - peak))


def is_triggered(losses: Sequence[float], n: int = 5) -> bool:
    """Whether the last of the validation losses so far is worse than the best of those more than n before it.

    The non-monotonic criterion of Merity et al. 2018 (algorithm 1) for starting to average the parameters.

    >>> is_triggered([5.0, 4.0, 3.0, 3.5, 3.4], n=2), is_triggered([5.0, 4.0, 3.0, 3.5, 3.1], n=1)
    (False, True)

    Raises
    ------
    ValueError
        `n` is negative.
    """
    if n < 0:
        raise ValueError(f"n must not be negative, got {n}")
    earlier = losses[: max(len(losses) - 1 - n, 0)]
    return len(earlier) > 0 and losses[-1] > min(earlier)


def position(step: int, total_steps: int, warmup: float) -> tuple[float, float]:
    """Where `step` is: the factor of the warm-up, and the share of the rest of the budget that is used up."""
    check(step, total_steps, warmup)
    warmup_steps = round(warmup * total_steps)
    if step < warmup_steps:
        return (step + 1) / warmup_steps, 0.0
    if step >= total_steps:
        return 1.0, 1.0
    return 1.0, (step - warmup_steps) / (total_steps - warmup_steps)


def half_wave(first: float, last: float, x: float) -> float:
    """From `first` at x = 0 to `last` at x = 1, flat at both."""
    return last + (first - last) * (1 + math.cos(math.pi * x)) / 2


def check(step: int, total_steps: int, warmup: float) -> None:
    """Raise `ValueError` where a step, a budget or a share is none."""
    if step < 0:
        raise ValueError(f"step must not be negative, got {step}")
    if total_steps < 1:
        raise ValueError(f"total_steps must be at least 1, got {total_steps}")
    if not 0 <= warmup <= 1:
        raise ValueError(f"warmup must be a share from 0 to 1, got {warmup}")


SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "steps": steps,
    "linear": linear,
    "cosine": cosine,
    "one_cycle": one_cycle,
}
