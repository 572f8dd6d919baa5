"""Regularization of a training step: what is dropped, and what is added to the loss.

Every kind is from its paper: dropout of non-recurrent connections (Zaremba et al. 2014); one mask for all time steps of
a sequence (Gal & Ghahramani 2016), which also drops whole words of the embedding; DropConnect on the recurrent
matrix, and penalties on activations and their change in time (Merity et al. 2017, 2018).
"""

from __future__ import annotations

from typing import Any

import aesara.tensor as T
import numpy as np
from aesara.tensor.var import TensorVariable

from theano_rnn.nn.noise import Noise
from theano_rnn.settings.training import RegularizationConfig


class Dropout:
    """Masks on the parts of a model; nothing is dropped without `noise`, as in evaluation.

    Each call has a mask of its own; kept numbers are scaled by 1 / (1 - rate), so that expectations stay.
    """

    def __init__(self, config: RegularizationConfig, noise: Noise | None) -> None:
        self.config, self.noise = config, noise

    def rate(self, part: str) -> float:
        """The rate of "input", "layer" or "output", each in its own setting or else in ``dropout``."""
        if self.noise is None:
            return 0.0
        own = getattr(self.config, f"{part}_dropout")
        return float(self.config.dropout if own is None else own)

    def units(self, x: Any, part: str) -> Any:
        """x (time, batch, units), each unit dropped at each time step, or at all of them where `variational`."""
        rate = self.rate(part)
        if not rate or self.noise is None:
            return x
        if self.config.variational:
            return x * self.noise.mask(rate, 1, x.shape[1], x.shape[2])[0].dimshuffle("x", 0, 1)
        return x * self.noise.mask(rate, *x.shape)

    def words(self, num_words: int) -> TensorVariable | None:
        """What every row of the embedding is multiplied by (num_words,); None for nothing."""
        if self.noise is None or not self.config.embedding_dropout:
            return None
        return self.noise.mask_of_matrix(self.config.embedding_dropout, num_words, 1)[:, 0]

    def recurrent(self, name: str, param: Any) -> Any:
        """A recurrent matrix with connections dropped, the same at all time steps; other parameters as they are."""
        if self.noise is None or not self.config.recurrent_dropout or not name.endswith(".W_hh"):
            return param
        return param * self.noise.mask_of_matrix(self.config.recurrent_dropout, *param.shape)


NO_DROPOUT = Dropout(RegularizationConfig(), None)  # in evaluation


def penalties(config: RegularizationConfig, dropped: Any, outputs: Any, mask: Any) -> TensorVariable | None:
    """What is added to the loss of each token (time, batch), of the last layer's outputs; None for nothing.

    ``activation_penalty * mean_units(dropped_t^2) + temporal_penalty * mean_units((h_t - h_tm1)^2)``, both outputs
    (time, batch, hidden), `dropped` after dropout; between two windows of a stream there is no difference.
    """
    total: TensorVariable | None = None
    if config.activation_penalty:
        total = np.asarray(config.activation_penalty, outputs.dtype) * mean_square(dropped)
    if config.temporal_penalty:
        change = mean_square(outputs[1:] - outputs[:-1]) * mask[:-1]
        padded = T.concatenate([T.zeros_like(mask[:1]), change], axis=0)
        temporal = np.asarray(config.temporal_penalty, outputs.dtype) * padded
        total = temporal if total is None else total + temporal
    return total


def with_penalties(losses: Any, config: RegularizationConfig, dropped: Any, outputs: Any, mask: Any) -> Any:
    """The loss of each token plus its `penalties`: (time, batch)."""
    added = penalties(config, dropped, outputs, mask)
    return losses if added is None else losses + added


def mean_square(x: Any) -> TensorVariable:
    """Over the last axis, in the dtype of x."""
    last = x.ndim - 1  # Aesara cannot differentiate the sum over an axis counted from the end
    return T.sum(T.square(x), axis=last, dtype=x.dtype, acc_dtype=x.dtype) / T.cast(x.shape[last], x.dtype)
