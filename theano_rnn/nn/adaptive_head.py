"""The adaptive softmax: a head for large vocabularies that computes scores of rare words only if they are needed.

The vocabulary is ordered by frequency. The most frequent words form the shortlist, and rarer words form clusters. One
softmax has a column for each shortlist word and one for each cluster. Each cluster has its own softmax, on a projection
of h to fewer dimensions. In training it is computed only for the rows whose target is in the cluster:

    P(v) = softmax(h W_hy + b_y)_v                                                  for v < cutoffs[0], else
    P(v) = softmax(h W_hy + b_y)_{cutoffs[0] + i} softmax(h W_down_i W_up_i + b_i)_v    v in cluster i

`AdaptiveHead.prepare` finds these rows before a batch is computed.

With tied weights (Press & Wolf 2017), the columns of words are rows of the embedding, at full size, and only the
clusters have columns of their own:

    W_hy = [embedding_{v < cutoffs[0]}^T, W_cluster],    W_down_i W_up_i = embedding_{v in cluster i}^T

References
----------
Grave, Joulin, Cissé, Grangier & Jégou (2017), Efficient softmax approximation for GPUs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aesara
import aesara.tensor as T
import numpy as np
from aesara.tensor.var import TensorVariable

from theano_rnn.nn.heads import initial_projection, project
from theano_rnn.nn.initializers import uniform
from theano_rnn.nn.losses import cross_entropy

REDUCTION_FACTOR = 4  # of the projected size, from one cluster to the next
MIN_REDUCED_SIZE = 8  # dimensions of a cluster's projection
SLOT_FRACTIONS = (1, 2, 3, 4, 6, 8, 12, 16)  # in sixteenths of a batch's rows
MIN_SLOTS = 64  # of a cluster; fewer would hardly save time, but compile more shapes


class AdaptiveHead:
    """Adaptive softmax output layer; the module's docstring has the equations.

    Parameters
    ----------
    hidden_size, vocab_size : int
    cutoffs : ints, increasing, in 1 .. vocab_size - 1
        The first word of each cluster. A cluster ends where the next one starts.
    embedding : shared variable (at least vocab_size rows, embedding_size), optional
        The matrix to tie the weights to. If embedding_size differs from hidden_size, ``h W_he`` takes the place of h.
    rng : np.random.Generator
    dtype : {"float32", "float64"}

    Attributes
    ----------
    params : dict
        ``W_hy`` (hidden_size, cutoffs[0] + clusters) and ``b_y``; for cluster i, counted from 0, ``tail{i}.W_down``
        (hidden_size, reduced) with reduced = hidden_size / 4^(i + 1) but at least 8, ``tail{i}.W_up`` (reduced, words)
        and ``tail{i}.b_y`` (words,). Initial scores are near zero, biases are zero, and the bias of each cluster's
        column is the logarithm of its size. So all words are about equally likely, and the first loss is
        ln(vocab_size). If tied, ``W_cluster`` (embedding_size, clusters) replaces ``W_hy``, there is no ``W_down`` and
        ``W_up``, and ``W_he`` is as in `SoftmaxHead`.
    inputs : list
        The variables of `prepare`'s arrays: for each cluster int32 (3, slots). A slot holds the row of the batch, the
        word's index in the cluster, and 1, or 0 if the slot is empty.
    """

    def __init__(
        self,
        hidden_size: int,
        vocab_size: int,
        cutoffs: Sequence[int],
        *,
        embedding: Any = None,
        rng: np.random.Generator,
        dtype: str,
    ) -> None:
        self.cutoffs, self.embedding, self.dtype = np.array(cutoffs, "int32"), embedding, dtype
        self.ends = [*cutoffs[1:], vocab_size]
        sizes = np.subtract(self.ends, cutoffs)
        self.shortlist, self.num_clusters = int(cutoffs[0]), len(sizes)
        if embedding is None:
            values = {"W_hy": 0.01 * uniform((hidden_size, self.shortlist + self.num_clusters), rng=rng)}
        else:
            values = initial_projection(hidden_size, embedding, rng=rng)
            shape = embedding.get_value(borrow=True).shape[1], self.num_clusters
            values["W_cluster"] = 0.01 * uniform(shape, rng=rng)
        values["b_y"] = np.concatenate([np.zeros(self.shortlist), np.log(sizes)])
        for i, size in enumerate(sizes):
            if embedding is None:
                reduced = reduced_size(hidden_size, i)
                values[f"tail{i}.W_down"] = uniform((hidden_size, reduced), rng=rng)
                values[f"tail{i}.W_up"] = 0.01 * uniform((reduced, size), rng=rng)
            values[f"tail{i}.b_y"] = np.zeros(size)
        self.params = {name: aesara.shared(value.astype(dtype), name=name) for name, value in values.items()}
        self.inputs = [T.imatrix(f"slots{i}") for i in range(self.num_clusters)]

    def prepare(self, targets: Any, mask: Any) -> list[Any]:
        """Returns the arrays for `inputs`: every unmasked target in a cluster gets one of the cluster's slots.

        The number of slots takes only a few values (`num_slots`), so that few shapes are compiled. It depends on these
        arrays alone, so that a resumed run computes the same. Empty slots point to the first row and the first word.

        Parameters
        ----------
        targets : int32 (time, batch)
        mask : float (time, batch)
        """
        flat = np.asarray(targets).ravel()
        clusters = np.where(np.asarray(mask).ravel() != 0, np.searchsorted(self.cutoffs, flat, side="right"), 0)
        arrays = []
        for i, cutoff in enumerate(self.cutoffs):
            rows = np.flatnonzero(clusters == i + 1)
            slots = np.zeros((3, num_slots(len(rows), flat.size)), "int32")
            slots[:, : len(rows)] = rows, flat[rows] - cutoff, np.ones_like(rows)
            arrays.append(slots)
        return arrays

    def losses(self, h: Any, targets: Any) -> TensorVariable:
        """Returns negative log-likelihoods in nats (rows,) of int32 targets (rows,); undefined for masked targets."""
        column = T.minimum(targets, self.cutoffs[0])
        for cutoff in self.cutoffs[1:]:
            column = column + T.cast(T.ge(targets, cutoff), "int32")
        h = project(h, self.params)
        losses = cross_entropy(T.dot(h, self.weights()), self.params["b_y"], column)
        rows, begin, word_losses = T.concatenate([slots[0] for slots in self.inputs]), 0, []
        h_rows = h[rows]  # one lookup for all clusters: Aesara cannot add up the gradients of several
        for i, slots in enumerate(self.inputs):
            words, is_used = slots[1], slots[2]
            end = begin + words.shape[0]
            nll = cross_entropy(self.tail_scores(i, h_rows[begin:end]), self.params[f"tail{i}.b_y"], words)
            word_losses.append(T.cast(is_used, self.dtype) * nll)
            begin = end
        return T.inc_subtensor(losses[rows], T.concatenate(word_losses))

    def weights(self) -> Any:
        """Returns the first softmax's matrix (hidden_size or embedding_size, cutoffs[0] + clusters)."""
        if self.embedding is None:
            return self.params["W_hy"]
        return T.concatenate([self.embedding[: self.shortlist], self.params["W_cluster"].T]).T

    def tail_scores(self, i: int, h: Any) -> TensorVariable:
        """Returns the scores (rows, words of cluster i) without bias, for h after `project`."""
        if self.embedding is not None:
            return T.dot(h, self.embedding[int(self.cutoffs[i]) : self.ends[i]].T)
        return T.dot(T.dot(h, self.params[f"tail{i}.W_down"]), self.params[f"tail{i}.W_up"])

    def log_probabilities(self, h: Any) -> TensorVariable:
        """Returns the log-probabilities (rows, vocab) of all next tokens for h (rows, hidden)."""
        h = project(h, self.params)
        log_p = T.special.log_softmax(T.dot(h, self.weights()) + self.params["b_y"], axis=-1)
        parts = [log_p[:, : self.shortlist]]
        for i in range(self.num_clusters):
            log_p_words = T.special.log_softmax(self.tail_scores(i, h) + self.params[f"tail{i}.b_y"], axis=-1)
            parts.append(log_p[:, self.shortlist + i].dimshuffle(0, "x") + log_p_words)
        return T.concatenate(parts, axis=1)


def reduced_size(hidden_size: int, i: int) -> int:
    """Returns the size to which an untied head reduces the hidden state for cluster i.

    >>> [reduced_size(200, i) for i in range(3)]
    [50, 12, 8]
    """
    reduced: int = hidden_size // REDUCTION_FACTOR ** (i + 1)
    return min(max(reduced, MIN_REDUCED_SIZE), hidden_size)


def num_slots(needed: int, num_rows: int) -> int:
    """Returns the smallest number of slots that is enough, a fraction of `num_rows` from `SLOT_FRACTIONS`.

    >>> [num_slots(needed, 700) for needed in (0, 88, 89, 700)]
    [88, 88, 132, 700]
    """
    enough = min(max(needed, MIN_SLOTS), num_rows)
    return next(size for size in (-(-num_rows * share // 16) for share in SLOT_FRACTIONS) if size >= enough)
