"""Mixtures of language models: probabilities added with fixed weights, given or fitted on a development text.

    P(token | past) = sum_m weight_m P_m(token | past)

(Jelinek & Mercer 1980.) A mixture is used as a model is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from theano_rnn.learning.batching import Batch
from theano_rnn.scoring.sentences import Scorer

MOST_STEPS = 1000
LEAST_GAIN = 1e-9  # nats per token


class Mixture:
    """Several models as one.

    Parameters
    ----------
    members
        Of one vocabulary, dtype and start.
    weights
        One for each, positive, their sum 1.
    """

    def __init__(self, members: Sequence[Scorer], weights: Sequence[float]) -> None:
        self.members, self.log_weights = list(members), np.log(np.asarray(weights, np.float64))
        self.num_states = [len(member.initial_state(1)) for member in self.members]

    def scorer(self) -> Scorer:
        """The mixture as one model."""
        return self.members[0]._replace(loss=self.loss, initial_state=self.initial_state)

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """The states of all members, one after another."""
        return tuple(array for member in self.members for array in member.initial_state(batch_size))

    def loss(self, tokens: Any, targets: Any, mask: Any, *state: Any) -> list[Any]:
        """As of `Functions`: negative log-likelihoods in nats (time, batch), float64, and the new state."""
        losses, final, begin = [], [], 0
        for member, count in zip(self.members, self.num_states):
            values, *after = member.loss(tokens, targets, mask, *state[begin : begin + count])
            losses.append(np.asarray(values, np.float64))
            final += after
            begin += count
        return [mixed(np.array(losses), self.log_weights) * mask, *final]


def mixed(losses: Any, log_weights: Any) -> Any:
    """Negative log-likelihoods of a mixture: `losses` (models, ...) in nats, `log_weights` (models,) -> (...).

    >>> round(float(mixed(-np.log([0.5, 0.1]), np.log([0.25, 0.75]))), 6) == round(-np.log(0.2), 6)
    True
    """
    weighted = log_weights.reshape((-1,) + (1,) * (losses.ndim - 1)) - losses
    largest = weighted.max(axis=0)
    result: Any = -(largest + np.log(np.exp(weighted - largest).sum(axis=0)))
    return result


def token_losses(member: Scorer, batches: Iterable[Batch]) -> Any:
    """A model's negative log-likelihood in nats of every target, float32 (tokens,), in the order of the batches."""
    found, state = [np.zeros(0, np.float32)], ()
    for batch in batches:
        state = member.initial_state(batch.tokens.shape[1]) if batch.is_start else state
        losses, *state = member.loss(batch.tokens, batch.targets, batch.mask, *state)  # type: ignore[assignment]
        found.append(np.asarray(losses, np.float32)[batch.mask > 0])
    return np.concatenate(found)


def fitted_weights(losses: Any) -> Any:
    """The weights with which a mixture gives a text its highest probability, by expectation maximization.

    Each step takes for a model's weight the mean of its share in the tokens' probabilities (Dempster, Laird & Rubin
    1977); the likelihood has one maximum.

    Parameters
    ----------
    losses : float (models, tokens)
        Negative log-likelihoods in nats.

    Returns
    -------
    float64 (models,)
        Their sum is 1.

    Examples
    --------
    >>> fitted_weights(-np.log([[0.9, 0.9, 0.1], [0.1, 0.1, 0.9]])).round(2).tolist()
    [0.71, 0.29]
    """
    likelihoods = np.exp(losses.min(axis=0) - losses)  # (models, tokens), up to a factor for each token
    weights = np.full(len(losses), 1 / len(losses))
    before = -np.inf
    for _ in range(MOST_STEPS):
        shares = weights[:, None] * likelihoods
        total = shares.sum(axis=0)
        weights = (shares / total).mean(axis=1, dtype=np.float64)
        reached = float(np.log(total).mean(dtype=np.float64))
        if reached - before < LEAST_GAIN:
            break
        before = reached
    return weights
