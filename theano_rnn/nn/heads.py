"""Heads: output layers, from hidden states to the probabilities of the next token.

A head has parameters `params` and methods `losses(h, targets)` and `log_probabilities(h)` for hidden states h
(rows, hidden). If `losses` needs further arrays, `inputs` lists their symbolic variables, and `prepare(targets, mask)`
computes the arrays from a batch's targets and mask, each (time, batch).
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
from theano_rnn.nn.top_scores import likeliest


def initial_projection(hidden_size: int, embedding: Any, *, rng: np.random.Generator) -> dict[str, Any]:
    """Returns ``W_he``, float64 (hidden_size, embedding_size), in a dict that is empty if the two sizes are equal."""
    size = embedding.get_value(borrow=True).shape[1]
    return {} if size == hidden_size else {"W_he": uniform((hidden_size, size), rng=rng)}


def project(h: Any, params: Mapping[str, Any]) -> Any:
    """Returns ``h W_he`` if there is such a matrix, else h."""
    return T.dot(h, params["W_he"]) if "W_he" in params else h


class SoftmaxHead:
    """Softmax output layer ``P(v) = softmax(h W_hy + b_y)_v``.

    With weights tied to the embedding: ``P(v) = softmax(h embedding^T + b_y)_v`` (Press & Wolf 2017).

    Parameters
    ----------
    hidden_size, vocab_size : int
    embedding : shared variable (at least vocab_size rows, embedding_size), optional
        The matrix to tie the weights to. If embedding_size differs from hidden_size, ``h W_he`` takes the place of h.
    scale : float
        The size of the initial ``W_hy``, if it is not tied.
    rng : np.random.Generator
    dtype : {"float32", "float64"}

    Attributes
    ----------
    params : dict
        ``b_y`` (vocab_size,), zero; and ``W_hy`` (hidden_size, vocab_size), uniform in +-scale/sqrt(hidden_size). With
        the default scale, the first loss is ln(vocab_size). If tied, there is no ``W_hy``, but if the sizes differ,
        ``W_he`` (hidden_size, embedding_size).
    """

    inputs: tuple[Any, ...] = ()

    def __init__(
        self,
        hidden_size: int,
        vocab_size: int,
        *,
        embedding: Any = None,
        scale: float = 0.01,
        rng: np.random.Generator,
        dtype: str,
    ) -> None:
        self.vocab_size, self.embedding = vocab_size, embedding
        values = {}
        if embedding is None:
            values["W_hy"] = scale * uniform((hidden_size, vocab_size), rng=rng)
        else:
            values |= initial_projection(hidden_size, embedding, rng=rng)
        values["b_y"] = np.zeros(vocab_size)
        self.params = {name: aesara.shared(value.astype(dtype), name=name) for name, value in values.items()}

    def prepare(self, targets: Any, mask: Any) -> list[Any]:
        """Returns no arrays: `losses` needs none."""
        return []

    def weights(self) -> Any:
        """Returns the output matrix (hidden_size or embedding_size, vocab_size)."""
        return self.params["W_hy"] if self.embedding is None else self.embedding[: self.vocab_size].T

    def losses(self, h: Any, targets: Any) -> TensorVariable:
        """Returns negative log-likelihoods in nats (rows,) of int32 targets (rows,)."""
        return cross_entropy(T.dot(project(h, self.params), self.weights()), self.params["b_y"], targets)

    def smoothed_losses(self, h: Any, targets: Any, smoothing: float) -> tuple[TensorVariable, TensorVariable]:
        """Returns the losses, and the losses with label smoothing (Szegedy et al. 2016) for training, each (rows,).

        The latter are cross-entropies with the distribution ``(1 - smoothing) onehot(target) + smoothing /
        vocab_size``.
        """
        h, weights, bias = project(h, self.params), self.weights(), self.params["b_y"]
        nll, log_normalizer = cross_entropy_and_normalizer(T.dot(h, weights), bias, targets)
        mean_score = T.dot(h, weights.mean(axis=1)) + bias.mean()
        share = np.asarray(smoothing, h.dtype)
        return nll, (np.ones((), h.dtype) - share) * nll + share * (log_normalizer - mean_score)

    def log_probabilities(self, h: Any) -> TensorVariable:
        """Returns the log-probabilities (rows, vocab) of all next tokens for h (rows, hidden)."""
        scores = T.dot(project(h, self.params), self.weights()) + self.params["b_y"]
        return T.special.log_softmax(scores, axis=-1)

    def likeliest(self, h: Any, banned: Any, count: int) -> tuple[Any, Any]:
        """Returns the largest log-probabilities of next tokens for h (rows, hidden), and these tokens; see
        `top_scores.likeliest`.
        """
        return likeliest(T.dot(project(h, self.params), self.weights()), self.params["b_y"], banned, count)
