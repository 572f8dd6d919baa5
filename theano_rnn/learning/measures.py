"""Measures of a model's quality: loss, perplexity, accuracy and others."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


def perplexity(loss: float) -> float:
    """Returns the perplexity: exp of a mean `loss` in nats per token; infinity if that overflows.

    >>> round(perplexity(math.log(8000)), 6)
    8000.0
    """
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


class Measure(NamedTuple):
    """A measure of a model's quality, and how to display it.

    Parameters
    ----------
    name : str
        Its name in logs: ``loss``, ``perplexity``, ``accuracy``.
    unit : str
        The unit shown after the number.
    digits : int
        The number of digits shown after the decimal point.
    is_higher_better : bool
    of_loss : optional
        Computes the measure from the mean loss.
    of_sums : optional
        Computes the measure from an evaluation's sums and number of targets. If neither is given, the measure is a mean
        over targets.
    before_learning : float, optional
        The value of a model that has learned nothing yet. Early stopping waits until the measure is better than that,
        and until then the latest parameters count as the best.
    """

    name: str
    unit: str = ""
    digits: int = 2
    is_higher_better: bool = False
    of_loss: Callable[[float], float] | None = None
    of_sums: Callable[[Mapping[str, Any], int], float] | None = None
    before_learning: float | None = None

    def is_better(self, value: float, other: float | None) -> bool:
        """Returns whether `value` is better than `other`. Every value is better than None."""
        return other is None or (value > other if self.is_higher_better else value < other)

    def shown(self, value: float) -> str:
        """Format a value for display.

        >>> LOSS.shown(4.2057), PERPLEXITY.shown(67.0512)
        ('4.2057 nats', 'perplexity 67.05')
        """
        number = f"{value:.{self.digits}f}"
        return f"{number} {self.unit}" if self.unit else f"{self.name.replace('_', ' ')} {number}"


LOSS = Measure("loss", "nats", digits=4)
CHARACTER_LOSS = LOSS._replace(unit="nats per character")
PERPLEXITY = Measure("perplexity", of_loss=perplexity)
