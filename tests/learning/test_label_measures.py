"""Accuracy, macro F1, calibration error and temperature against their definitions, written as loops."""

import numpy as np
import pytest

from theano_rnn.learning.calibration import (
    NUM_BINS,
    calibration_error,
    calibration_sums,
    fitted_temperature,
    with_temperature,
)
from theano_rnn.learning.evaluation import Evaluation, evaluate
from theano_rnn.learning.label_measures import f1_of_labels, label_sums, macro_f1
from theano_rnn.tasks.classify import MEASURES


def answers(seed, count=200, num_labels=4, sharpness=1.0):
    """Log-probabilities, and labels drawn from those at sharpness 1."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1.5, (count, num_labels))
    p = np.exp(with_temperature(scores, 1.0))
    labels = np.array([rng.choice(num_labels, p=row) for row in p])
    return with_temperature(sharpness * scores, 1.0), labels


def mean_loss(log_p, labels, temperature):
    return -with_temperature(log_p, temperature)[np.arange(len(labels)), labels].mean()


def test_a_temperature_divides_the_scores():
    log_p, _ = answers(0)
    for temperature in (0.1, 1.0, 3.0):
        p = np.exp(log_p) ** (1 / temperature)
        found = np.exp(with_temperature(log_p, temperature))
        np.testing.assert_allclose(found, p / p.sum(axis=1, keepdims=True), rtol=1e-10)
        assert (found.argmax(axis=1) == log_p.argmax(axis=1)).all()
    assert np.isfinite(with_temperature(np.array([[0.0, -1e4]]), 1 / 16)).all()


@pytest.mark.slow
@pytest.mark.parametrize("sharpness", [0.3, 1.0, 2.5, 6.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_fitted_temperature_has_the_lowest_loss_of_a_fine_grid(seed, sharpness):
    log_p, labels = answers(seed, sharpness=sharpness)
    found = fitted_temperature(calibration_sums(log_p, labels))
    grid = np.geomspace(1 / 16, 16, 4001)
    losses = [mean_loss(log_p, labels, temperature) for temperature in grid]
    best = int(np.argmin(losses))
    assert 0 < best < len(grid) - 1
    assert found == pytest.approx(grid[best], rel=0.01)
    assert mean_loss(log_p, labels, found) <= losses[best] + 1e-5


def test_a_temperature_stays_within_its_limits():
    right = np.log(np.array([[0.9, 0.1], [0.2, 0.8]]))
    assert fitted_temperature(calibration_sums(right, np.array([0, 1]))) == pytest.approx(1 / 16)
    assert fitted_temperature(calibration_sums(right, np.array([1, 0]))) == pytest.approx(16)
    flat = np.log(np.full((4, 2), 0.5))
    assert 1 / 16 <= fitted_temperature(calibration_sums(flat, np.array([0, 1, 0, 1]))) <= 16


@pytest.mark.parametrize("num_labels", [2, 5])
def test_the_calibration_error_is_that_of_its_definition(num_labels):
    log_p, labels = answers(1, num_labels=num_labels, sharpness=3)
    confidence, is_right = np.exp(log_p).max(axis=1), log_p.argmax(axis=1) == labels
    expected = 0.0
    for m in range(NUM_BINS):  # ((m / M, (m + 1) / M], as Guo et al. have them
        inside = (confidence > m / NUM_BINS) & (confidence <= (m + 1) / NUM_BINS)
        if inside.any():
            expected += inside.sum() / len(labels) * abs(is_right[inside].mean() - confidence[inside].mean())
    assert calibration_error(calibration_sums(log_p, labels), len(labels)) == pytest.approx(expected, abs=1e-12)
    assert 0.05 < expected < 1


def test_sure_and_right_or_wrong_are_errors_of_0_and_1():
    with np.errstate(divide="ignore"):
        sure = np.maximum(np.log(np.array([[1.0, 0.0]] * 3)), -1e4)
    for label, expected in ((0, 0.0), (1, 1.0)):
        sums = calibration_sums(sure, np.full(3, label))
        assert calibration_error(sums, 3) == pytest.approx(expected)
        assert np.isfinite(sums["loss_at_temperature"]).all()


def f1_by_hand(predicted, labels, num_labels):
    """As scikit-learn's f1_score of each label, and with zero_division=0."""
    found = []
    for label in range(num_labels):
        both = sum(p == label and t == label for p, t in zip(predicted, labels))
        num_predicted, num_true = sum(p == label for p in predicted), sum(t == label for t in labels)
        precision = both / num_predicted if num_predicted else 0.0
        recall = both / num_true if num_true else 0.0
        found.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_f1_is_the_mean_of_precision_and_recall(seed):
    """Label 3 occurs but is never predicted, label 4 is predicted but does not occur, label 5 neither."""
    rng = np.random.default_rng(seed)
    predicted, labels = rng.choice([0, 1, 2, 4], 60), rng.choice([0, 1, 2, 3], 60)
    log_p = np.full((60, 6), -5.0)
    log_p[np.arange(60), predicted] = -0.1
    sums = label_sums(log_p, labels)
    expected = f1_by_hand(predicted, labels, 6)
    np.testing.assert_allclose(f1_of_labels(sums), expected, atol=1e-12)
    assert macro_f1(sums, 60) == pytest.approx(np.mean(expected[:5]))  # scikit-learn does not count label 5 either
    assert sums["accuracy"] == (predicted == labels).sum()


def test_sums_of_batches_give_the_measures_of_all_texts():
    """`evaluate` adds arrays of numbers, and the measures do not depend on how texts are put in batches."""
    log_p, labels = answers(5, count=30)
    found = []
    for cuts in ([30], [1, 7, 22]):
        batches, begin = [], 0
        for size in cuts:
            batches.append(Rows(log_p[begin : begin + size], labels[begin : begin + size]))
            begin += size

        def sums_of(batch, values):
            losses = -batch.log_p[np.arange(len(batch.labels)), batch.labels]
            return {"loss": losses.sum(), **label_sums(batch.log_p, batch.labels)}

        evaluation = evaluate(lambda *arrays: [arrays[0]], batches, lambda count: (), sums_of=sums_of)
        assert isinstance(evaluation, Evaluation) and evaluation.num_targets == 30
        found.append(evaluation.values(MEASURES) | {"temperature": fitted_temperature(evaluation.sums)})
    assert list(found[0]) == ["loss", "accuracy", "macro_f1", "calibration_error", "temperature"]
    assert found[0] == pytest.approx(found[1], rel=1e-9)
    assert found[0]["loss"] == pytest.approx(mean_loss(log_p, labels, 1.0))
    assert found[0]["accuracy"] == pytest.approx((log_p.argmax(axis=1) == labels).mean())


class Rows:
    """A batch of answers."""

    is_start, rate_factor = True, 1.0

    def __init__(self, log_p, labels):
        self.log_p, self.labels, self.arrays = log_p, labels, (log_p, labels)
        self.num_targets = self.num_columns = len(labels)
