"""Scores of sentences and of a text as one stream, on each engine, against a plain loop over single tokens."""

import math

import numpy as np
import pytest
import reference
from conftest import ENGINES, HIDDEN, Compiled, compiled_once

from theano_rnn.learning.batching import Stream
from theano_rnn.learning.evaluation import Evaluation, evaluate
from theano_rnn.learning.measures import perplexity
from theano_rnn.scoring.sentences import score_sentences
from theano_rnn.text.vocabulary import Vocabulary

PRECISION = {"float64": 1e-9, "float32": 1e-5}  # absolute, in nats of one token
VOCABULARY = Vocabulary(("a", "b", "c", "d", "e"))
LENGTHS = [300, 1, 5, 2, 11, 3]  # the first is longer than any batch


def sentences():
    rng = np.random.default_rng(4)
    return [(f"number {i}", [*rng.integers(7, size=length - 1), VOCABULARY.eos_id]) for i, length in enumerate(LENGTHS)]


def model_of(engine, dtype):
    """Returns a model; the parameters for both dtypes are equal except for rounding."""
    if dtype == "float64":
        return compiled_once("tanh", engine).reset()
    return compiled_once("tanh", engine, dtype=dtype)


def scores(engine, dtype):
    return scored(model_of(engine, dtype), sentences(), dtype)


def scored(model, given, dtype):
    return list(score_sentences(model.functions.loss, given, model.model.initial_state, VOCABULARY,
                                start_id=VOCABULARY.bos_id, batch_size=4, dtype=dtype))  # fmt: skip


def by_plain_loop(params, ids, start_id):
    """Returns the log-probability of each id in nats, from a zero state, in float64."""
    params = {name: value.astype("float64") for name, value in params.items()}
    ids = np.array(ids)[:, None]  # (time, batch)
    tokens = np.concatenate([[[start_id]], ids[:-1]])
    return -reference.losses(params, tokens, ids, np.ones(ids.shape), np.zeros((1, HIDDEN)), "tanh")[:, 0]


@pytest.mark.parametrize("dtype", PRECISION)
def test_every_sentence_scores_what_a_plain_loop_gives_it_alone(engine, dtype):
    params = model_of(engine, dtype).params()
    for score, (sentence, ids) in zip(scores(engine, dtype), sentences(), strict=True):
        assert score.sentence == sentence and list(score.ids) == ids
        expected = by_plain_loop(params, ids, VOCABULARY.bos_id)
        np.testing.assert_allclose(score.log_probabilities, expected, rtol=0, atol=PRECISION[dtype])
        assert score.total == pytest.approx(expected.sum(), abs=len(ids) * PRECISION[dtype])


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-10), ("float32", 1e-4)])
def test_the_score_of_a_sentence_does_not_depend_on_its_neighbours(engine, dtype, bound):
    model = Compiled("tanh", "loss", engine=engine, dtype=dtype)  # not one that others use: XLA compiles more shapes
    for together, sentence in zip(scored(model, sentences(), dtype), sentences(), strict=True):
        [alone] = scored(model, [sentence], dtype)
        assert alone.total == pytest.approx(together.total, rel=0, abs=bound)


def test_sentences_read_ahead_in_other_numbers_score_the_same(engine, monkeypatch):
    expected = scores(engine, "float64")
    monkeypatch.setattr("theano_rnn.scoring.sentences.CHUNK", 4)
    for ours, theirs in zip(scores(engine, "float64"), expected, strict=True):
        assert ours.sentence == theirs.sentence
        np.testing.assert_allclose(ours.log_probabilities, theirs.log_probabilities, rtol=1e-12)


@pytest.mark.parametrize("dtype", PRECISION)
def test_a_stream_is_its_rows_each_from_end_to_end(engine, dtype):
    model, ids = model_of(engine, dtype), np.random.default_rng(5).integers(7, size=30, dtype="int32")
    stream = Stream(ids, batch_size=2, bptt_steps=4, start_id=1, pad_id=VOCABULARY.pad_id, dtype=dtype)
    measured = evaluate(model.functions.loss, stream, model.model.initial_state)
    params = model.params()
    expected = -by_plain_loop(params, ids[:15], 1).sum() - by_plain_loop(params, ids[15:], ids[14]).sum()
    assert measured.num_targets == 30
    assert measured.total == pytest.approx(expected, abs=30 * PRECISION[dtype])
    assert measured.loss == measured.total / 30


@pytest.mark.slow
@pytest.mark.skipif(len(ENGINES) < 2, reason="one engine only can run here")
@pytest.mark.parametrize("dtype", PRECISION)
def test_both_engines_give_the_same_scores(dtype):
    ours, theirs = (np.concatenate([s.log_probabilities for s in scores(engine, dtype)]) for engine in ENGINES)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=PRECISION[dtype])
    assert (ours != theirs).any()  # else one of them was compared with itself


def test_an_evaluation_stops_if_on_batch_returns_true():
    ids, seen = np.zeros(30, "int32"), []
    stream = Stream(ids, batch_size=2, bptt_steps=4, start_id=1, pad_id=VOCABULARY.pad_id)

    def on_batch(tokens):
        seen.append(tokens)
        return len(seen) == 2

    assert evaluate(lambda tokens, *_: [np.ones(tokens.shape)], stream, lambda _: (), on_batch=on_batch) is None
    assert seen == [8, 16]


def test_no_tokens_have_no_loss_and_a_large_loss_an_infinite_perplexity():
    assert math.isnan(Evaluation({"loss": 0.0}, 0).loss)
    assert perplexity(1000.0) == math.inf
