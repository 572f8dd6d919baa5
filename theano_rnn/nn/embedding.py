"""The embedding: one vector per word, looked up by id, the input of the first recurrent layer."""

from __future__ import annotations

from typing import Any, NamedTuple

import aesara
import numpy as np
from aesara.tensor.var import TensorVariable

from theano_rnn.nn.initializers import normal
from theano_rnn.nn.regularization import Dropout

EMBEDDING_SCALE = 0.1  # small, so that what a vector learns soon outweighs its random start
FEW_ROWS = 300  # a batch uses most rows of a smaller embedding many times: project and update all rows


class Rows(NamedTuple):
    """The rows of an embedding that a batch uses: `ids`, of any shape, and their `vectors` (ids, embedding_size)."""

    vectors: TensorVariable
    ids: TensorVariable


def make_embedding(num_rows: int, size: int, *, rng: np.random.Generator, dtype: str) -> Any:
    """Returns a shared variable (num_rows, size), normal with standard deviation `EMBEDDING_SCALE`."""
    values = EMBEDDING_SCALE * normal((num_rows, size), rng=rng)
    return aesara.shared(values.astype(dtype), name="embedding")


def look_up(embedding: Any, ids: Any, dropout: Dropout, num_rows: int) -> tuple[TensorVariable, Rows]:
    """Returns the vectors x_t of `ids` (time, batch), with dropout: (time, batch, size); and their rows."""
    flat, words = ids.flatten(), dropout.words(num_rows)
    x = embedding[flat]
    vectors = x if words is None else x * words[flat].dimshuffle(0, "x")
    vectors = vectors.reshape((ids.shape[0], ids.shape[1], vectors.shape[1]))
    return dropout.units(vectors, "input"), Rows(x, ids)


def project_words(
    embedding: Any, ids: Any, layers: Any, dropout: Dropout, num_rows: int
) -> tuple[TensorVariable, Rows | None]:
    """Compute ``x_t W_xh + b_h`` of the first layer for `ids` (time, batch), with dropout: (time, batch, units).

    If the vocabulary is so small that a batch repeats most of it, the whole embedding is projected:
    ``(embedding W_xh + b_h)[ids]`` needs fewer products than ``embedding[ids] W_xh + b_h``. Then `Rows` is None.
    """
    if num_rows > FEW_ROWS or dropout.rate("input"):
        vectors, rows = look_up(embedding, ids, dropout, num_rows)
        return layers.project_over_time(vectors), rows
    words = dropout.words(num_rows)
    table = embedding if words is None else embedding * words.dimshuffle(0, "x")
    projected = layers.project(table)[ids.flatten()]
    return projected.reshape((ids.shape[0], ids.shape[1], projected.shape[1])), None
