"""Regularization during training: dropout, and penalties added to the loss.

- Dropout of non-recurrent connections (Zaremba et al. 2014).
- Variational dropout: one mask for all time steps of a sequence, and dropout of whole words in the embedding (Gal &
  Ghahramani 2016).
- DropConnect on the recurrent matrix, and penalties on activations and on their change over time (Merity et al. 2017,
  2018).
"""

from __future__ import annotations

from typing import Any

import aesara.tensor as T
import numpy as np
from aesara.tensor.var import TensorVariable

from theano_rnn.nn.noise import Noise
from theano_rnn.settings.training import RegularizationConfig


class Dropout:
    """Dropout for the parts of a model. If `noise` is None, as in evaluation, nothing is dropped.

    Every call draws a new mask. The remaining values are scaled by 1 / (1 - rate), which preserves their expectation.
    """

    def __init__(self, config: RegularizationConfig, noise: Noise | None) -> None:
        self.config, self.noise = config, noise

    def rate(self, part: str) -> float:
        """Returns the dropout rate of "input", "layer" or "output": its own setting, or else ``dropout``."""
        if self.noise is None:
            return 0.0
        own = getattr(self.config, f"{part}_dropout")
        return float(self.config.dropout if own is None else own)

    def units(self, x: Any, part: str) -> Any:
        """Returns x (time, batch, units) after dropout, with one mask per time step, or one for all (`variational`)."""
        rate = self.rate(part)
        if not rate or self.noise is None:
            return x
        if self.config.variational:
            return x * self.noise.mask(rate, 1, x.shape[1], x.shape[2])[0].dimshuffle("x", 0, 1)
        return x * self.noise.mask(rate, *x.shape)

    def words(self, num_words: int) -> TensorVariable | None:
        """Returns a factor for each row of the embedding (num_words,), or None if no words are dropped."""
        if self.noise is None or not self.config.embedding_dropout:
            return None
        return self.noise.mask_of_matrix(self.config.embedding_dropout, num_words, 1)[:, 0]

    def recurrent(self, name: str, param: Any) -> Any:
        """Drop connections of a recurrent matrix, the same at all time steps. Returns other parameters unchanged."""
        if self.noise is None or not self.config.recurrent_dropout or not name.endswith(".W_hh"):
            return param
        return param * self.noise.mask_of_matrix(self.config.recurrent_dropout, *param.shape)


NO_DROPOUT = Dropout(RegularizationConfig(), None)  # in evaluation


def penalties(config: RegularizationConfig, dropped: Any, outputs: Any, mask: Any) -> TensorVariable | None:
    """Returns the penalty to add to the loss of each token (time, batch), or None if there is none.

    ``activation_penalty * mean_units(dropped_t^2) + temporal_penalty * mean_units((h_t - h_tm1)^2)``

    h are the last layer's `outputs` (time, batch, hidden), and `dropped` are the same after dropout. The temporal
    penalty of the first step of a window is 0.
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
    """Returns the mean of the squares over the last axis, in the dtype of x."""
    last = x.ndim - 1  # Aesara cannot differentiate a sum over a negative axis
    return T.sum(T.square(x), axis=last, dtype=x.dtype, acc_dtype=x.dtype) / T.cast(x.shape[last], x.dtype)
