"""Batches of pictures with captions: a column for each caption, with its picture and padded to a common length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.learning.batching import BatchSequence
from theano_rnn.tasks.labelled_batches import padded_lengths, plan_by_length


class CaptionedImages(NamedTuple):
    """Pictures, or ready-made features of them, with captions.

    Attributes
    ----------
    images : uint8 (pictures, height, width, 3), or float32 (pictures, regions, channels)
    ids : int32 (tokens,)
        The captions, one after another, each with its end.
    lengths, owners : int64 (captions,)
        How many tokens each caption has, and the number of its picture.
    names : list of str
        Of the pictures.
    references : list of list of str
        The captions of each picture as they are in the file; empty for the training part.
    """

    images: Any
    ids: Any
    lengths: Any
    owners: Any
    names: Sequence[str]
    references: Sequence[Sequence[str]] = ()

    def captions(self) -> list[Any]:
        """Returns the ids of each caption."""
        return np.split(self.ids, np.cumsum(self.lengths)[:-1]) if len(self.lengths) else []

    def true_captions(self) -> list[set[tuple[int, ...]]]:
        """Returns the ids of the captions of each picture, without their ends."""
        found: list[set[tuple[int, ...]]] = [set() for _ in self.images]
        for owner, ids in zip(self.owners, self.captions()):
            found[owner].add(tuple(ids[:-1].tolist()))
        return found


class CaptionBatch(NamedTuple):
    """A batch of captions with their pictures; see `AnyBatch`. The last columns may have none.

    Parameters
    ----------
    images : float (height, batch, width, 3) or (regions, batch, channels)
    tokens, targets : int32 (time, batch)
        The word before each word, and the words.
    mask : float (time, batch)
        1 for a word and 0 for padding.
    numbers : int64 (captions,)
        The number of the caption in each of the first columns.
    """

    images: Any
    tokens: Any
    targets: Any
    mask: Any
    numbers: Any
    is_start: bool = True
    rate_factor: float = 1.0

    @property
    def arrays(self) -> tuple[Any, ...]:
        return self.images, self.tokens, self.targets, self.mask

    @property
    def num_targets(self) -> int:
        return int(self.mask.sum())

    @property
    def num_columns(self) -> int:
        return int(self.tokens.shape[1])


def scaled(images: Any, facts: Mapping[str, Any], dtype: str) -> Any:
    """Returns ``(images - mean) / scale``, with the batch as the second axis.

    Parameters
    ----------
    images : array (pictures, ...)
    facts : mapping
        ``mean`` and ``scale``, a number for each channel, or one for all.

    Returns
    -------
    float (height, pictures, width, 3) or (regions, pictures, channels)
    """
    mean, scale = (np.asarray(facts[name], dtype) for name in ("mean", "scale"))
    found = np.ascontiguousarray(np.swapaxes(images, 0, 1)).astype(dtype)
    found -= mean
    found *= np.ones((), dtype) / scale
    return found


def few_lengths(lengths: Any) -> list[int]:
    """Returns the lengths to which captions of these `lengths` are padded: fewer than `padded_lengths`.

    To compile the network for one length takes many seconds, and shorter captions save little time, because most of it
    is spent on the convolutions. So a length is left out if it is more than half of the next one.

    >>> few_lengths(np.array([7, 9, 10])), few_lengths(np.array([7, 11, 20]))
    ([12], [12, 24])
    """
    kept: list[int] = []
    for length in reversed(padded_lengths(lengths)):
        if not kept or 2 * length <= kept[0]:
            kept.insert(0, length)
    return kept


def shifted(images: Any, most: int, rng: np.random.Generator) -> Any:
    """Returns pictures (pictures, height, width, channels), each moved by up to `most` pixels across and down.

    The pixels of a border are repeated where nothing moved in.
    """
    moves = rng.integers(-most, most + 1, (2, len(images), 1))
    rows, columns = (np.clip(np.arange(size) + move, 0, size - 1) for size, move in zip(images.shape[1:3], moves))
    return images[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]


class CaptionBatches(BatchSequence):
    """Batches of captions, shuffled if `rng` is given, else in the order of the data.

    Parameters
    ----------
    part : CaptionedImages
    facts : mapping
        As of `scaled`.
    batch_size : int
        The number of columns.
    start_id : int
        What the decoder reads before the first word.
    pad_id : int
    image_shift : int
        As the setting. Needs `rng`.
    """

    def __init__(
        self,
        part: CaptionedImages,
        facts: Mapping[str, Any],
        *,
        batch_size: int,
        start_id: int,
        pad_id: int,
        rng: np.random.Generator | None = None,
        image_shift: int = 0,
        dtype: str = "float32",
    ) -> None:
        self.part, self.facts, self.dtype, self.start_id, self.pad_id = part, facts, dtype, start_id, pad_id
        self.num_targets = int(part.lengths.sum())
        self.begins = np.cumsum(part.lengths) - part.lengths
        self.plan = plan_by_length(part.lengths, few_lengths(part.lengths), batch_size, rng=rng)
        self.image_shift = image_shift if rng is not None else 0
        self.seed = int(rng.integers(2**32)) if rng is not None else 0

    def __len__(self) -> int:
        return len(self.plan)

    def batch(self, number: int) -> CaptionBatch:  # type: ignore[override]
        numbers, steps, columns = self.plan[number]
        shape, part = (steps, columns), self.part
        tokens, targets = np.full(shape, self.pad_id, np.int32), np.zeros(shape, np.int32)
        mask = np.zeros(shape, self.dtype)
        for column, caption in enumerate(numbers):
            begin, length = self.begins[caption], part.lengths[caption]
            targets[:length, column] = part.ids[begin : begin + length]
            tokens[0, column], tokens[1:length, column] = self.start_id, targets[: length - 1, column]
            mask[:length, column] = 1
        owners = np.zeros(columns, np.int64)  # columns without a caption have some picture
        owners[: len(numbers)] = part.owners[numbers]
        images = part.images[owners]
        if self.image_shift:
            images = shifted(images, self.image_shift, np.random.default_rng([self.seed, number]))
        return CaptionBatch(scaled(images, self.facts, self.dtype), tokens, targets, mask, numbers)
