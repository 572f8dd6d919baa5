"""From gradients to updates: clipping, weight decay, the optimizer, and averages of the parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import aesara.tensor as T
from aesara.tensor.var import TensorVariable

from theano_rnn.learning.optimizers import (
    OPTIMIZERS,
    add_weight_decay,
    averages,
    clip_global_norm,
    clip_value,
    exponential_average,
    squared_norm,
)


class Updates(NamedTuple):
    """What a step changes, the state of the optimizer by name, and of it the averages of the parameters by role."""

    updates: dict[Any, Any]
    state: dict[str, Any]
    averages: dict[str, Any]


class UpdateRule(NamedTuple):
    """How gradients change parameters; the names are those of `TrainingConfig`."""

    optimizer: str = "sgd"
    clip_norm: float = 0.0
    clip_value: float = 0.0
    weight_decay: float = 0.0
    average_decay: float = 0.0

    def apply(self, params: Mapping[str, Any], gradients: Mapping[str, Any], learning_rate: Any) -> Updates:
        """Updates of `params` by their `gradients`, which are of the same names."""
        gradients = dict(gradients)
        if self.clip_value > 0:
            gradients = clip_value(gradients, self.clip_value)
        if self.clip_norm > 0:
            gradients = clip_global_norm(gradients, self.clip_norm)
        options: dict[str, Any] = {"weight_decay": self.weight_decay} if self.optimizer == "adamw" else {}
        if self.weight_decay > 0 and not options:
            gradients = add_weight_decay(params, gradients, self.weight_decay)
        updates, state = OPTIMIZERS[self.optimizer](params, gradients, learning_rate, **options)
        means = averages(state, "mean")  # asgd's
        if self.average_decay > 0:
            more, state_of_averages = exponential_average(params, updates, self.average_decay)
            updates, state = updates | more, state | state_of_averages
            means = averages(state_of_averages, "ema")
        return Updates(updates, state, means)


def norms_of(*rows: Iterable[Any]) -> TensorVariable:
    """The L2 norms of variables or gradients, row by row."""
    return T.sqrt(T.stack([T.stack([squared_norm(each) for each in row]) for row in rows]))
