"""Pointing against plain loops over pixels; retrieval against sorting."""

import numpy as np
import pytest

from theano_rnn.scoring.pointing import Pointing, pointing, regions_of_boxes
from theano_rnn.scoring.retrieval import ranks, recall

GRID, SIZE = (3, 4), (12, 20)  # regions of 4 x 5 pixels


def random_boxes(rng, count):
    left, top = rng.integers(0, 15, count), rng.integers(0, 8, count)
    return np.stack([left, top, left + rng.integers(1, 6, count), top + rng.integers(1, 5, count)], axis=1)


def test_regions_touch_a_box_if_they_share_pixels_with_it():
    rng = np.random.default_rng(0)
    boxes = random_boxes(rng, 40)
    touched, centred = regions_of_boxes(boxes, GRID, SIZE)
    for (left, top, right, bottom), touches, centres in zip(boxes, touched, centred):
        inside = np.zeros(SIZE, bool)
        inside[top:bottom, left:right] = True
        for row in range(3):
            for column in range(4):
                region = inside[4 * row : 4 * row + 4, 5 * column : 5 * column + 5]
                assert touches[4 * row + column] == region.any()
                # the centre of a region of 4 x 5 pixels is the upper edge of row 2, in the middle of column 2
                assert centres[4 * row + column] == region[2, 2]


def test_shares_are_those_of_counting():
    rng = np.random.default_rng(1)
    boxes, others = random_boxes(rng, 50), random_boxes(rng, 50)
    weights = rng.dirichlet(np.full(12, 0.2), 50)
    found = pointing(weights, boxes, others, GRID, SIZE)
    (touched, centred), (elsewhere, _) = regions_of_boxes(boxes, GRID, SIZE), regions_of_boxes(others, GRID, SIZE)
    hits = [[each[i, weights[i].argmax()] for i in range(50)] for each in (touched, centred, elsewhere)]
    mass = [sum(weight for weight, is_in in zip(weights[i], touched[i]) if is_in) for i in range(50)]
    shares = [np.mean(each) for each in (hits[0], hits[1], mass, hits[2], touched, centred, elsewhere)]
    np.testing.assert_allclose(found, [50, *(100 * np.array(shares))])


def test_equal_weights_have_the_mass_of_chance_and_right_ones_all():
    boxes = np.array([[5, 4, 10, 8]] * 2)
    found = pointing(np.full((2, 12), 1 / 12), boxes, boxes, GRID, SIZE)
    assert found.mass == pytest.approx(found.touching_by_chance) == pytest.approx(100 / 12)
    right = np.zeros((2, 12))
    right[:, 5] = 1
    one = pytest.approx(100 / 12)
    assert pointing(right, boxes, boxes + 100, GRID, SIZE) == Pointing(2, 100, 100, 100, 0, one, one, 0)


def test_ranks_are_those_of_sorting():
    rng = np.random.default_rng(2)
    scores, is_right = rng.normal(size=(30, 20)), rng.random((30, 20)) < 0.1
    is_right[:, 0] = True
    expected = []
    for row, right in zip(scores, is_right):
        wrong_before = [right[i] for i in np.argsort(-row)].index(True)
        expected.append(1 + wrong_before)
    assert ranks(scores, is_right).tolist() == expected
    assert recall(np.array(expected), 5) == pytest.approx(100 * np.mean(np.array(expected) <= 5))


def test_a_wrong_candidate_with_the_same_score_comes_first():
    scores = np.zeros((1, 4))
    assert ranks(scores, np.array([[False, True, True, False]])).tolist() == [3]
