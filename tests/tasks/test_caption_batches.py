"""Batches of captions: pictures are moved in training, each by itself, and the same way when a run is resumed."""

import numpy as np

from theano_rnn.tasks.caption_batches import CaptionBatches, CaptionedImages, shifted

SIZE = 8


def test_a_moved_picture_is_the_picture_with_its_border_repeated():
    images = np.random.default_rng(0).integers(0, 256, (50, SIZE, 6, 3), np.uint8)
    found, moves = shifted(images, 2, np.random.default_rng(1)), set()
    for image, other in zip(images, found):
        wide = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="edge")
        parts = {(down, across): wide[down : down + SIZE, across : across + 6]
                 for down in range(5) for across in range(5)}  # fmt: skip
        fitting = [move for move, part in parts.items() if np.array_equal(part, other)]
        assert len(fitting) == 1
        moves.update(fitting)
    assert len(moves) > 12  # of 25
    assert np.array_equal(shifted(images, 0, np.random.default_rng(1)), images)


def test_batches_of_an_epoch_are_moved_the_same_way_in_any_order_and_only_in_training():
    rng = np.random.default_rng(0)
    lengths = np.full(20, 3)
    part = CaptionedImages(rng.integers(0, 256, (20, SIZE, SIZE, 3), np.uint8), np.zeros(60, np.int32), lengths,
                           np.arange(20), [""] * 20)  # fmt: skip
    facts = {"mean": [0.0], "scale": [1.0]}
    options = {"batch_size": 5, "start_id": 1, "pad_id": 0}

    def epoch(number, shift):
        return CaptionBatches(part, facts, rng=np.random.default_rng([1, number]), image_shift=shift, **options)

    first, again, still = epoch(1, 3), epoch(1, 3), epoch(1, 0)
    for number in (3, 0, 2):
        assert np.array_equal(first[number].images, again[number].images)
        assert np.array_equal(first[number].numbers, still[number].numbers)
        assert not np.array_equal(first[number].images, still[number].images)
    order = np.argsort(np.concatenate([epoch(2, 3)[i].numbers for i in range(4)]))
    moved = [np.concatenate([each[i].images.swapaxes(0, 1) for i in range(4)]) for each in (epoch(2, 3), epoch(3, 3))]
    other = np.argsort(np.concatenate([epoch(3, 3)[i].numbers for i in range(4)]))
    assert not np.array_equal(moved[0][order], moved[1][other])  # another epoch, other moves
    plain = CaptionBatches(part, facts, image_shift=3, **options)
    assert np.array_equal(plain[0].images.swapaxes(0, 1), part.images[:5].astype("float32"))
