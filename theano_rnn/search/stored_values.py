"""How the values of a space are kept in Optuna's journal.

A value of a list is kept as JSON, because Optuna knows no lists of lists; one of a range as its index, because sums of
steps are not exact; others as they are.

>>> from theano_rnn.search.space import read_space
>>> space = read_space({"cutoffs": [[], [1000, 4000]], "dropout": {"range": [0.1, 0.5, 0.1]}})
>>> stored = encoded(space, {"cutoffs": [1000, 4000], "dropout": 0.3})
>>> stored
{'cutoffs': '[1000, 4000]', 'dropout': 2}
>>> decoded(space, stored)
{'cutoffs': [1000, 4000], 'dropout': 0.3}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from theano_rnn.search.space import Dimension, Space


def suggest(trial: Any, space: Space) -> dict[str, Any]:
    """Returns the values that Optuna has for a trial, by name, as they are stored."""
    params: dict[str, Any] = {}
    for dimension in space.dimensions:
        name, low, high = dimension.name, dimension.low, dimension.high
        if dimension.kind == "list":
            params[name] = trial.suggest_categorical(name, [stored(dimension, value) for value in dimension.values])
        elif dimension.kind == "range":
            params[name] = trial.suggest_int(name, 0, len(dimension.values) - 1)
        elif dimension.kind in ("integers", "log_integers"):
            params[name] = trial.suggest_int(name, int(low), int(high), log=dimension.is_logarithmic)
        else:
            params[name] = trial.suggest_float(name, low, high, log=dimension.is_logarithmic)
    return params


def stored(dimension: Dimension, value: Any) -> Any:
    """Returns a value as it is stored."""
    if dimension.kind == "list":
        return json.dumps(value)
    return dimension.values.index(value) if dimension.kind == "range" else value


def encoded(space: Space, point: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings as they are stored, by name."""
    return {dimension.name: stored(dimension, point[dimension.name]) for dimension in space.dimensions}


def decoded(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings for stored values, by name."""
    found: dict[str, Any] = {}
    for dimension in space.dimensions:
        value = params[dimension.name]
        if dimension.kind == "list":
            value = json.loads(value)
        found[dimension.name] = dimension.values[value] if dimension.kind == "range" else value
    return found
