"""Mixtures against adding probabilities directly; fitted weights against a grid search."""

import numpy as np
import pytest
from conftest import VOCAB, compiled_once

from theano_rnn.learning.batching import Stream
from theano_rnn.learning.evaluation import evaluate
from theano_rnn.scoring.interpolation import Mixture, fitted_weights, token_losses
from theano_rnn.scoring.sentences import Scorer
from theano_rnn.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary(tuple("abcde"))
IDS = np.random.default_rng(5).integers(VOCAB, size=50, dtype="int32")
WEIGHTS = [0.3, 0.5, 0.2]


def stream():
    return Stream(IDS, batch_size=3, bptt_steps=4, start_id=1, pad_id=VOCABULARY.pad_id, dtype="float64")


def scorer(cell, engine, *names):
    model = compiled_once(cell, engine, *names).reset()
    return Scorer(model.functions.loss, model.model.initial_state, VOCABULARY, 1, "float64")


def even_loss(tokens, targets, mask, *state):
    return [np.log(VOCAB) * mask, *state]


@pytest.fixture
def members(engine):
    """Returns a tanh model, a uniform model without a state, and an LSTM, which has two states."""
    even = Scorer(even_loss, lambda batch_size: (), VOCABULARY, 1, "float64")
    return [scorer("tanh", engine), even, scorer("lstm", engine, "loss")]


def test_a_mixture_adds_probabilities(members):
    mixture = Mixture(members, WEIGHTS).scorer()
    losses = np.array([token_losses(member, stream()) for member in members], np.float64)
    expected = -np.log((np.array(WEIGHTS)[:, None] * np.exp(-losses)).sum(axis=0))
    np.testing.assert_allclose(token_losses(mixture, stream()), expected, rtol=1e-5)
    measured = evaluate(mixture.loss, stream(), mixture.initial_state)
    assert measured.num_targets == len(IDS)
    assert measured.total == pytest.approx(expected.sum(), rel=1e-6)


def test_a_mixture_of_one_model_with_itself_is_the_model(members):
    mixture = Mixture([members[0]] * 2, [0.4, 0.6]).scorer()
    both = [evaluate(each.loss, stream(), each.initial_state).total for each in (mixture, members[0])]
    assert both[0] == pytest.approx(both[1], rel=1e-12)


def test_fitted_weights_give_the_text_its_highest_probability():
    likelihoods = np.random.default_rng(6).uniform(0.01, 1, size=(2, 400)) ** 3
    fitted = fitted_weights(-np.log(likelihoods))
    tried = np.linspace(0.001, 0.999, 999)
    reached = [np.log(w * likelihoods[0] + (1 - w) * likelihoods[1]).sum() for w in tried]
    assert fitted.sum() == pytest.approx(1)
    assert fitted[0] == pytest.approx(tried[int(np.argmax(reached))], abs=0.002)


def test_a_model_that_is_better_everywhere_has_all_the_weight():
    losses = np.random.default_rng(7).uniform(1, 3, size=200)
    assert fitted_weights(np.stack([losses, losses + 1]))[0] == pytest.approx(1, abs=1e-3)
