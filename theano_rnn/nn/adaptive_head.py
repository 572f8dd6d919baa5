"""The adaptive soft-max: a head for large vocabularies, which computes scores of rare words where they are needed.

A vocabulary is ordered by frequency. Its first words, and one column for each cluster of rarer ones, are the columns of
a soft-max of every row. A cluster's own soft-max, of a projection of h to fewer numbers, is computed in training for
the rows alone whose target is in it:

    P(v) = softmax(h W_hy + b_y)_v                                                  for v < cutoffs[0], else
    P(v) = softmax(h W_hy + b_y)_{cutoffs[0] + i} softmax(h W_down_i W_up_i + b_i)_v    v in cluster i

Which rows these are is known before a batch is computed: `AdaptiveHead.prepare` finds them.

With tied weights (Press & Wolf 2017) the columns of words are rows of the embedding, none of them reduced, and clusters
alone have columns of their own:

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

REDUCTION = 4  # each cluster's vectors have this many times fewer numbers than those of the one before
LEAST_SIZE = 8  # numbers of the shortest such vectors
SHARES = (1, 2, 3, 4, 6, 8, 12, 16)  # sixteenths of a batch's rows that a cluster may have slots for
FEWEST_SLOTS = 64  # of a cluster: with fewer a step is little faster, and more shapes are compiled


class AdaptiveHead:
    """See the module.

    Parameters
    ----------
    hidden_size, vocab_size : int
    cutoffs : ints, increasing, in 1 .. vocab_size - 1
        The first word of each cluster, which ends where the next one begins.
    embedding : shared variable (at least vocab_size rows, embedding_size), optional
        The matrix to share. Where hidden_size is another size, h is project first: ``h W_he`` in its place.
    rng : np.random.Generator
    dtype : {"float32", "float64"}

    Attributes
    ----------
    params : dict
        ``W_hy`` (hidden_size, cutoffs[0] + clusters) and ``b_y``; of cluster i, counted from 0, ``tail{i}.W_down``
        (hidden_size, hidden_size / 4^(i + 1), at least 8), ``tail{i}.W_up`` (these, words) and ``tail{i}.b_y``. Scores
        begin near zero and biases at zero, but those of the clusters' columns at the logarithm of their sizes, so that
        all words are about as likely and the first loss is ln(vocab_size). Tied, ``W_cluster`` (embedding_size,
        clusters) in place of ``W_hy``, no ``W_down`` and ``W_up``, and ``W_he`` as of `SoftmaxHead`.
    inputs : list
        What `losses` needs of `prepare`: of each cluster int32 (3, slots), namely the row of the batch, the word's
        place in the cluster, and 1, or 0 where the slot is empty.
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
                reduced = min(max(hidden_size // REDUCTION ** (i + 1), LEAST_SIZE), hidden_size)
                values[f"tail{i}.W_down"] = uniform((hidden_size, reduced), rng=rng)
                values[f"tail{i}.W_up"] = 0.01 * uniform((reduced, size), rng=rng)
            values[f"tail{i}.b_y"] = np.zeros(size)
        self.params = {name: aesara.shared(value.astype(dtype), name=name) for name, value in values.items()}
        self.inputs = [T.imatrix(f"slots{i}") for i in range(self.num_clusters)]

    def prepare(self, targets: Any, mask: Any) -> list[Any]:
        """Arrays for `inputs`: every target that is in a cluster and not masked has one of its slots.

        The number of slots is one of a few (`num_slots`), so that compiled shapes stay few; it depends on these arrays
        alone, so that a run that is resumed computes the same. Empty slots name the first row and the first word.

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
        """Negative log-likelihoods in nats of int32 targets (rows,); of a masked one, of no meaning."""
        column = T.minimum(targets, self.cutoffs[0])
        for cutoff in self.cutoffs[1:]:
            column = column + T.cast(T.ge(targets, cutoff), "int32")
        h = project(h, self.params)
        losses = cross_entropy(T.dot(h, self.weights()), self.params["b_y"], column)
        rows, begin, of_words = T.concatenate([slots[0] for slots in self.inputs]), 0, []
        taken = h[rows]  # all at once: Aesara fails to add up the gradients of several
        for i, slots in enumerate(self.inputs):
            words, is_used = slots[1], slots[2]
            end = begin + words.shape[0]
            nll = cross_entropy(self.tail_scores(i, taken[begin:end]), self.params[f"tail{i}.b_y"], words)
            of_words.append(T.cast(is_used, self.dtype) * nll)
            begin = end
        return T.inc_subtensor(losses[rows], T.concatenate(of_words))

    def weights(self) -> Any:
        """The matrix (hidden or embedding size, cutoffs[0] + clusters)."""
        if self.embedding is None:
            return self.params["W_hy"]
        return T.concatenate([self.embedding[: self.shortlist], self.params["W_cluster"].T]).T

    def tail_scores(self, i: int, h: Any) -> TensorVariable:
        """From h, project where it has to be, to (rows, words of cluster i), without the bias."""
        if self.embedding is not None:
            return T.dot(h, self.embedding[int(self.cutoffs[i]) : self.ends[i]].T)
        return T.dot(T.dot(h, self.params[f"tail{i}.W_down"]), self.params[f"tail{i}.W_up"])

    def log_probabilities(self, h: Any) -> TensorVariable:
        """Of every next token: (rows, hidden) -> (rows, vocab)."""
        h = project(h, self.params)
        log_p = T.special.log_softmax(T.dot(h, self.weights()) + self.params["b_y"], axis=-1)
        parts = [log_p[:, : self.shortlist]]
        for i in range(self.num_clusters):
            of_words = T.special.log_softmax(self.tail_scores(i, h) + self.params[f"tail{i}.b_y"], axis=-1)
            parts.append(log_p[:, self.shortlist + i].dimshuffle(0, "x") + of_words)
        return T.concatenate(parts, axis=1)


def num_slots(needed: int, num_rows: int) -> int:
    """The least share of `num_rows`, in `SHARES` of a sixteenth, that is enough.

    >>> [num_slots(needed, 700) for needed in (0, 88, 89, 700)]
    [88, 88, 132, 700]
    """
    enough = min(max(needed, FEWEST_SLOTS), num_rows)
    return next(size for size in (-(-num_rows * share // 16) for share in SHARES) if size >= enough)
