"""Evaluation: a loss over the batches of a text, and the perplexity that belongs to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.learning.batching import Batch

LossFunction = Callable[..., list[Any]]


StateFunction = Callable[[int], tuple[Any, ...]]


def perplexity(loss: float) -> float:
    """Perplexity, exp of a mean `loss` in nats per token; infinite where that overflows.

    >>> round(perplexity(math.log(8000)), 6)
    8000.0
    """
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


class Evaluation(NamedTuple):
    """Sum of negative log-likelihoods in nats, and over how many tokens."""

    total: float
    tokens: int

    @property
    def loss(self) -> float:
        """Mean in nats per token; nan over no tokens."""
        return self.total / self.tokens if self.tokens else math.nan


def evaluate(
    loss: LossFunction,
    batches: Iterable[Batch],
    initial_state: StateFunction,
    *,
    on_batch: Callable[[int], bool | None] | None = None,
    excluded_id: int | None = None,
) -> Evaluation | None:
    """Negative log-likelihood of every target of `batches`, the state carried where they say so.

    Targets of `excluded_id` do not count. `on_batch` is called with the tokens so far after every batch; where it
    returns True, evaluation ends with None.
    """
    total, tokens = 0.0, 0
    state: Any = ()
    for batch in batches:
        state = initial_state(batch.tokens.shape[1]) if batch.is_start else state
        losses, *state = loss(batch.tokens, batch.targets, batch.mask, *state)
        losses, counted = np.asarray(losses), int(batch.mask.sum())
        if excluded_id is not None:
            is_excluded = (batch.targets == excluded_id) & (batch.mask > 0)
            losses, counted = np.where(is_excluded, 0, losses), counted - int(is_excluded.sum())
        total += float(np.sum(losses, dtype=np.float64))
        tokens += counted
        if on_batch is not None and on_batch(tokens):
            return None
    return Evaluation(total, tokens)
