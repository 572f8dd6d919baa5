"""Evaluation: compute a model's measures, such as the loss, over the batches of one part of the data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.learning.batching import AnyBatch
from theano_rnn.learning.measures import Measure

LossFunction = Callable[..., list[Any]]
StateFunction = Callable[[int], tuple[Any, ...]]
SumsFunction = Callable[[Any, Sequence[Any]], Mapping[str, Any]]


class Evaluation(NamedTuple):
    """What measures are computed from: sums over the targets, by name, and the number of targets.

    A sum is a number, or an array for a measure that needs more than one. `facts` is what the model needs for its use
    and the evaluation has found out, such as a temperature.

    >>> from theano_rnn.learning.measures import LOSS, PERPLEXITY
    >>> Evaluation({"loss": 6.0}, 2).values((LOSS, PERPLEXITY))
    {'loss': 3.0, 'perplexity': 20.085536923187668}
    """

    sums: Mapping[str, Any]
    num_targets: int
    facts: Mapping[str, Any] = {}

    @property
    def total(self) -> float:
        """The sum of the losses in nats."""
        return float(self.sums["loss"])

    @property
    def loss(self) -> float:
        """The mean loss in nats per target; nan if there are no targets."""
        return self.mean("loss")

    def mean(self, name: str) -> float:
        """Returns the mean of a measure per target; nan if there are no targets."""
        return float(self.sums[name]) / self.num_targets if self.num_targets else math.nan

    def values(self, measures: Iterable[Measure]) -> dict[str, float]:
        """Returns the value of each measure, by name."""
        return {measure.name: self.value(measure) for measure in measures}

    def value(self, measure: Measure) -> float:
        """Returns the value of a measure."""
        if measure.of_loss:
            return measure.of_loss(self.loss)
        return measure.of_sums(self.sums, self.num_targets) if measure.of_sums else self.mean(measure.name)


def evaluate(
    function: LossFunction,
    batches: Iterable[AnyBatch],
    initial_state: StateFunction,
    *,
    sums_of: SumsFunction | None = None,
    is_counted: Callable[[Any], Any] | None = None,
    on_batch: Callable[[int], bool | None] | None = None,
) -> Evaluation | None:
    """Sum a model's measures over all targets of `batches`. The state is carried from batch to batch within a text.

    Parameters
    ----------
    function
        The model's compiled ``loss``: ``function(*batch.arrays, *state) -> [values of each measure, ..., *state]``;
        values are 0 at padding.
    batches
    initial_state
        The model's method of that name.
    sums_of : optional
        Maps a batch and the values that `function` returns for it, before the state, to sums by name. By default the
        sum of the first value, ``loss``.
    is_counted : optional
        Maps a batch to a boolean array of the targets that count. By default all count.
    on_batch : optional
        Called after every batch with the number of targets so far. If it returns True, evaluation stops.

    Returns
    -------
    Evaluation, or None if `on_batch` stopped the evaluation
    """
    sums: dict[str, Any] = {"loss": 0.0}
    state: Any = ()
    num_targets = 0
    for batch in batches:
        state = initial_state(batch.num_columns) if batch.is_start else state
        results = function(*batch.arrays, *state)
        num_values = len(results) - len(state)
        values, state = results[:num_values], results[num_values:]
        counted = None if is_counted is None else is_counted(batch)
        if sums_of is None:
            losses = np.asarray(values[0])
            found = {"loss": np.sum(losses if counted is None else np.where(counted, losses, 0), dtype=np.float64)}
        for name, value in (found if sums_of is None else sums_of(batch, values)).items():
            sums[name] = sums.get(name, 0) + value
        num_targets += batch.num_targets if counted is None else int(np.count_nonzero(counted))
        if on_batch is not None and on_batch(num_targets):
            return None
    return Evaluation(sums, num_targets)
