"""Drawn scenes: captions say what is drawn, boxes hold the objects, and what is unseen is never in training."""

import numpy as np
import pytest

from theano_rnn.tasks.scenes import COLOURS, NEW, SHAPES, SIDES, coverage, make_scenes

MADE = make_scenes(300, np.random.default_rng(1))


def test_the_same_seed_draws_the_same_scenes():
    again, other = (make_scenes(20, np.random.default_rng(seed)) for seed in (1, 2))
    np.testing.assert_array_equal(again.images, MADE.images[:20])
    assert again.captions == MADE.captions[:20] and other.captions != again.captions


def objects(caption):
    """The colour, shape and size, if it is said, of both objects of a caption."""
    words = [word for word in caption.split() if word in COLOURS or word in SHAPES or word in SIDES]
    places = [i for i, word in enumerate(words) if word in SHAPES]
    parts = words[: places[0] + 1], words[places[0] + 1 :]
    return [(part[-2], part[-1], part[0] if len(part) == 3 else None) for part in parts]


def test_captions_say_what_is_in_the_boxes():
    """The middle of a square or circle has its colour; ground is grey; relations are those of the boxes."""
    for caption, boxes, about, image in zip(MADE.captions, MADE.boxes, MADE.about, MADE.images):
        looks, words = objects(caption), caption.split()
        for number, (colour, shape, size) in enumerate(looks):
            left, top, right, bottom = boxes[number]
            side = right - left
            assert bottom - top == side and left > 0 and right < 64 and top > 0 and bottom < 64
            if size is not None:
                assert SIDES[size][0] <= side <= SIDES[size][1]
            if shape in ("square", "circle", "cross"):
                middle = image[(top + bottom) // 2, (left + right) // 2].astype(int)
                assert np.abs(middle - COLOURS[colour]).max() < 18 + 6 * 6
            said = {word for word, which in zip(words, about) if which == number}
            assert said == {colour, shape, *([size] if size else [])}
        sizes = [size for *_, size in looks]
        assert sizes == [None, None] or sizes == ["large", "small"]
        (x0, y0), (x1, y1) = [((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) for box in boxes]
        holds = {"left": x0 < x1, "right": x0 > x1, "above": y0 < y1, "below": y0 > y1}
        (relation,) = [word for word in words if word in holds]
        assert holds[relation] and len(about) == len(words)
        assert (abs(x0 - x1) > abs(y0 - y1)) == (relation in ("left", "right"))


def test_new_pairs_are_only_in_new_scenes():
    assert not any((colour, shape) in NEW for text in MADE.captions for colour, shape, _ in objects(text))
    new = make_scenes(50, np.random.default_rng(1), is_new=True)
    assert all(any((colour, shape) in NEW for colour, shape, _ in objects(text)) for text in new.captions)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_reaches_the_edges_of_its_box_and_differs_from_the_others(shape):
    for side in (9, 21):
        found = coverage(shape, side)
        assert (found.shape == (side, side) and found.min() == 0) or shape == "square"
        assert 0.1 < found.mean() <= 1 and found.max() == 1
        for other in set(SHAPES) - {shape}:
            assert np.abs(found - coverage(other, side)).mean() > 0.05
