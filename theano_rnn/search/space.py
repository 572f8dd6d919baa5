"""The space of a search: which values each varied setting may have.

>>> space = read_space({"cell": ["lstm", "gru"], "hidden_size": {"range": [100, 300, 100]}})
>>> space.size
6
>>> space.point(5)
{'cell': 'gru', 'hidden_size': 300}
>>> import numpy as np
>>> space = read_space({"learning_rate": {"log_uniform": [0.001, 0.1]}})
>>> space.size, 0.001 <= space.draw(np.random.default_rng(1))["learning_rate"] <= 0.1
(None, True)
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from theano_rnn.settings.base import UserError, is_finite

FORMS = {
    "range": "{range = [FIRST, LAST, STEP]}",
    "uniform": "{uniform = [LOW, HIGH]}",
    "log_uniform": "{log_uniform = [LOW, HIGH]}",
    "integers": "{integers = [LOW, HIGH]}",
    "log_integers": "{log_integers = [LOW, HIGH]}",
}
MAX_VALUES = 10_000  # of a range
MAX_ORDERED = 1_000_000  # combinations that are put in a random order; of more, some are drawn
DIGITS = 4  # significant digits of a number that is drawn here


@dataclass(frozen=True)
class Dimension:
    """One varied setting.

    Parameters
    ----------
    name
        The setting.
    kind
        ``list``, or a key of `FORMS`.
    values
        All values of a list, range or integers, in order; empty for the continuous distributions.
    low, high
        Limits, both included; 0 for a list.
    """

    name: str
    kind: str
    values: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0

    @property
    def is_logarithmic(self) -> bool:
        """Returns whether equal ratios are equally likely."""
        return self.kind.startswith("log_")

    @property
    def examples(self) -> tuple[Any, ...]:
        """Returns values such that all others are allowed if these are."""
        return self.values if self.kind == "list" else (self.low, self.high)

    def draw(self, rng: np.random.Generator) -> Any:
        """Returns a random value; of a continuous distribution, one with `DIGITS` significant digits."""
        if self.kind == "log_integers":
            value = round(math.exp(rng.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5))))
            return int(min(max(value, self.low), self.high))
        if self.values:
            return self.values[int(rng.integers(len(self.values)))]
        if self.is_logarithmic:
            number = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        else:
            number = rng.uniform(self.low, self.high)
        return min(max(float(f"{number:.{DIGITS}g}"), self.low), self.high)


@dataclass(frozen=True)
class Space:
    """All combinations of the values of the dimensions."""

    dimensions: tuple[Dimension, ...]

    @property
    def size(self) -> int | None:
        """Returns the number of combinations, or None if a dimension is continuous."""
        if not all(dimension.values for dimension in self.dimensions):
            return None
        return math.prod(len(dimension.values) for dimension in self.dimensions)

    def point(self, index: int) -> dict[str, Any]:
        """Returns the combination of this index. The last dimension changes fastest."""
        found: dict[str, Any] = {}
        for dimension in reversed(self.dimensions):
            index, place = divmod(index, len(dimension.values))
            found[dimension.name] = dimension.values[place]
        return {dimension.name: found[dimension.name] for dimension in self.dimensions}

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Returns a random combination."""
        return {dimension.name: dimension.draw(rng) for dimension in self.dimensions}

    def untried(self, tried: Collection[str], *, seed: int, in_order: bool = False) -> dict[str, Any] | None:
        """Returns the next combination whose `key` is not in `tried`, or None if all were tried.

        It depends on `seed` and `tried` alone, so it does not matter which process asks.
        """
        return next((point for point in self.points(seed, in_order=in_order) if key(point) not in tried), None)

    def points(self, seed: int, *, in_order: bool = False) -> Iterator[dict[str, Any]]:
        """Yield combinations, at random or in order: all of them, each once, or if there are too many, without end."""
        rng = np.random.default_rng(seed)
        if self.size is not None and self.size <= MAX_ORDERED:
            for index in range(self.size) if in_order else rng.permutation(self.size):
                yield self.point(int(index))
            return
        while True:
            yield self.draw(rng)


def key(point: Mapping[str, Any]) -> str:
    """Returns a text that is the same for equal combinations."""
    return json.dumps(point, sort_keys=True)


def read_space(vary: Mapping[str, Any]) -> Space:
    """Returns the space that a table describes: for each setting a list of values or one of `FORMS`.

    Raises
    ------
    UserError
        The table is empty, or one of its entries has another form.
    """
    if not vary:
        raise UserError("nothing is varied: add a table [vary], for example with dropout = [0.2, 0.4]")
    return Space(tuple(read_dimension(name, entry) for name, entry in vary.items()))


def read_dimension(name: str, entry: Any) -> Dimension:
    """Returns one dimension. Raises `UserError` if `entry` is neither a list nor one of `FORMS`."""
    if isinstance(entry, list) and entry:
        if len({key({name: value}) for value in entry}) < len(entry):
            raise UserError(f"{name} in [vary] has a value twice: {entry}")
        return Dimension(name, "list", tuple(entry))
    kind = next(iter(entry)).replace("-", "_") if isinstance(entry, dict) and len(entry) == 1 else ""
    if kind not in FORMS:
        raise UserError(f"{name} in [vary] must be a list of values, or one of {', '.join(FORMS.values())}, "
                        f"got {entry!r}")  # fmt: skip
    limits = next(iter(entry.values()))
    count = 3 if kind == "range" else 2
    if not isinstance(limits, list) or len(limits) != count or not all(map(is_number, limits)):
        raise UserError(f"{name} in [vary] must be {FORMS[kind]}, got {entry!r}")
    low, high = limits[:2]
    if low >= high:
        raise UserError(f"{name} in [vary]: {low} must be less than {high}")
    if kind.startswith("log_") and low <= 0:
        raise UserError(f"{name} in [vary]: {kind} must start above 0, got {low}")
    if kind == "range":
        return Dimension(name, kind, range_values(name, low, high, limits[2]), low, high)
    if kind in ("integers", "log_integers"):
        if not all(isinstance(limit, int) for limit in limits):
            raise UserError(f"{name} in [vary]: {kind} must have whole numbers, got {limits}")
        if high - low >= MAX_VALUES:
            raise UserError(f"{name} in [vary]: {kind} must be at most {MAX_VALUES:,} numbers, got {limits}")
        return Dimension(name, kind, tuple(range(low, high + 1)), low, high)
    return Dimension(name, kind, (), float(low), float(high))


def is_number(value: Any) -> bool:
    """Returns whether a value is a finite number, and not true or false."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and is_finite(value)


def range_values(name: str, first: float, last: float, step: float) -> tuple[Any, ...]:
    """Returns the values of a range; `last` is one of them if the steps reach it.

    >>> range_values("dropout", 0.1, 0.4, 0.1)
    (0.1, 0.2, 0.3, 0.4)
    """
    if step <= 0 or (last - first) / step > MAX_VALUES:
        raise UserError(
            f"{name} in [vary]: the step must be above 0 and give at most {MAX_VALUES:,} values, got {step}"
        )
    count = math.floor((last - first) / step + 1e-9) + 1
    if all(isinstance(number, int) for number in (first, last, step)):
        return tuple(first + index * step for index in range(count))
    return tuple(float(f"{first + index * step:.10g}") for index in range(count))
