"""Batches of whole utterances of similar length, with few shapes, and with changed copies in training.

In training, an utterance is changed in every epoch: it gets another tempo and voice, hidden intervals and noise. The
change is a function of the seed, the epoch and the number of the utterance alone, so a resumed run meets the same
arrays. Frames are stacked last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.learning.batching import BatchSequence
from theano_rnn.settings.recognition import RecognitionTrainingConfig
from theano_rnn.sound.augmentation import at_tempo, augmented
from theano_rnn.sound.stacking import num_stacked, stacked
from theano_rnn.tasks.labelled_batches import plan_by_length
from theano_rnn.tasks.utterances import Utterances

MAX_SHAPES = 6  # XLA compiles each for seconds
BATCHES_PER_SHAPE = 2  # of an epoch, at least
ROUNDING = 8  # padded lengths are multiples of this


class UtteranceBatch(NamedTuple):
    """A batch of utterances; see `AnyBatch`. The last columns may have none.

    Parameters
    ----------
    frames : float (time, batch, inputs)
        Stacked frames; 0 as padding.
    mask : float (time, batch)
        1 for a real step and 0 for padding.
    labels : int32 (places, batch)
        Labels from 1; 0 as padding.
    numbers : int64 (utterances,)
        The number of the utterance in each of the first columns.
    num_targets : int
        The labels of the utterances that are long enough for theirs; an utterance without labels counts as one label.
    """

    frames: Any
    mask: Any
    labels: Any
    numbers: Any
    num_targets: int
    is_start: bool = True
    rate_factor: float = 1.0

    @property
    def arrays(self) -> tuple[Any, ...]:
        return self.frames, self.mask, self.labels

    @property
    def num_columns(self) -> int:
        return int(self.mask.shape[1])


class UtteranceBatches(BatchSequence):
    """Batches of utterances, in the order of the data, or shuffled and changed for an epoch of training.

    An utterance is never cut: long ones come in batches of fewer columns.

    Parameters
    ----------
    utterances : Utterances
    batch_size : int
        The number of columns, if the utterances are not too long for that many.
    stacking : int
        The number of frames that are one step of the network.
    groups : int
        The features are this many groups of bands: 1 + the number of deltas.
    has_bands : bool
        Whether features are energies of bands in the order of their frequencies, so that voices can be changed.
    config : RecognitionTrainingConfig, optional
        How to change the utterances. Used if `epoch` is given.
    epoch : int, optional
    shapes : mapping of int to int, optional
        The lengths to pad steps to, each with that of its labels, as in `shapes` of other batches with these
        utterances among theirs. Default: few that suit the utterances.
    """

    def __init__(
        self,
        utterances: Utterances,
        *,
        batch_size: int,
        stacking: int,
        groups: int = 1,
        has_bands: bool = False,
        config: RecognitionTrainingConfig | None = None,
        epoch: int | None = None,
        shapes: Mapping[int, int] | None = None,
        dtype: str = "float32",
    ) -> None:
        self.utterances, self.batch_size, self.stacking, self.dtype = utterances, batch_size, stacking, dtype
        self.groups, self.has_bands, self.epoch = groups, has_bands, epoch
        self.config = config if epoch is not None else None
        self.frame_begins = np.cumsum(utterances.lengths) - utterances.lengths
        self.label_begins = np.cumsum(utterances.label_lengths) - utterances.label_lengths
        self.least_steps = least_steps(utterances)
        self.num_frames = self.tempo_lengths()
        self.lengths = num_stacked(self.num_frames, stacking)
        self.counts = np.where(self.lengths >= self.least_steps, np.maximum(utterances.label_lengths, 1), 0)
        self.num_targets = int(self.counts.sum())
        self.shapes = self.padded_shapes() if shapes is None else shapes
        rng = np.random.default_rng([self.config.seed, epoch, 0]) if self.config and epoch is not None else None
        self.plan = plan_by_length(self.lengths, list(self.shapes), batch_size, rng=rng)

    def __len__(self) -> int:
        return len(self.plan)

    def labels(self, number: int) -> Any:
        """Returns the labels of an utterance, int32."""
        begin = self.label_begins[number]
        return self.utterances.labels[begin : begin + self.utterances.label_lengths[number]]

    def tempo_lengths(self) -> Any:
        """Returns the number of frames of each utterance after the change of tempo. The labels still fit."""
        lengths = np.asarray(self.utterances.lengths)
        if self.config is None or not self.config.tempo:
            return lengths
        rng = np.random.default_rng([self.config.seed, self.epoch or 0, 1])
        factors = np.exp(rng.uniform(-1, 1, len(lengths)) * np.log1p(self.config.tempo))
        needed = np.minimum(np.maximum((self.least_steps - 1) * self.stacking + 1, 1), lengths)
        return np.maximum(np.round(lengths / factors).astype(np.int64), needed)

    def padded_shapes(self) -> Mapping[int, int]:
        """Returns the lengths to which steps are padded, in increasing order, and to each that of the labels.

        They are those of every epoch, whatever the tempo is in it.
        """
        lengths, tempo = self.utterances.lengths, self.config.tempo if self.config else 0.0
        ways = [num_stacked(np.round(lengths * factor).astype(np.int64), self.stacking)
                for factor in ({1 / (1 + tempo), 1.0, 1 + tempo} if tempo else {1.0})]  # fmt: skip
        longest = np.maximum(max(way.max(initial=1) for way in ways), self.lengths.max(initial=1))
        all_lengths = np.concatenate([*ways, [longest]])
        num_batches = -(-len(lengths) // self.batch_size)
        steps = chosen_lengths(all_lengths, max(1, min(MAX_SHAPES, num_batches // BATCHES_PER_SHAPE)))
        shortest = np.minimum(np.min(ways, axis=0), self.lengths) if len(lengths) else self.lengths
        places = [int(self.utterances.label_lengths[shortest <= step].max(initial=1)) for step in steps]
        return dict(zip(steps, places))

    def frames_of(self, number: int) -> Any:
        """Returns the stacked frames of an utterance, changed for the epoch: float32 (time, inputs)."""
        begin = self.frame_begins[number]
        x = self.utterances.frames[begin : begin + self.utterances.lengths[number]]
        if self.config is not None and self.epoch is not None:
            c = self.config
            x = augmented(
                at_tempo(x, int(self.num_frames[number])), np.random.default_rng([c.seed, self.epoch, 2, number]),
                warp=c.warp if self.has_bands else 0.0, noise=c.noise, time_masks=c.time_masks,
                max_masked_frames=c.max_masked_frames, band_masks=c.band_masks,
                max_masked_bands=c.max_masked_bands, groups=self.groups,
            )  # fmt: skip
        return stacked(x, self.stacking)

    def batch(self, number: int) -> UtteranceBatch:  # type: ignore[override]
        numbers, steps, columns = self.plan[number]
        inputs = self.utterances.frames.shape[1] * self.stacking
        frames, mask = np.zeros((steps, columns, inputs), self.dtype), np.zeros((steps, columns), self.dtype)
        labels = np.zeros((self.shapes[steps], columns), np.int32)
        for column, utterance in enumerate(numbers):
            length, ids = int(self.lengths[utterance]), self.labels(utterance)
            frames[:length, column] = self.frames_of(utterance)
            mask[:length, column] = 1
            labels[: len(ids), column] = ids
        return UtteranceBatch(frames, mask, labels, numbers, int(self.counts[numbers].sum()))


def least_steps(utterances: Utterances) -> Any:
    """Returns the number of steps that CTC needs for each utterance's labels, int64 (utterances,).

    It is one per label, and one for the blank between two equal labels.
    """
    labels, ends = utterances.labels, np.cumsum(utterances.label_lengths)
    is_repeated = np.zeros(len(labels) + 1, np.int64)
    is_repeated[1:-1] = labels[1:] == labels[:-1]
    is_repeated[ends - utterances.label_lengths] = 0  # the first label of an utterance
    total = np.concatenate([[0], np.cumsum(is_repeated)])
    return utterances.label_lengths + total[ends] - total[ends - utterances.label_lengths]


def chosen_lengths(lengths: Any, count: int) -> list[int]:
    """Returns at most `count` lengths, in increasing order, to which sequences are padded with the least padding.

    Each is a multiple of `ROUNDING`; the last is at least the longest of `lengths`.

    >>> chosen_lengths(np.array([5, 6, 7, 30, 31, 95, 96]), 3)
    [8, 32, 96]
    """
    rounded = -(-np.maximum(lengths, 1) // ROUNDING) * ROUNDING
    values, weights = np.unique(rounded, return_counts=True)
    total = np.concatenate([[0], np.cumsum(weights)])
    cost = np.full((count + 1, len(values) + 1), np.inf)  # of the first i values with k lengths, in padded steps
    cost[0, 0] = 0
    last = np.zeros(cost.shape, np.int64)
    for k in range(1, count + 1):
        for i in range(1, len(values) + 1):
            ways = cost[k - 1, :i] + values[i - 1] * (total[i] - total[:i])
            last[k, i] = ways.argmin()
            cost[k, i] = ways[last[k, i]]
    k, i = int(cost[:, -1].argmin()), len(values)
    found: list[int] = []
    while i:
        found.insert(0, int(values[i - 1]))
        k, i = k - 1, int(last[k, i])
    return found


def without_long(utterances: Utterances, max_frames: int) -> tuple[Utterances, int]:
    """Returns the utterances without those of more than `max_frames` frames, and the number of these."""
    is_kept = np.asarray(utterances.lengths) <= max_frames
    count = int(np.count_nonzero(~is_kept))
    return (kept(utterances, is_kept) if count else utterances), count


def kept(utterances: Utterances, is_kept: Any) -> Utterances:
    """Returns the utterances for which `is_kept`, bool (utterances,), is true."""

    def texts(values: Sequence[str]) -> list[str]:
        return [value for value, is_used in zip(values, is_kept) if is_used]

    return Utterances(
        utterances.frames[np.repeat(is_kept, utterances.lengths)], utterances.lengths[is_kept],
        utterances.labels[np.repeat(is_kept, utterances.label_lengths)], utterances.label_lengths[is_kept],
        texts(utterances.names), texts(utterances.transcripts), texts(utterances.speakers),
    )  # fmt: skip
