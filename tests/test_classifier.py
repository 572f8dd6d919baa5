"""A trained classifier: probabilities that do not depend on other texts, measures, and explanations."""

import math

import numpy as np
import pytest
from classifier_models import LABELS, checkpoint, opened
from conftest import ENGINES

from theano_rnn.classifier import Classifier, padded_lengths
from theano_rnn.learning.calibration import with_temperature
from theano_rnn.settings.base import UserError
from theano_rnn.tasks import attribution
from theano_rnn.tasks.attribution import contributions, log_odds

TEXTS = ["A charming film.", "It is dull, and long.", "It is not dull! It is charming.", "Zorblax", "A"]


@pytest.mark.slow
def test_the_probabilities_are_those_of_the_loss_at_the_temperature():
    model = opened()
    found = model.classify(TEXTS)
    assert model.temperature == 2.0 and model.labels == list(LABELS)
    for text, result in zip(TEXTS, found):
        ids = model.encode(text)
        tokens, mask = np.array(ids, np.int32)[:, None], np.ones((len(ids), 1), np.float32)
        _, log_p = model.function("loss")(tokens, mask, np.zeros(1, np.int32), np.ones(1, np.float32))
        wanted = np.exp(with_temperature(np.asarray(log_p)[:, 0], 2.0))
        np.testing.assert_allclose(result.probabilities, wanted, rtol=1e-5)
        assert result.probabilities.sum() == pytest.approx(1)
        assert result.label == LABELS[int(wanted.argmax())]
        assert result.probability == result.probabilities.max()
        assert (result.text, result.num_tokens) == (text, len(ids))


def test_a_batch_does_not_change_a_text():
    model = opened()
    alone = [model.classify([text])[0].probabilities for text in TEXTS]
    many = [TEXTS[i % len(TEXTS)] for i in np.random.default_rng(1).permutation(250)]
    many[40] = "It is long. " * 60
    for text, result in zip(many, model.classify(many)):
        assert result.text == text
        if text in TEXTS:
            np.testing.assert_allclose(result.probabilities, alone[TEXTS.index(text)], atol=1e-6)


def test_a_blank_text_has_no_label():
    results = opened().classify(["", " \u200b ", "A film."])
    assert [result.label == "" for result in results] == [True, True, False]
    assert all(math.isnan(result.probability) and np.isnan(result.probabilities).all() for result in results[:2])
    assert opened().classify([]) == [] and opened().classify([" "])[0].num_tokens == 0


def test_a_stream_reads_no_further_than_it_must():
    read = []

    def texts():
        for number in range(10_000):
            read.append(number)
            yield f"film {number}"

    results = opened().stream(texts())
    assert next(results).text == "film 0" and len(read) == 32
    waiting = opened().stream(iter(["A film.", None, "Dull."]))
    assert [next(waiting).text, next(waiting).text] == ["A film.", "Dull."]


def test_a_very_long_text_is_read_to_its_end_and_alone(monkeypatch):
    texts = ["film " * 7 + "dull", "film " * 7 + "dull dull charming", "Dull."]
    expected = opened().classify(texts)
    monkeypatch.setattr("theano_rnn.classifier.LONG", 8)
    found = opened().classify(texts)
    assert [each.num_tokens for each in found] == [9, 11, 3]
    for one, other in zip(found, expected):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)
    monkeypatch.setattr("theano_rnn.classifier.MAX_EXPLAINED_TOKENS", 8)
    with pytest.raises(UserError, match="at most 8 tokens to be explained, got 9: shorten it"):
        opened().explain("film " * 8)


@pytest.mark.parametrize("temperature", [0, -1, math.nan, math.inf])
def test_a_temperature_must_be_above_0(temperature):
    with pytest.raises(UserError, match="temperature must be a number above 0"):
        Classifier(checkpoint(), temperature=temperature, engine=ENGINES[-1])


def test_measures_over_labelled_texts():
    model = opened()
    rng = np.random.default_rng(2)
    pairs = [(TEXTS[rng.integers(5)], str(rng.choice(LABELS))) for _ in range(60)]
    report = model.evaluate([*pairs, (" ", "neg")])
    results = model.classify([text for text, _ in pairs])
    right = [result.label == label for result, (_, label) in zip(results, pairs)]
    losses = [-math.log(result.probabilities[LABELS.index(label)]) for result, (_, label) in zip(results, pairs)]
    assert report.num_texts == 60 and report.accuracy == pytest.approx(np.mean(right))
    assert report.loss_at_temperature == pytest.approx(np.mean(losses), rel=1e-5)
    for number, each in enumerate(report.of_labels()):
        got = [result.label == each.label for result in results]
        true = [label == each.label for _, label in pairs]
        both = sum(a and b for a, b in zip(got, true))
        assert (each.num_texts, each.num_predicted, report.confusion[number, number]) == (sum(true), sum(got), both)
        assert each.recall == pytest.approx(both / sum(true))
        assert each.precision == pytest.approx(both / max(sum(got), 1))
    assert 0 <= report.calibration_error_at_temperature <= 1 and report.temperature == 2.0
    with pytest.raises(UserError, match=r"no label 'good' \(its labels are neg, pos, so-so\)"):
        model.evaluate([("A film.", "good")])
    with pytest.raises(UserError, match="no labelled texts"):
        model.evaluate([])


@pytest.mark.slow
def test_contributions_add_up_and_removals_are_differences(monkeypatch):
    monkeypatch.setattr(attribution, "NUM_SCALES", 200)
    model, text = opened(), "It is not dull!"
    found = model.explain(text, "pos")
    assert [piece.text for piece in found.pieces] == ["It", " is", " not", " dull", "!", ""]
    assert found.label == "pos" and found.result.label == model.classify([text])[0].label
    ids = [piece.id for piece in found.pieces]
    odds = log_odds(model.log_probabilities([ids, *(ids[:i] + ids[i + 1 :] for i in range(len(ids)))]), 1)
    np.testing.assert_allclose(found.removals, odds[0] - odds[1:], atol=1e-5)
    steps, pad_id = padded_lengths(len(ids))[-1], model.vocabulary.pad_id
    tokens, mask = np.full((steps, 2), pad_id, np.int32), np.zeros((steps, 2), np.float32)
    tokens[: len(ids)], mask[: len(ids)] = np.array(ids)[:, None], 1
    ones = np.ones(2, np.int32)
    _, ends = model.function("attributions")(tokens, mask, ones, np.array([0, 1], np.float32))
    assert found.contributions.sum() == pytest.approx(float(ends[1] - ends[0]), abs=0.01)
    assert float(ends[1]) == pytest.approx(odds[0], abs=1e-4)
    gradient = contributions(model.function("attributions"), ids, 1, pad_id=pad_id, steps=steps, scales=[1.0])
    assert gradient.shape == found.contributions.shape and not np.allclose(gradient, found.contributions)


@pytest.mark.slow
def test_an_explanation_is_of_the_likeliest_label_unless_another_is_named():
    model = opened(unit="char")
    found = model.explain("a film", with_removals=False)
    assert found.label == found.result.label and found.removals is None
    assert [piece.token for piece in found.pieces] == [*"a film", "\n"]
    with pytest.raises(UserError, match="blank"):
        model.explain(" ")
    with pytest.raises(UserError, match="no label 'good'"):
        model.explain("a film", "good")


def test_outputs_that_are_not_numbers_are_an_error():
    broken = Classifier(checkpoint(), engine=ENGINES[-1])
    broken.functions["predict"] = lambda tokens, mask: [np.full((3, tokens.shape[1]), np.nan)]
    with pytest.raises(UserError, match="its training diverged"):
        broken.classify(["A film."])
