"""Batches: cut an array of ids into (time, batch) arrays of tokens, targets one step ahead, and a mask.

There are two ways, both sequences of `Batch`, so that a run can resume at any position:

- `Stream`: the text in parallel columns, cut into windows. The state is carried from window to window. Published
  perplexities are measured this way.
- `Sentences`: every sentence starts from a zero state, padded to one of a few lengths so that compiled shapes stay few.

Every token is a target exactly once. A batch that is not full is padded and masked; no token is dropped.

>>> batch = Stream(np.array([7, 8, 9, 1], "int32"), batch_size=2, bptt_steps=3, start_id=1, pad_id=10)[0]
>>> batch.tokens.tolist(), batch.targets.tolist(), batch.mask.tolist()
([[1, 8], [7, 9], [10, 10]], [[7, 9], [8, 1], [0, 0]], [[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, overload

import numpy as np
import numpy.typing as npt

from theano_rnn.learning.random_windows import padded_lengths, random_lengths
from theano_rnn.settings.training import TrainingConfig
from theano_rnn.text.vocabulary import Vocabulary

Ids = npt.NDArray[np.int32]
Mask = npt.NDArray[np.floating[Any]]
BUCKETS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)  # padded lengths; longer sentences become several windows
POOL = 50  # number of batches whose sentences are sorted by length together


class AnyBatch(Protocol):
    """A batch of any task, as training and evaluation use it: its arrays and a few properties."""

    @property
    def arrays(self) -> tuple[Any, ...]:
        """The arrays that a model's ``train`` and ``loss`` take, in this order."""

    @property
    def num_targets(self) -> int:
        """The number of targets (tokens, texts, labels) that the loss is a mean of."""

    @property
    def num_columns(self) -> int:
        """The size of the batch axis."""

    @property
    def is_start(self) -> bool:
        """Whether the batch starts from the initial state; otherwise the state of the last batch is carried over."""

    @property
    def rate_factor(self) -> float:
        """The factor for the learning rate of this update."""


class Batch(NamedTuple):
    """A batch of a text in which every token is a target; see `AnyBatch`.

    Parameters
    ----------
    tokens, targets : int32 (time, batch)
    mask : float (time, batch)
        1 for a real target and 0 for padding.
    """

    tokens: Ids
    targets: Ids
    mask: Mask
    is_start: bool
    rate_factor: float = 1.0

    @property
    def arrays(self) -> tuple[Ids, Ids, Mask]:
        return self.tokens, self.targets, self.mask

    @property
    def num_targets(self) -> int:
        return int(self.mask.sum())

    @property
    def num_columns(self) -> int:
        return self.tokens.shape[1]


def start_id(vocabulary: Vocabulary, batching: str) -> int:
    """Returns the id that the model reads before the first token of a text.

    `<s>` before a sentence; in a stream `</s>`, as after any sentence; in a stream of characters, a line break.
    """
    return vocabulary.bos_id if batching == "sentences" else sentence_end(vocabulary)


def sentence_end(vocabulary: Vocabulary) -> int:
    """Returns the id that ends a sentence: `</s>`, or a line break if the vocabulary of characters has one."""
    if vocabulary.text.unit == "char" and "\n" in vocabulary:
        return vocabulary.token_to_id("\n")
    return vocabulary.eos_id


def text_batches(
    ids: Ids,
    vocabulary: Vocabulary,
    config: TrainingConfig,
    *,
    dtype: str,
    epoch: int | None = None,
    start: int | None = None,
) -> BatchSequence:
    """Returns batches with the settings `config`, in the order of the text, or shuffled for `epoch` if it is given.

    `start`, if not None, is what the model reads before each sentence of a stream, instead of the end of the
    previous sentence.
    """
    rng = None if epoch is None else np.random.default_rng([config.seed, epoch])
    common: dict[str, Any] = {
        "batch_size": config.batch_size,
        "start_id": start_id(vocabulary, config.batching),
        "pad_id": vocabulary.pad_id,
        "dtype": dtype,
    }
    if config.batching == "stream":
        if start is not None:
            common |= {"start_id": start, "end_id": sentence_end(vocabulary)}
        return Stream(ids, bptt_steps=config.bptt_steps, rng=rng if config.random_windows else None, **common)
    if epoch is None:
        common["batch_size"] = evaluation_batch_size(config)
    return Sentences(ids, lengths=sentence_lengths(ids, vocabulary.eos_id), rng=rng, **common)


def evaluation_batch_size(config: TrainingConfig) -> int:
    """Returns the batch size for evaluating sentences: at least 32, and a multiple of that in training, for devices."""
    return config.batch_size * -(-32 // config.batch_size)


class BatchSequence(Sequence[Batch]):
    """A sequence of batches, each computed when it is read, with `num_targets` targets in total."""

    num_targets: int

    def batch(self, number: int) -> Batch:
        raise NotImplementedError

    @overload
    def __getitem__(self, number: int) -> Batch: ...
    @overload
    def __getitem__(self, number: slice) -> list[Batch]: ...
    def __getitem__(self, number: int | slice) -> Batch | list[Batch]:
        if isinstance(number, slice):
            return [self.batch(i) for i in range(*number.indices(len(self)))]
        if not 0 <= number < len(self):
            raise IndexError(f"batch must be in 0 .. {len(self) - 1}, got {number}")
        return self.batch(number)


class Stream(BatchSequence):
    """Windows of `bptt_steps` steps of `ids`, which are laid out in `batch_size` parallel columns.

    Column j holds tokens j * height .. (j + 1) * height - 1 of the text; its first input is the token before these.
    Given `rng`, windows have random lengths (`random_lengths`), so that every epoch cuts the text at other places. Each
    is padded to one of four lengths (`padded_lengths`), and the learning rate is proportional to the unpadded length.
    If `end_id` is given, the input after it is `start_id`, which a model that was trained on sentences knows.
    """

    def __init__(
        self,
        ids: Ids,
        *,
        batch_size: int,
        bptt_steps: int,
        start_id: int,
        pad_id: int,
        end_id: int | None = None,
        rng: np.random.Generator | None = None,
        dtype: str = "float32",
    ) -> None:
        self.ids, self.batch_size, self.dtype = ids, batch_size, dtype
        self.start_id, self.pad_id, self.end_id = start_id, pad_id, end_id
        self.height, self.num_targets = -(-len(ids) // batch_size), len(ids)
        self.bptt_steps, self.has_random_windows = bptt_steps, rng is not None
        if rng is None:
            self.paddings, self.lengths = [bptt_steps], np.full(-(-self.height // bptt_steps), bptt_steps)
        else:
            self.paddings, self.lengths = padded_lengths(bptt_steps), random_lengths(self.height, bptt_steps, rng=rng)
        self.begins = np.cumsum(self.lengths) - self.lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, number: int) -> Batch:
        length = int(self.lengths[number])
        step = np.arange(min(p for p in self.paddings if p >= length))[:, None]  # (time, 1)
        row = int(self.begins[number]) + step
        position = row + self.height * np.arange(self.batch_size)[None, :]  # (time, batch)
        is_real = (step < length) & (row < self.height) & (position < len(self.ids))
        inside = np.where(is_real, position, 0)
        targets = np.where(is_real, self.ids[inside], 0).astype(np.int32)
        tokens = np.where(inside > 0, self.ids[np.maximum(inside - 1, 0)], self.start_id)
        if self.end_id is not None:
            tokens = np.where(tokens == self.end_id, self.start_id, tokens)
        tokens = np.where(is_real, tokens, self.pad_id).astype(np.int32)
        num_real_steps = np.count_nonzero(is_real.any(axis=1))
        factor = num_real_steps / self.bptt_steps if self.has_random_windows else 1.0
        return Batch(tokens, targets, is_real.astype(self.dtype), number == 0, factor)


def padded_length(length: int) -> int:
    """Returns the length to which sequences of up to `length` steps are padded, so that few shapes are compiled.

    One of `BUCKETS`, or a multiple of the largest, for models that read a whole sequence before their only output.

    >>> [padded_length(length) for length in (1, 9, 256, 257, 1000)]
    [8, 12, 256, 512, 1024]
    """
    return next((bucket for bucket in BUCKETS if bucket >= length), -(-length // BUCKETS[-1]) * BUCKETS[-1])


def sentence_lengths(ids: Ids, end_id: int) -> Any:
    """Returns the number of tokens of each sentence, with its `end_id`; tokens after the last `end_id` are a sentence.

    >>> sentence_lengths(np.array([5, 6, 1, 1, 7], "int32"), end_id=1).tolist()
    [3, 1, 1]
    """
    ends = np.flatnonzero(ids == end_id) + 1
    if len(ids) and (not len(ends) or ends[-1] != len(ids)):
        ends = np.append(ends, len(ids))
    return np.diff(ends, prepend=0)


class Sentences(BatchSequence):
    """Batches of `batch_size` sentences of similar length.

    `ids` holds the sentences one after another, and `lengths` their lengths, as from `sentence_lengths`. Sentences and
    batches are shuffled if `rng` is given, else in the order of the text; then each group of `POOL` batches is sorted
    by length. A sentence longer than the largest bucket continues in the next batch.
    """

    def __init__(
        self,
        ids: Ids,
        *,
        batch_size: int,
        start_id: int,
        pad_id: int,
        lengths: Any,
        rng: np.random.Generator | None = None,
        dtype: str = "float32",
    ) -> None:
        self.ids, self.batch_size, self.dtype = ids, batch_size, dtype
        self.start_id, self.pad_id = start_id, pad_id
        self.lengths, self.begins, self.num_targets = lengths, np.cumsum(lengths) - lengths, int(np.sum(lengths))
        self.plan = self.make_plan(np.arange(len(lengths)) if rng is None else rng.permutation(len(lengths)), rng)

    def make_plan(self, order: Any, rng: np.random.Generator | None) -> list[tuple[Any, int, int]]:
        """Returns (sentences, first step, number of steps) for every batch."""
        plan = []
        for first in range(0, len(order), self.batch_size * POOL):
            pool = order[first : first + self.batch_size * POOL]
            pool = pool[np.argsort(self.lengths[pool], kind="stable")]
            groups = [pool[i : i + self.batch_size] for i in range(0, len(pool), self.batch_size)]
            for i in range(len(groups)) if rng is None else rng.permutation(len(groups)):
                longest = int(self.lengths[groups[i]].max())
                for step in range(0, longest, BUCKETS[-1]):
                    plan.append((groups[i], step, padded_length(min(longest - step, BUCKETS[-1]))))
        return plan

    def __len__(self) -> int:
        return len(self.plan)

    def batch(self, number: int) -> Batch:
        sentences, first, steps = self.plan[number]
        shape = (steps, self.batch_size)
        tokens = np.full(shape, self.pad_id, np.int32)
        targets, mask = np.zeros(shape, np.int32), np.zeros(shape, self.dtype)
        for column, sentence in enumerate(sentences):
            begin, length = int(self.begins[sentence]), int(self.lengths[sentence])
            count = min(length - first, steps)
            if count <= 0:
                continue
            text = self.ids[begin + first : begin + first + count]
            targets[:count, column] = text
            mask[:count, column] = 1
            tokens[1:count, column] = text[:-1]
            tokens[0, column] = self.ids[begin + first - 1] if first else self.start_id
        return Batch(tokens, targets, mask, first == 0)
