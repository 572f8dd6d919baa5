"""Learning rate schedules: the factor of the base learning rate at each step.

A schedule takes `step`, the number of updates so far, and `total_steps`, the planned number of updates, and returns a
factor. It uses no clock and stores nothing, so an interrupted run resumes from its step alone. After `total_steps`, the
last value stays. Points in time are fractions of `total_steps`, rounded to the nearest step.

`warmup` is the fraction of `total_steps` in which the factor rises linearly: with w warm-up steps, from 1/w at the
first to 1 at the last.

>>> [round(linear(step, 8, warmup=0.5), 2) for step in range(10)]
[0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]

Decisions that depend on validation losses are not schedules: `training.fit` halves the learning rate, and
`should_start_averaging` tells when to start averaging the parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence


def constant(step: int, total_steps: int, *, warmup: float = 0.0) -> float:
    """Returns 1, after the warm-up."""
    warmup_factor, _ = warmup_and_progress(step, total_steps, warmup)
    return warmup_factor


def steps(
    step: int,
    total_steps: int,
    *,
    milestones: Sequence[float] = (0.5, 0.75),
    factor: float = 0.1,
    warmup: float = 0.0,
) -> float:
    """Returns `factor` to the power of the number of `milestones` (fractions of `total_steps`) reached so far."""
    warmup_factor, _ = warmup_and_progress(step, total_steps, warmup)
    reached = sum(step >= round(fraction * total_steps) for fraction in milestones)
    return warmup_factor * float(factor) ** reached


def linear(step: int, total_steps: int, *, final: float = 0.0, warmup: float = 0.0) -> float:
    """Returns ``1 + (final - 1) x``, where x rises from 0 after the warm-up to 1 at `total_steps`."""
    warmup_factor, x = warmup_and_progress(step, total_steps, warmup)
    return warmup_factor * (1 + (final - 1) * x)


def cosine(step: int, total_steps: int, *, final: float = 0.0, warmup: float = 0.0) -> float:
    """Returns ``final + (1 - final) (1 + cos(pi x)) / 2``, x as in `linear` (Loshchilov & Hutter 2017, no restarts)."""
    warmup_factor, x = warmup_and_progress(step, total_steps, warmup)
    return warmup_factor * cosine_interpolation(1.0, final, x)


def one_cycle(
    step: int, total_steps: int, *, warmup: float = 0.3, div_factor: float = 25.0, final_div_factor: float = 1e4
) -> float:
    """One cycle up and down, each half a cosine (Smith & Topin 2018), as in PyTorch's OneCycleLR.

    The factor rises from ``1 / div_factor`` to 1 during the fraction `warmup` of `total_steps` (PyTorch's pct_start),
    then falls to ``1 / (div_factor final_div_factor)`` at the last step. Momentum does not change.
    """
    check_arguments(step, total_steps, warmup)
    first = 1 / div_factor
    peak, last = warmup * total_steps - 1, total_steps - 1  # in steps; the peak may lie between two
    step = min(step, last)
    if step <= peak:
        return cosine_interpolation(first, 1.0, step / peak if peak > 0 else 1.0)
    return cosine_interpolation(1.0, first / final_div_factor, (step - peak) / (last - peak))


def should_start_averaging(losses: Sequence[float], n: int = 5) -> bool:
    """Returns whether the last validation loss is above the best of those more than `n` before it.

    This is the non-monotonic criterion of Merity et al. 2018 (algorithm 1) for starting to average the parameters.

    >>> should_start_averaging([5.0, 4.0, 3.0, 3.5, 3.4], n=2), should_start_averaging([5.0, 4.0, 3.0, 3.5, 3.1], n=1)
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


def warmup_and_progress(step: int, total_steps: int, warmup: float) -> tuple[float, float]:
    """Returns the warm-up factor, and the progress x from 0 to 1 after the warm-up."""
    check_arguments(step, total_steps, warmup)
    warmup_steps = round(warmup * total_steps)
    if step < warmup_steps:
        return (step + 1) / warmup_steps, 0.0
    if step >= total_steps:
        return 1.0, 1.0
    return 1.0, (step - warmup_steps) / (total_steps - warmup_steps)


def cosine_interpolation(first: float, last: float, x: float) -> float:
    """Returns a value between `first` at x = 0 and `last` at x = 1 on half a cosine, flat at both ends."""
    return last + (first - last) * (1 + math.cos(math.pi * x)) / 2


def check_arguments(step: int, total_steps: int, warmup: float) -> None:
    """Raise `ValueError` if a schedule's argument is out of range."""
    if step < 0:
        raise ValueError(f"step must not be negative, got {step}")
    if total_steps < 1:
        raise ValueError(f"total_steps must be at least 1, got {total_steps}")
    if not 0 <= warmup <= 1:
        raise ValueError(f"warmup must be a fraction from 0 to 1, got {warmup}")


SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "steps": steps,
    "linear": linear,
    "cosine": cosine,
    "one_cycle": one_cycle,
}
