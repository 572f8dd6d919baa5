"""Error rates: fewest edits, their kinds, and corpora of many pairs counted together."""

import math

import numpy as np
import pytest

from theano_rnn.scoring.error_rates import ErrorCounts, aligned, confusions, count_errors, edit_distance, error_table


def reference_distance(a, b):
    """Levenshtein's distance, cell by cell."""
    before = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        now = [i]
        for j, y in enumerate(b, 1):
            now.append(min(before[j] + 1, now[-1] + 1, before[j - 1] + (x != y)))
        before = now
    return before[-1]


def random_pairs(seed=0, count=300, longest=9):
    rng = np.random.default_rng(seed)
    return [[rng.integers(0, 4, rng.integers(0, longest)).tolist() for _ in range(2)] for _ in range(count)]


def test_the_fewest_edits_are_found_whatever_else_is_counted_beside_a_pair():
    pairs = random_pairs() + random_pairs(1, 3, 60)
    table = error_table([a for a, _ in pairs], [b for _, b in pairs])
    assert table.min() >= 0
    assert table.sum(axis=1).tolist() == [reference_distance(a, b) for a, b in pairs]
    assert (table[:, 1] - table[:, 2]).tolist() == [len(a) - len(b) for a, b in pairs]
    assert [edit_distance(a, b) for a, b in pairs[:20]] == table[:20].sum(axis=1).tolist()


def test_an_alignment_has_the_errors_that_are_counted():
    for a, b in random_pairs(2):
        pairs = aligned(a, b)
        assert [x for x, _ in pairs if x is not None] == a and [y for _, y in pairs if y is not None] == b
        kinds = [sum(x is not None and y is not None and x != y for x, y in pairs),
                 sum(y is None for _, y in pairs), sum(x is None for x, _ in pairs)]  # fmt: skip
        assert kinds == error_table([a], [b])[0].tolist()


def test_small_chunks_change_nothing(monkeypatch):
    pairs = random_pairs(3, 50)
    whole = error_table(*zip(*pairs))
    monkeypatch.setattr("theano_rnn.scoring.error_rates.CELLS", 40)
    assert error_table(*zip(*pairs)).tolist() == whole.tolist()


def test_the_kinds_of_errors():
    assert count_errors(["ab", "abc", "", "x"], ["ab", "ac", "ab", "y"]) == ErrorCounts(1, 1, 2, 7, 4, 3)
    found = count_errors(["ab", "abc", "", "x"], ["ab", "ac", "ab", "y"])
    assert (found.errors, found.rate, found.sentence_rate) == (4, 4 / 7, 0.75)
    assert confusions(["xbc"], ["abcd"]) == {("x", "a"): 1, (None, "d"): 1}


def test_no_references():
    assert count_errors([], []) == ErrorCounts(0, 0, 0, 0, 0, 0) and count_errors([], []).rate == 0
    assert count_errors(["", ""], ["", ""]).rate == 0
    assert count_errors(["a"], [""]).rate == math.inf


def test_as_many_hypotheses_as_references_are_needed():
    with pytest.raises(ValueError, match="as many hypotheses as references, got 1 and 2"):
        count_errors(["a"], ["a", "b"])
