"""Given captions of given pictures: log-probabilities of all pairs, and what each word attends to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from theano_rnn.tasks.caption_batches import CaptionBatches, CaptionedImages, scaled

NUM_TOGETHER = 256  # pairs that are scored at once
BATCH_SIZE = 32  # captions whose attention is computed at once


def pair_log_probabilities(
    compiled: Callable[[str], Any],
    images: Any,
    captions: Sequence[Any],
    facts: Mapping[str, Any],
    dtype: str,
    progress: Callable[[int], None] | None = None,
) -> Any:
    """Returns ln P(caption | picture) in nats of each caption for each picture, float64 (pictures, captions).

    Each picture is encoded once for many captions.

    Parameters
    ----------
    compiled
        Returns the model's compiled ``pair_loss``.
    images : array (pictures, ...)
        As they are stored.
    captions : sequence of int32 arrays
        Ids with their end.
    facts : mapping
        Those of the task.
    progress : optional
        Called with the number of pictures so far.
    """
    found = np.zeros((len(images), len(captions)))
    if not found.size:
        return found
    group = min(max(1, NUM_TOGETHER // len(captions)), len(images))
    lengths = np.tile([len(ids) for ids in captions], group).astype(np.int64)
    owners = np.repeat(np.arange(group, dtype=np.int32), len(captions))
    corners = images[:group, :1, :1]  # in the place of pictures, which are not copied for each caption
    texts = CaptionedImages(corners, np.concatenate([*captions] * group), lengths, owners, [])
    batches = batches_of(texts, facts, dtype, NUM_TOGETHER)
    planned = [batches.batch(number) for number in range(len(batches))]  # the same for each group of pictures
    for begin in range(0, len(images), group):
        part = images[begin : begin + group]
        part = np.concatenate([part, np.repeat(part[-1:], group - len(part), axis=0)])
        source, totals = scaled(part, facts["images"], dtype), np.zeros(len(lengths))
        for batch in planned:
            columns = np.zeros(batch.num_columns, np.int32)
            columns[: len(batch.numbers)] = owners[batch.numbers]
            (losses,) = compiled("pair_loss")(source, columns, batch.tokens, batch.targets, batch.mask)
            totals[batch.numbers] = np.asarray(losses, np.float64)[: len(batch.numbers)]
        rows = -totals.reshape(group, len(captions))
        found[begin : begin + group] = rows[: len(images) - begin]
        if progress is not None:
            progress(min(begin + group, len(images)))
    return found


def caption_attention(
    compiled: Callable[[str], Any], images: Any, captions: Sequence[Any], facts: Mapping[str, Any], dtype: str
) -> Iterator[tuple[int, Any]]:
    """Yields the number of each picture, in any order, and what the words of its caption attend to: float64 weights
    (words, regions).

    Parameters
    ----------
    compiled
        Returns the model's compiled ``attention``.
    images : array (pictures, ...)
        As they are stored.
    captions : sequence of int32 arrays
        The ids of a caption of each picture, with its end.
    """
    lengths = np.array([len(ids) for ids in captions], np.int64)
    part = CaptionedImages(images, np.concatenate(captions), lengths, np.arange(len(images)), [])
    batches = batches_of(part, facts, dtype, BATCH_SIZE)
    for batch in map(batches.batch, range(len(batches))):
        (weights,) = compiled("attention")(batch.images, batch.tokens, batch.mask)
        for column, number in enumerate(batch.numbers):
            yield int(number), np.asarray(weights, np.float64)[: lengths[number], column]


def batches_of(part: CaptionedImages, facts: Mapping[str, Any], dtype: str, batch_size: int) -> CaptionBatches:
    """Returns batches in the order of the data."""
    vocabulary = facts["vocabulary"]
    return CaptionBatches(part, facts["images"], batch_size=batch_size, start_id=vocabulary.bos_id,
                          pad_id=vocabulary.pad_id, dtype=dtype)  # fmt: skip
