"""Interpolation of language models: a mixture with fixed weights, which are given or fitted on a development text.

    P(token | past) = sum_m weight_m P_m(token | past)

(Jelinek & Mercer 1980.) A mixture can be used wherever a model is scored with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from theano_rnn.learning.batching import Batch
from theano_rnn.scoring.sentences import Scorer

MAX_STEPS = 1000
MIN_GAIN = 1e-9  # nats per token; a smaller gain ends the iteration


class Mixture:
    """A mixture of several models.

    Parameters
    ----------
    members
        The models. Their vocabulary, dtype and start id must be the same.
    weights
        One positive weight for each model; their sum is 1.
    """

    def __init__(self, members: Sequence[Scorer], weights: Sequence[float]) -> None:
        self.members, self.log_weights = list(members), np.log(np.asarray(weights, np.float64))
        self.num_states = [len(member.initial_state(1)) for member in self.members]

    def scorer(self) -> Scorer:
        """Returns the mixture as a `Scorer`."""
        return self.members[0]._replace(loss=self.loss, initial_state=self.initial_state)

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """Returns the initial states of all members, concatenated."""
        return tuple(array for member in self.members for array in member.initial_state(batch_size))

    def loss(self, tokens: Any, targets: Any, mask: Any, *state: Any) -> list[Any]:
        """Returns negative log-likelihoods in nats, float64 (time, batch), and the new state; as of `Functions`."""
        losses, final, begin = [], [], 0
        for member, count in zip(self.members, self.num_states):
            values, *after = member.loss(tokens, targets, mask, *state[begin : begin + count])
            losses.append(np.asarray(values, np.float64))
            final += after
            begin += count
        return [mixture_losses(np.array(losses), self.log_weights) * mask, *final]


def mixture_losses(losses: Any, log_weights: Any) -> Any:
    """Returns negative log-likelihoods (...) of a mixture in nats, from `losses` (models, ...) and weights (models,).

    >>> round(float(mixture_losses(-np.log([0.5, 0.1]), np.log([0.25, 0.75]))), 6) == round(-np.log(0.2), 6)
    True
    """
    weighted = log_weights.reshape((-1,) + (1,) * (losses.ndim - 1)) - losses
    largest = weighted.max(axis=0)
    result: Any = -(largest + np.log(np.exp(weighted - largest).sum(axis=0)))
    return result


def token_losses(member: Scorer, batches: Iterable[Batch]) -> Any:
    """Returns negative log-likelihoods of all targets in nats, float32 (tokens,), in the order of the batches."""
    found, state = [np.zeros(0, np.float32)], ()
    for batch in batches:
        state = member.initial_state(batch.tokens.shape[1]) if batch.is_start else state
        losses, *state = member.loss(batch.tokens, batch.targets, batch.mask, *state)  # type: ignore[assignment]
        found.append(np.asarray(losses, np.float32)[batch.mask > 0])
    return np.concatenate(found)


def fitted_weights(losses: Any) -> Any:
    """Returns the mixture weights that maximize the likelihood of a text, by expectation maximization.

    Each step sets a model's weight to its mean share in the probabilities of the tokens (Dempster, Laird & Rubin 1977).
    The likelihood has a single maximum.

    Parameters
    ----------
    losses : float (models, tokens)
        Negative log-likelihoods in nats.

    Returns
    -------
    float64 (models,)
        Weights with the sum 1.

    Examples
    --------
    >>> fitted_weights(-np.log([[0.9, 0.9, 0.1], [0.1, 0.1, 0.9]])).round(2).tolist()
    [0.71, 0.29]
    """
    likelihoods = np.exp(losses.min(axis=0) - losses)  # (models, tokens), up to a constant factor for each token
    weights = np.full(len(losses), 1 / len(losses))
    before = -np.inf
    for _ in range(MAX_STEPS):
        shares = weights[:, None] * likelihoods
        total = shares.sum(axis=0)
        weights = (shares / total).mean(axis=1, dtype=np.float64)
        reached = float(np.log(total).mean(dtype=np.float64))
        if reached - before < MIN_GAIN:
            break
        before = reached
    return weights
