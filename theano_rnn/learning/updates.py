"""Combine clipping, weight decay, the optimizer and averages of the parameters into the updates of one step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from theano_rnn.learning.averaging import exponential_average, select_averages
from theano_rnn.learning.fine_tuning import scaled_updates
from theano_rnn.learning.gradients import add_weight_decay, clip_global_norm, clip_value
from theano_rnn.learning.optimizers import OPTIMIZERS


class Updates(NamedTuple):
    """The updates of one training step.

    Attributes
    ----------
    updates : dict
        New values of shared variables.
    state : dict
        The optimizer's shared variables, by name.
    averages : dict
        Those of them that are averages of the parameters, by parameter name.
    """

    updates: dict[Any, Any]
    state: dict[str, Any]
    averages: dict[str, Any]


class UpdateRule(NamedTuple):
    """How gradients change the parameters. The fields are settings of `TrainingConfig`."""

    optimizer: str = "sgd"
    clip_norm: float = 0.0
    clip_value: float = 0.0
    weight_decay: float = 0.0
    average_decay: float = 0.0

    def apply(
        self,
        params: Mapping[str, Any],
        gradients: Mapping[str, Any],
        learning_rate: Any,
        rate_factors: Mapping[str, Any] | None = None,
    ) -> Updates:
        """Returns the updates of `params` for their `gradients`, which have the same names.

        `rate_factors` are factors of the learning rate of some parameters, by name.
        """
        gradients = dict(gradients)
        if self.clip_value > 0:
            gradients = clip_value(gradients, self.clip_value)
        if self.clip_norm > 0:
            gradients = clip_global_norm(gradients, self.clip_norm)
        options: dict[str, Any] = {"weight_decay": self.weight_decay} if self.optimizer == "adamw" else {}
        if self.weight_decay > 0 and not options:
            gradients = add_weight_decay(params, gradients, self.weight_decay)
        updates, state = OPTIMIZERS[self.optimizer](params, gradients, learning_rate, **options)
        updates = scaled_updates(params, updates, rate_factors or {})
        averages = select_averages(state, "mean")  # of asgd
        if self.average_decay > 0:
            average_updates, average_state = exponential_average(params, updates, self.average_decay)
            updates, state = updates | average_updates, state | average_state
            averages = select_averages(average_state, "ema")
        return Updates(updates, state, averages)
