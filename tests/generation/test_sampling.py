"""Truncation and penalties against sorting all tokens; draws at the limits."""

import numpy as np
import pytest

from theano_rnn.generation.sampling import ban_repeated_ngrams, draw, nucleus_ids, penalize_repeated, top_ids, truncate


def reference_truncate(scores, top_k, top_p):
    """Reference implementation that sorts every row."""
    result = np.full_like(scores, -np.inf)
    for row, kept in zip(scores, result):
        order = np.argsort(-row, kind="stable")[:top_k]
        p = np.exp(row[order] - row[order[0]])
        p /= p.sum()
        count = len(order) if top_p == 1 else int(np.searchsorted(np.cumsum(p), top_p)) + 1
        kept[order[:count]] = row[order[:count]]
    return result


TRUNCATIONS = [(None, 0.3), (None, 0.95), (7, 1.0), (40, 0.8), (5000, 0.99), (None, 1.0)]


@pytest.mark.parametrize("spread", [0.01, 1.0, 6.0])  # from nearly even, where the nucleus is most of the words
@pytest.mark.parametrize(("top_k", "top_p"), TRUNCATIONS)
def test_truncation_is_what_sorting_all_tokens_gives(spread, top_k, top_p):
    scores = np.random.default_rng(2).normal(scale=spread, size=(4, 3000))
    np.testing.assert_array_equal(truncate(scores, top_k=top_k, top_p=top_p), reference_truncate(scores, top_k, top_p))


def test_of_equal_tokens_the_first_are_kept():
    assert top_ids(np.array([0.0, 1.0, 0.0, 1.0, 0.0]), 3).tolist() == [1, 3, 0]
    assert np.isfinite(truncate(np.zeros((1, 6)), top_k=2)).tolist() == [[True, True] + [False] * 4]
    assert nucleus_ids(np.zeros(6), None, 0.5).tolist() == [0, 1, 2]


def test_tokens_of_no_probability_are_not_in_the_nucleus():
    scores = np.array([[-np.inf, 0.0, -np.inf, 0.0]])
    np.testing.assert_array_equal(truncate(scores, top_p=0.999), scores)


def test_a_penalty_counts_a_token_once_however_often_it_was_there():
    scores = np.log([[0.5, 0.25, 0.25]] * 2)
    penalize_repeated(scores, [[1, 1, 1], []], 2.0)
    np.testing.assert_allclose(np.exp(scores), [[0.5, 0.0625, 0.25], [0.5, 0.25, 0.25]])


def test_short_histories_have_no_ngram():
    scores = np.zeros((3, 4))
    ban_repeated_ngrams(scores, [[], [1], [1, 1]], 3)
    np.testing.assert_array_equal(scores, 0.0)


def test_an_index_of_no_probability_is_never_drawn():
    scores = np.tile([-np.inf, 0.0, -np.inf], (5, 1))
    assert draw(scores, np.array([0.0, 0.25, 0.5, 0.99, np.nextafter(1, 0)])).tolist() == [1] * 5


def test_draws_are_the_inverse_of_the_cumulated_distribution():
    p = np.random.default_rng(3).dirichlet(np.ones(50))
    uniform = (np.arange(4000) + 0.5) / 4000
    drawn = draw(np.tile(np.log(p), (4000, 1)), uniform)
    np.testing.assert_allclose(np.bincount(drawn, minlength=50) / 4000, p, atol=1 / 4000)
