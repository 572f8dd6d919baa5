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


class Evaluation(NamedTuple):
    """Each measure summed over the targets, by name, and the number of targets.

    >>> from theano_rnn.learning.measures import LOSS, PERPLEXITY
    >>> Evaluation({"loss": 6.0}, 2).values((LOSS, PERPLEXITY))
    {'loss': 3.0, 'perplexity': 20.085536923187668}
    """

    sums: Mapping[str, float]
    num_targets: int

    @property
    def total(self) -> float:
        """The sum of the losses in nats."""
        return self.sums["loss"]

    @property
    def loss(self) -> float:
        """The mean loss in nats per target; nan if there are no targets."""
        return self.mean("loss")

    def mean(self, name: str) -> float:
        """Returns the mean of a measure per target; nan if there are no targets."""
        return self.sums[name] / self.num_targets if self.num_targets else math.nan

    def values(self, measures: Iterable[Measure]) -> dict[str, float]:
        """Returns the value of each measure, by name."""
        return {m.name: m.of_loss(self.loss) if m.of_loss else self.mean(m.name) for m in measures}


def evaluate(
    function: LossFunction,
    batches: Iterable[AnyBatch],
    initial_state: StateFunction,
    *,
    measured: Sequence[str] = ("loss",),
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
    measured
        Names of the values that `function` returns before the state.
    is_counted : optional
        Maps a batch to a boolean array of the targets that count. By default all count.
    on_batch : optional
        Called after every batch with the number of targets so far. If it returns True, evaluation stops.

    Returns
    -------
    Evaluation, or None if `on_batch` stopped the evaluation
    """
    sums, num_targets = dict.fromkeys(measured, 0.0), 0
    state: Any = ()
    for batch in batches:
        state = initial_state(batch.num_columns) if batch.is_start else state
        results = function(*batch.arrays, *state)
        values, state = results[: len(measured)], results[len(measured) :]
        counted = None if is_counted is None else is_counted(batch)
        for name, value in zip(measured, map(np.asarray, values)):
            value = value if counted is None else np.where(counted, value, 0)
            sums[name] += float(np.sum(value, dtype=np.float64))
        num_targets += batch.num_targets if counted is None else int(np.count_nonzero(counted))
        if on_batch is not None and on_batch(num_targets):
            return None
    return Evaluation(sums, num_targets)
