"""Fine-tuning: train the parameters that come from another model more slowly than new ones, or later.

Gradual unfreezing (Howard & Ruder 2018): first only the new parameters are trained; then, after every so many epochs,
also the next layer of the old ones, from the output down to the embedding.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from theano_rnn.settings.training import TrainingConfig

LEVEL = re.compile(r"(?:(?:forward|backward)\.)?(?:layer|forward|backward)(\d+)\.")


def scaled_updates(
    params: Mapping[str, Any], updates: Mapping[Any, Any], rate_factors: Mapping[str, Any]
) -> dict[Any, Any]:
    """Scale the steps of some parameters: ``p <- p + factor (new p - p)``, for the factors by parameter name."""
    scaled = dict(updates)
    for name, factor in rate_factors.items():
        p = params[name]
        if p in updates:
            scaled[p] = p + factor * (updates[p] - p)
    return scaled


def set_factors(variables: Mapping[str, Any], epoch: int, training: TrainingConfig) -> None:
    """Set the factors of the learning rate, shared variables by parameter name, for an epoch, counted from 0."""
    factors = factors_of_epoch(
        list(variables), epoch, learning_rate_factor=training.learning_rate_factor,
        unfreeze_epochs=training.unfreeze_epochs,
    )  # fmt: skip
    for name, variable in variables.items():
        variable.set_value(np.asarray(factors[name], variable.dtype))


def factors_of_epoch(
    names: Sequence[str], epoch: int, *, learning_rate_factor: float, unfreeze_epochs: int
) -> dict[str, float]:
    """Returns the factor of the learning rate of each named parameter in an epoch, counted from 0.

    >>> names = ["embedding", "layer0.W_hh", "layer1.W_hh", "b_y"]
    >>> factors_of_epoch(names, 2, learning_rate_factor=0.5, unfreeze_epochs=1)
    {'embedding': 0.0, 'layer0.W_hh': 0.0, 'layer1.W_hh': 0.5, 'b_y': 0.5}
    """
    levels = {name: level_of(name) for name in names}
    ranks = {level: rank for rank, level in enumerate(sorted(set(levels.values()), reverse=True), start=1)}
    return {
        name: learning_rate_factor if epoch >= unfreeze_epochs * ranks[level] else 0.0 for name, level in levels.items()
    }


def level_of(name: str) -> float:
    """Returns how far a parameter is from the input: 0 for the embedding, then the layers, infinity for the output."""
    if name == "embedding":
        return 0
    found = LEVEL.match(name)
    return int(found[1]) + 1 if found else float("inf")
