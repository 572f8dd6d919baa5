"""Measures: the numbers that say how well a model does."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple


def perplexity(loss: float) -> float:
    """Perplexity, exp of a mean `loss` in nats per token; infinite if that overflows.

    >>> round(perplexity(math.log(8000)), 6)
    8000.0
    """
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


class Measure(NamedTuple):
    """How well a model does, as one number.

    name : str
        As in logs: ``loss``, ``perplexity``, ``accuracy``.
    unit : str
        Of the number, as shown after it.
    digits : int
        After the decimal point, as shown.
    is_higher_better : bool
    of_loss : optional
        A function of the mean loss, for a measure that follows from it; else it is a mean over targets.
    """

    name: str
    unit: str = ""
    digits: int = 2
    is_higher_better: bool = False
    of_loss: Callable[[float], float] | None = None

    def is_better(self, value: float, other: float | None) -> bool:
        """Whether `value` is better than `other`; anything is better than None."""
        return other is None or (value > other if self.is_higher_better else value < other)

    def shown(self, value: float) -> str:
        """The value as a person reads it.

        >>> LOSS.shown(4.2057), PERPLEXITY.shown(67.0512)
        ('4.2057 nats', 'perplexity 67.05')
        """
        number = f"{value:.{self.digits}f}"
        return f"{number} {self.unit}" if self.unit else f"{self.name} {number}"


LOSS = Measure("loss", "nats", digits=4)
CHARACTER_LOSS = LOSS._replace(unit="nats per character")
PERPLEXITY = Measure("perplexity", of_loss=perplexity)
