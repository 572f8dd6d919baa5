"""Describe encoded pictures: a beam search for each, many at once, results in the order of the input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from theano_rnn.generation.batched_search import beam_search
from theano_rnn.generation.hypotheses import Hypothesis, SearchRules

BATCH_SIZES = (1, 8, 64)  # few, so that few shapes are compiled
NUM_CONTEXT = 3  # results of ``encode`` that are the same in all steps; those before them are the state


def describe(
    compiled: Callable[[str], Any],
    images: Any,
    prepared: Callable[[Any], Any],
    *,
    start_id: int,
    end_id: int,
    vocab_size: int,
    banned_ids: Sequence[int],
    longest: int,
    rules: SearchRules,
    dtype: str,
) -> Iterator[list[Hypothesis]]:
    """Yields the best captions of each picture.

    Parameters
    ----------
    compiled
        Returns the model's compiled ``encode`` and ``search_step``.
    images : array (pictures, ...)
        Pictures or their features, as they are stored.
    prepared
        Returns some of the images as ``encode`` takes them, with the batch as the second axis.
    longest : int
        The greatest number of tokens of a caption, its end included.
    banned_ids
        Ids that no caption may have, such as that of unknown words.
    """
    banned = np.zeros(vocab_size, dtype)
    banned[list(banned_ids)] = -np.inf
    for begin in range(0, len(images), BATCH_SIZES[-1]):
        part = images[begin : begin + BATCH_SIZES[-1]]
        size = next(size for size in BATCH_SIZES if size >= len(part))
        count = len(part)
        part = np.concatenate([part, np.repeat(part[-1:], size - count, axis=0)])
        results = compiled("encode")(prepared(part), np.repeat(np.arange(size, dtype=np.int32), rules.beam_size))
        found = beam_search(
            compiled("search_step"), results[:-NUM_CONTEXT], results[-NUM_CONTEXT:],
            [longest] * count + [0] * (size - count), start_id=start_id, end_id=end_id, banned=banned, rules=rules,
        )  # fmt: skip
        yield from found[:count]
