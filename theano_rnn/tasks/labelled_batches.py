"""Batches of whole labelled texts: texts of similar length, each from its first token to its last."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.learning.batching import BUCKETS, POOL, BatchSequence, evaluation_batch_size
from theano_rnn.settings.base import UserError
from theano_rnn.settings.training import TrainingConfig
from theano_rnn.tasks.labelled_corpus import LabelledTexts

MAX_TOKENS = 1 << 13  # of a batch, padding included; longer texts come in batches of fewer columns
MAX_LENGTHS = 6
MIN_COLUMNS = 8  # of such a batch, so that up to eight devices can share it


class TextBatch(NamedTuple):
    """A batch of texts with one label each; see `AnyBatch`. The last columns may have no text.

    Parameters
    ----------
    tokens : int32 (time, batch)
    mask : float (time, batch)
        1 for a token and 0 for padding.
    labels : int32 (batch,)
        0 for a column without a text.
    weights : float (batch,)
        How much each text counts in the loss that training minimizes; 0 for a column without a text.
    numbers : int64 (texts,)
        The number of the text in each of the first columns.
    """

    tokens: Any
    mask: Any
    labels: Any
    weights: Any
    numbers: Any

    @property
    def is_start(self) -> bool:
        return True

    @property
    def rate_factor(self) -> float:
        return 1.0

    @property
    def arrays(self) -> tuple[Any, ...]:
        return self.tokens, self.mask, self.labels, self.weights

    @property
    def num_targets(self) -> int:
        return len(self.numbers)

    @property
    def num_columns(self) -> int:
        return int(self.tokens.shape[1])


class TextBatches(BatchSequence):
    """Batches of texts, shuffled if `rng` is given, else in the order of the data.

    Each group of `POOL` batches is sorted by length, so that little is padded. A text is never cut: long texts come in
    batches of fewer columns.

    Parameters
    ----------
    texts : LabelledTexts
    batch_size : int
        The number of columns, if the texts are not too long for that many.
    pad_id : int
    label_weights : float (labels,), optional
        How much each text of a label counts in training; by default 1.
    lengths : sequence of int, optional
        The lengths to pad to, in increasing order, the last at least the length of every text. Default: the
        `padded_lengths` of the texts.
    """

    def __init__(
        self,
        texts: LabelledTexts,
        *,
        batch_size: int,
        pad_id: int,
        label_weights: Any = None,
        lengths: Sequence[int] | None = None,
        rng: np.random.Generator | None = None,
        dtype: str = "float32",
    ) -> None:
        self.texts, self.batch_size, self.pad_id, self.dtype = texts, batch_size, pad_id, dtype
        self.label_weights, self.num_targets = label_weights, len(texts)
        self.begins = np.cumsum(texts.lengths) - texts.lengths
        self.padded_lengths = padded_lengths(texts.lengths) if lengths is None else lengths
        self.plan = plan_by_length(texts.lengths, self.padded_lengths, batch_size, rng=rng)

    def __len__(self) -> int:
        return len(self.plan)

    def batch(self, number: int) -> TextBatch:  # type: ignore[override]
        numbers, steps, columns = self.plan[number]
        lengths = self.texts.lengths[numbers]
        tokens, mask = np.full((steps, columns), self.pad_id, np.int32), np.zeros((steps, columns), self.dtype)
        for column, (begin, length) in enumerate(zip(self.begins[numbers], lengths)):
            tokens[:length, column] = self.texts.ids[begin : begin + length]
            mask[:length, column] = 1
        labels, weights = np.zeros(columns, np.int32), np.zeros(columns, self.dtype)
        labels[: len(numbers)] = self.texts.labels[numbers]
        weights[: len(numbers)] = 1 if self.label_weights is None else self.label_weights[labels[: len(numbers)]]
        return TextBatch(tokens, mask, labels, weights, numbers)


def plan_by_length(
    lengths: Any, padded: Sequence[int], batch_size: int, *, second: Any = None, rng: np.random.Generator | None
) -> list[tuple[Any, int, int]]:
    """Returns (numbers of the texts, steps, columns) for every batch of texts of similar length.

    Texts are shuffled if `rng` is given. Each group of `POOL` batches is sorted by length, and by `second` among texts
    of the same length.

    Parameters
    ----------
    lengths : int (texts,)
    padded : sequence of int
        The lengths to pad to, in increasing order.
    second : int (texts,), optional
    """
    plan: list[tuple[Any, int, int]] = []
    order = np.arange(len(lengths)) if rng is None else rng.permutation(len(lengths))
    for first in range(0, len(order), batch_size * POOL):
        pool = order[first : first + batch_size * POOL]
        keys = (lengths[pool],) if second is None else (second[pool], lengths[pool])
        pool = pool[np.lexsort(keys)]
        groups, end = [], len(pool)
        while end:  # from the longest text to the shortest, because the longest decides the number of columns
            steps = next(length for length in padded if length >= lengths[pool[end - 1]])
            columns = num_columns(steps, batch_size)
            groups.append((pool[max(end - columns, 0) : end], steps, columns))
            end = max(end - columns, 0)
        groups.reverse()
        plan += groups if rng is None else [groups[i] for i in rng.permutation(len(groups))]
    return plan


def padded_lengths(lengths: Any) -> list[int]:
    """Returns the lengths to which texts of these `lengths` are padded, in increasing order.

    Each takes seconds to compile, so they are few: those of `usual_lengths` that the texts need, without those that
    save the least padding, until at most `MAX_LENGTHS` are left.

    >>> padded_lengths(np.array([3, 4, 9, 15, 30]))
    [8, 12, 16, 32]
    >>> padded_lengths(np.arange(10, 2_000))
    [256, 512, 768, 1024, 1536, 2048]
    """
    usual = usual_lengths(int(lengths.max(initial=1)))
    places, counts = np.unique(np.searchsorted(usual, lengths), return_counts=True)
    found = [(usual[place], int(count)) for place, count in zip(places, counts)]  # each with its number of texts
    while len(found) > MAX_LENGTHS:
        added = [(after - length) * count for (length, count), (after, _) in itertools.pairwise(found)]
        least = added.index(min(added))
        (_, count), (after, more) = found[least : least + 2]
        found[least : least + 2] = [(after, count + more)]
    return [length for length, _ in found]


def usual_lengths(longest: int) -> list[int]:
    """Returns `BUCKETS`, and larger lengths up to the first that is not less than `longest`.

    >>> usual_lengths(1000)[-4:]
    [384, 512, 768, 1024]
    """
    found = list(BUCKETS)
    while found[-1] < longest:
        found.append(found[-1] * 3 // 2 if found[-1].bit_count() == 1 else found[-1] * 4 // 3)
    return found


def num_columns(steps: int, batch_size: int) -> int:
    """Returns the number of columns of a batch of so many steps: `batch_size`, halved until it is not too large.

    >>> [num_columns(steps, 32) for steps in (24, 256, 512, 3072)]
    [32, 32, 16, 8]
    """
    columns = batch_size
    while columns * steps > MAX_TOKENS and columns % 2 == 0 and columns // 2 >= MIN_COLUMNS:
        columns //= 2
    return columns


def least_columns(batch_size: int) -> int:
    """Returns the number of columns of the batches of the longest texts. It divides that of all other batches.

    >>> [least_columns(size) for size in (32, 20, 4)]
    [8, 10, 4]
    """
    return num_columns(MAX_TOKENS + 1, batch_size)


def check_shared_columns(config: TrainingConfig, num_devices: int) -> None:
    """Raises `UserError` if batches of long texts have a number of columns that the devices cannot share."""
    size = config.batch_size
    for columns in (least_columns(size), least_columns(evaluation_batch_size(config))):
        if size % num_devices == 0 and columns % num_devices:
            use = f"--batch-size {8 * num_devices}" if num_devices <= 8 else "at most 8 devices"
            raise UserError(f"batch_size {size} cannot be used with {num_devices} devices, because batches of long "
                            f"texts have {columns} columns, which they cannot share: use {use}")  # fmt: skip
