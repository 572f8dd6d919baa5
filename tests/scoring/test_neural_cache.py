"""The neural cache against its equation, token by token; the sum of its probabilities; states of a model."""

import numpy as np
import pytest
from conftest import compiled_once

from theano_rnn.scoring.neural_cache import NeuralCache

VOCAB, SIZE, THETA, WEIGHT = 6, 5, 0.7, 0.25
RNG = np.random.default_rng(1)
H = RNG.normal(size=(12, 2, 3))
TARGETS = RNG.integers(VOCAB, size=(12, 2))
LOSSES = -np.log(RNG.uniform(0.05, 0.9, size=(12, 2)))


def by_the_equation(word, h, states, words, p_model):
    """Returns the probability of a word after `words`, where `states` are the states before each of them."""
    if not len(words):
        return p_model
    weights = [np.exp(THETA * np.dot(h, state)) for state in states[-SIZE:]]
    matching = [w for w, seen in zip(weights, words[-SIZE:]) if seen == word]
    return (1 - WEIGHT) * p_model + WEIGHT * sum(matching) / sum(weights)


def cached(windows, mask=None):
    cache, found = NeuralCache(SIZE, THETA, WEIGHT), []
    mask = np.ones(TARGETS.shape) if mask is None else mask
    for window in np.split(np.arange(len(H)), windows):
        found.append(cache.losses(LOSSES[window], H[window], TARGETS[window], mask[window]))
    return np.concatenate(found)


@pytest.mark.parametrize("windows", [[], [1], [3, 4, 9], list(range(1, 12))])
def test_every_token_has_the_probability_of_the_equation(windows):
    found = cached(windows)
    for t, row in np.ndindex(*TARGETS.shape):
        expected = by_the_equation(TARGETS[t, row], H[t, row], H[:t, row], TARGETS[:t, row],
                                   np.exp(-LOSSES[t, row]))  # fmt: skip
        assert found[t, row] == pytest.approx(-np.log(expected), rel=1e-12)


def test_probabilities_of_all_words_add_up_to_one():
    """Sums over all words that may follow the same past."""
    p_model = RNG.dirichlet(np.ones(VOCAB))
    total = 0.0
    for word in range(VOCAB):
        targets, losses = TARGETS[:, :1].copy(), LOSSES[:, :1].copy()
        targets[-1], losses[-1] = word, -np.log(p_model[word])
        total += np.exp(-NeuralCache(SIZE, THETA, WEIGHT).losses(losses, H[:, :1], targets, np.ones((12, 1)))[-1, 0])
    assert total == pytest.approx(1, abs=1e-12)


def test_padding_is_not_remembered_and_has_no_loss():
    mask = np.ones(TARGETS.shape)
    mask[3:6, 1] = 0
    found = cached([6], mask)
    assert not found[3:6, 1].any()
    np.testing.assert_allclose(found[:, 0], cached([])[:, 0])
    expected = by_the_equation(TARGETS[6, 1], H[6, 1], H[:3, 1], TARGETS[:3, 1], np.exp(-LOSSES[6, 1]))
    assert found[6, 1] == pytest.approx(-np.log(expected))


def test_states_far_apart_do_not_overflow():
    cache = NeuralCache(SIZE, 1000.0, WEIGHT)
    assert np.isfinite(cache.losses(LOSSES, 50 * H, TARGETS, np.ones(TARGETS.shape))).all()


def test_features_of_a_model_are_its_losses_and_what_the_head_sees(engine):
    model = compiled_once("tanh", engine).reset()
    inputs, params = model.inputs(), model.params()
    losses, h, final = compiled_once("tanh", engine, "features").reset().functions.features(*inputs)
    expected, expected_final = model.functions.loss(*inputs)
    np.testing.assert_allclose(losses, expected, rtol=1e-12)
    np.testing.assert_allclose(final, expected_final, rtol=1e-12)
    predicted, _ = model.functions.predict(inputs.tokens, inputs.mask, inputs.state)
    scores = np.asarray(h) @ params["W_hy"] + params["b_y"]
    log_p = scores - np.log(np.exp(scores).sum(axis=2, keepdims=True))
    np.testing.assert_allclose(log_p, predicted, rtol=1e-9)
