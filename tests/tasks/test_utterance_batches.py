"""Batches of utterances: each once and whole, few shapes, and changes that seed, epoch and number alone decide."""

import dataclasses
import itertools

import numpy as np
import pytest

from theano_rnn.settings.recognition import RecognitionTrainingConfig
from theano_rnn.sound.stacking import stacked
from theano_rnn.tasks.labelled_batches import MAX_TOKENS
from theano_rnn.tasks.utterance_batches import (
    MAX_SHAPES,
    ROUNDING,
    UtteranceBatches,
    chosen_lengths,
    kept,
    least_steps,
    without_long,
)
from theano_rnn.tasks.utterances import Utterances

BANDS, STACKING = 2, 3
CONFIG = RecognitionTrainingConfig(seed=5)


def utterances_of(lengths, label_lengths, seed=0):
    """Utterances of random frames and labels."""
    rng = np.random.default_rng(seed)
    names = [f"u{i}" for i in range(len(lengths))]
    return Utterances(
        rng.normal(size=(sum(lengths), BANDS)).astype("float32"), np.array(lengths, np.int64),
        rng.integers(1, 4, sum(label_lengths)).astype("int32"), np.array(label_lengths, np.int64), names,
        [f"say {name}" for name in names], ["a", "b"] * (len(names) // 2) + ["c"] * (len(names) % 2),
    )  # fmt: skip


def many(count=200, longest=400, seed=1):
    lengths = np.random.default_rng(seed).integers(20, longest, count)
    return utterances_of(lengths.tolist(), (lengths // 20).tolist())


def batches_of(utterances, epoch=None, config=CONFIG, **options):
    return UtteranceBatches(utterances, batch_size=8, stacking=STACKING, config=config, epoch=epoch, **options)


def labels_of(utterances):
    return np.split(utterances.labels, np.cumsum(utterances.label_lengths)[:-1])


def frames_of(utterances):
    return np.split(utterances.frames, np.cumsum(utterances.lengths)[:-1])


@pytest.mark.parametrize("epoch", [None, 0])
@pytest.mark.parametrize(
    "utterances",
    [utterances_of([1], [0]), utterances_of([9, 40, 3000], [2, 0, 7]), many(), many(33, 6000)],
    ids=["one", "three", "many", "long"],
)
def test_every_utterance_is_in_one_batch_as_a_whole(utterances, epoch):
    batches, seen, shapes = batches_of(utterances, epoch), [], set()
    for batch in batches:
        frames, mask, labels = batch.arrays
        assert frames.shape == (*mask.shape, BANDS * STACKING) and labels.shape[1] == mask.shape[1] == batch.num_columns
        assert (frames.dtype, mask.dtype, labels.dtype) == ("float32", "float32", "int32")
        assert (mask[1:] <= mask[:-1]).all() and not frames[mask == 0].any()
        for column, number in enumerate(batch.numbers):
            expected = labels_of(utterances)[number]
            assert labels[: len(expected), column].tolist() == expected.tolist()
            assert not labels[len(expected) :, column].any() and mask[:, column].any()
            if epoch is None:
                given = stacked(frames_of(utterances)[number], STACKING)
                np.testing.assert_array_equal(frames[: len(given), column], given)
                assert mask[:, column].sum() == len(given)
        assert not mask[:, len(batch.numbers) :].any() and not labels[:, len(batch.numbers) :].any()
        assert mask.size <= MAX_TOKENS or batch.num_columns == 8
        seen += batch.numbers.tolist()
        shapes.add((frames.shape, labels.shape))
    assert sorted(seen) == list(range(utterances.num_utterances))
    assert len(shapes) <= MAX_SHAPES
    assert batches.num_targets == sum(batch.num_targets for batch in batches)


def test_all_epochs_have_the_same_few_shapes():
    utterances = many(300, 600)
    every = [batch for epoch in range(6) for batch in batches_of(utterances, epoch)]
    shapes = {tuple(array.shape for array in batch.arrays) for batch in every}
    assert len(shapes) <= MAX_SHAPES
    total = sum(batch.mask.size for batch in batches_of(utterances, 0))
    assert sum(batch.mask.sum() for batch in batches_of(utterances, 0)) > 0.75 * total


def test_an_epoch_is_a_function_of_seed_and_number_alone():
    utterances = many(60)
    first, again = batches_of(utterances, 3), batches_of(utterances, 3)
    for number in reversed(range(len(first))):  # in another order, as a resumed run reads them
        for one, other in zip(first[number].arrays, again[number].arrays):
            np.testing.assert_array_equal(one, other)
    config = dataclasses.replace(CONFIG, seed=6)
    for others in (batches_of(utterances, 4), batches_of(utterances, 3, config)):
        assert [batch.numbers.tolist() for batch in others] != [batch.numbers.tolist() for batch in first]
    means = {epoch: {int(i): batch.frames[:, c].sum() for batch in batches_of(utterances, epoch)
                     for c, i in enumerate(batch.numbers)} for epoch in (3, 4)}  # fmt: skip
    assert all(means[3][i] != means[4][i] for i in means[3])


def test_what_changes_an_utterance_does_not_depend_on_the_other_ones():
    """But for its place in the data, which is its number."""
    utterances = many(30)
    fewer = kept(utterances, np.arange(30) < 20)
    config = dataclasses.replace(CONFIG, tempo=0.0)
    for number in (0, 7, 19):
        np.testing.assert_array_equal(
            batches_of(utterances, 2, config).frames_of(number), batches_of(fewer, 2, config).frames_of(number)
        )


def test_voices_are_changed_where_features_are_bands():
    utterances = many(12)
    config = dataclasses.replace(CONFIG, tempo=0.0, noise=0.0, time_masks=0)
    before = [stacked(frames, STACKING) for frames in frames_of(utterances)]
    changed = batches_of(utterances, 1, config, has_bands=True)
    assert any(not np.array_equal(changed.frames_of(i), each) for i, each in enumerate(before))
    none = batches_of(utterances, 1, dataclasses.replace(config, warp=0.0), has_bands=True)
    assert all(np.array_equal(none.frames_of(i), each) for i, each in enumerate(before))


def test_the_tempo_changes_lengths_within_its_limits_and_labels_still_fit():
    utterances = utterances_of([300] * 200 + [28, 3], [4] * 200 + [9, 1], seed=3)
    utterances.labels[-10:-1] = 2  # the last but one needs 17 steps, which it has not
    utterances = utterances._replace(lengths=utterances.lengths.copy())
    batches = batches_of(utterances, 0, dataclasses.replace(CONFIG, tempo=0.5))
    ratios = 300 / batches.num_frames[:200]
    assert 0.66 < ratios.min() < 0.75 and 1.4 < ratios.max() < 1.51
    tight = utterances_of([24] * 50, [8] * 50, seed=4)
    tight.labels[:] = np.tile([1, 2], 200)
    for epoch in range(3):
        found = batches_of(tight, epoch, dataclasses.replace(CONFIG, tempo=1.0))
        assert (found.lengths >= found.least_steps).all() and found.num_targets == 400


def test_without_changes_an_epoch_has_the_frames_of_the_data():
    utterances = many(20)
    config = dataclasses.replace(CONFIG, tempo=0.0, noise=0.0, time_masks=0)
    batches = batches_of(utterances, 1, config)
    for number, frames in enumerate(frames_of(utterances)):
        np.testing.assert_array_equal(batches.frames_of(number), stacked(frames, STACKING))


def test_utterances_too_short_for_their_labels_do_not_count():
    utterances = utterances_of([30, 4, 30], [2, 3, 0])
    utterances.labels[:] = [1, 2, 3, 3, 1]
    batches = batches_of(utterances)
    assert least_steps(utterances).tolist() == [2, 4, 0]
    assert batches.counts.tolist() == [2, 0, 1] and batches.num_targets == 3


def test_least_steps_are_those_of_a_plain_count():
    utterances = many(40, seed=9)
    expected = [len(each) + sum(a == b for a, b in itertools.pairwise(each.tolist())) for each in labels_of(utterances)]
    assert least_steps(utterances).tolist() == expected
    assert least_steps(utterances_of([5, 5], [0, 0])).tolist() == [0, 0]


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_lengths_to_pad_to_are_the_best_ones(count):
    lengths = np.random.default_rng(count).integers(1, 90, 40)
    found = chosen_lengths(lengths, count)

    def padding(ends):
        return sum(min(end for end in ends if end >= length) for length in lengths)

    assert found == sorted(set(found)) and len(found) <= count and found[-1] >= lengths.max()
    assert all(length % ROUNDING == 0 for length in found)
    choices = np.arange(ROUNDING, found[-1], ROUNDING).tolist()
    ways = [(*each, found[-1]) for n in range(count) for each in itertools.combinations(choices, n)]
    assert padding(found) == min(map(padding, ways))


def test_long_utterances_are_left_out_and_counted():
    utterances = utterances_of([10, 90, 20, 91], [1, 2, 3, 4])
    found, count = without_long(utterances, 20)
    assert count == 2 and found.lengths.tolist() == [10, 20] and found.names == ["u0", "u2"]
    np.testing.assert_array_equal(found.frames, np.concatenate([frames_of(utterances)[i] for i in (0, 2)]))
    np.testing.assert_array_equal(found.labels, np.concatenate([labels_of(utterances)[i] for i in (0, 2)]))
    assert without_long(utterances, 91) == (utterances, 0)
