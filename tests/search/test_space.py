"""The space of a search: its forms, and the order in which combinations are tried."""

import itertools

import numpy as np
import pytest

from theano_rnn.search.space import key, range_values, read_dimension, read_space
from theano_rnn.settings.base import UserError


def test_a_grid_has_every_combination_once_in_order():
    space = read_space({"a": [1, 2, 3], "b": {"range": [0.1, 0.3, 0.1]}, "c": {"integers": [5, 6]}})
    points = list(space.points(seed=1, in_order=True))
    expected = itertools.product([1, 2, 3], [0.1, 0.2, 0.3], [5, 6])
    assert [tuple(point.values()) for point in points] == list(expected)
    assert space.size == 18
    shuffled = list(space.points(seed=1))
    assert shuffled != points
    assert sorted(map(key, shuffled)) == sorted(map(key, points))
    assert shuffled == list(space.points(seed=1)) != list(space.points(seed=2))


@pytest.mark.parametrize(
    ("form", "low", "high"),
    [("uniform", 0.1, 0.6), ("log_uniform", 1e-4, 1.0), ("integers", 2, 9), ("log_integers", 2, 512)],
)
def test_draws_stay_within_their_limits_and_follow_their_distribution(form, low, high):
    dimension = read_dimension("x", {form: [low, high]})
    rng = np.random.default_rng(0)
    values = [dimension.draw(rng) for _ in range(4000)]
    assert low <= min(values) < max(values) <= high
    assert all(isinstance(value, int) for value in values) == ("integers" in form)
    middle = np.sqrt(low * high) if form.startswith("log") else (low + high) / 2
    assert 0.42 < np.mean(np.array(values) < middle) < 0.58  # 0.5, but for integers; the spread is 0.008


def test_log_integers_reach_both_limits():
    dimension = read_dimension("x", {"log_integers": [1, 4]})
    rng = np.random.default_rng(0)
    assert {dimension.draw(rng) for _ in range(400)} == {1, 2, 3, 4}


def test_untried_gives_every_combination_until_none_is_left():
    space = read_space({"a": [1, 2], "b": [[], [1000, 4000]], "c": [True, False]})
    tried = []
    while (point := space.untried(tried, seed=3)) is not None:
        tried.append(key(point))
    assert len(tried) == len(set(tried)) == 8


def test_untried_of_a_distribution_depends_only_on_what_was_tried():
    space = read_space({"a": {"uniform": [0, 1]}})
    first = space.untried([], seed=1)
    second = space.untried([key(first)], seed=1)
    assert first == space.untried([], seed=1) != second == space.untried([key(first)], seed=1)


def test_a_range_has_decimal_values():
    assert range_values("x", 0.1, 0.9, 0.2) == (0.1, 0.3, 0.5, 0.7, 0.9)
    assert range_values("x", 10, 25, 10) == (10, 20)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (0.3, "must be a list of values, or one of {range = "),
        ([], "must be a list"),
        ({}, "must be a list"),
        ({"gauss": [0, 1]}, "must be a list"),
        ({"uniform": [0, 1], "integers": [1, 2]}, "must be a list"),
        ([1, 2, 1], "has a value twice"),
        ({"uniform": [0]}, "must be {uniform = "),
        ({"uniform": 3}, "must be {uniform = "),
        ({"uniform": ["a", "b"]}, "must be {uniform = "),
        ({"uniform": [0, float("inf")]}, "must be {uniform = "),
        ({"integers": [True, 3]}, "must be {integers = "),
        ({"range": [1, 2]}, "must be {range = "),
        ({"uniform": [1, 1]}, "1 must be less than 1"),
        ({"log_uniform": [0, 1]}, "must start above 0, got 0"),
        ({"integers": [1, 2.5]}, "must have whole numbers"),
        ({"integers": [1, 10**6]}, "at most 10,000 numbers"),
        ({"range": [1, 2, 0]}, "step must be above 0"),
        ({"range": [0, 1, 1e-9]}, "at most 10,000 values"),
    ],
)
def test_another_form_is_an_error_that_names_the_setting(entry, message):
    with pytest.raises(UserError, match=r"^x in \[vary\]") as caught:
        read_space({"x": entry})
    assert message in str(caught.value)


def test_an_empty_space_is_an_error():
    with pytest.raises(UserError, match="nothing is varied"):
        read_space({})
