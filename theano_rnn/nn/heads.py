"""Heads: from hidden vectors to the probabilities of the next token.

A head has `params`, `losses(h, targets)` and `log_probabilities(h)`; h is (rows, hidden). What `losses` needs besides
are the variables `inputs`, for which `prepare(targets, mask)` makes arrays from a batch's, (time, batch).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aesara
import aesara.tensor as T
import numpy as np
from aesara.tensor.var import TensorVariable

from theano_rnn.nn.initializers import uniform
from theano_rnn.nn.losses import cross_entropy, cross_entropy_and_normalizer


def initial_projection(hidden_size: int, embedding: Any, *, rng: np.random.Generator) -> dict[str, Any]:
    """``W_he`` (hidden_size, embedding_size), float64, where h is not as long as the rows of a tied embedding."""
    size = embedding.get_value(borrow=True).shape[1]
    return {} if size == hidden_size else {"W_he": uniform((hidden_size, size), rng=rng)}


def project(h: Any, params: Mapping[str, Any]) -> Any:
    """``h W_he`` where there is such a matrix, else h."""
    return T.dot(h, params["W_he"]) if "W_he" in params else h


class SoftmaxHead:
    """``P(v) = softmax(h W_hy + b_y)_v``, or tied ``softmax(h embedding^T + b_y)_v`` (Press & Wolf 2017).

    Parameters
    ----------
    hidden_size, vocab_size : int
    embedding : shared variable (at least vocab_size rows, embedding_size), optional
        The matrix to share. Where hidden_size is another size, h is project first: ``h W_he`` in its place.
    rng : np.random.Generator
    dtype : {"float32", "float64"}

    Attributes
    ----------
    params : dict
        ``W_hy`` (hidden_size, vocab_size), uniform in +-0.01/sqrt(hidden_size), so that the first loss is
        ln(vocab_size); or, tied, ``W_he`` (hidden_size, embedding_size) where sizes differ; and ``b_y``, zero.
    """

    inputs: tuple[Any, ...] = ()

    def __init__(
        self, hidden_size: int, vocab_size: int, *, embedding: Any = None, rng: np.random.Generator, dtype: str
    ) -> None:
        self.vocab_size, self.embedding = vocab_size, embedding
        values = {}
        if embedding is None:
            values["W_hy"] = 0.01 * uniform((hidden_size, vocab_size), rng=rng)
        else:
            values |= initial_projection(hidden_size, embedding, rng=rng)
        values["b_y"] = np.zeros(vocab_size)
        self.params = {name: aesara.shared(value.astype(dtype), name=name) for name, value in values.items()}

    def prepare(self, targets: Any, mask: Any) -> list[Any]:
        """Nothing."""
        return []

    def weights(self) -> Any:
        """The matrix (hidden or embedding size, vocab_size)."""
        return self.params["W_hy"] if self.embedding is None else self.embedding[: self.vocab_size].T

    def losses(self, h: Any, targets: Any) -> TensorVariable:
        """Negative log-likelihoods in nats of int32 targets (rows,)."""
        return cross_entropy(T.dot(project(h, self.params), self.weights()), self.params["b_y"], targets)

    def smoothed_losses(self, h: Any, targets: Any, smoothing: float) -> tuple[TensorVariable, TensorVariable]:
        """The losses, and those to train on: cross-entropies with ``(1 - smoothing) onehot + smoothing / vocab_size``.

        Label smoothing is by Szegedy et al. (2016).
        """
        h, weights, bias = project(h, self.params), self.weights(), self.params["b_y"]
        nll, log_normalizer = cross_entropy_and_normalizer(T.dot(h, weights), bias, targets)
        mean_score = T.dot(h, weights.mean(axis=1)) + bias.mean()
        share = np.asarray(smoothing, h.dtype)
        return nll, (np.ones((), h.dtype) - share) * nll + share * (log_normalizer - mean_score)

    def log_probabilities(self, h: Any) -> TensorVariable:
        """Of every next token: (rows, hidden) -> (rows, vocab)."""
        scores = T.dot(project(h, self.params), self.weights()) + self.params["b_y"]
        return T.special.log_softmax(scores, axis=-1)
