"""Calibration: does a model that says 80 % turn out to be right in 80 % of the cases?

The expected calibration error (ECE) sorts the answers into 15 bins by their probability, and is the mean difference
between the probabilities in a bin and the fraction of right answers there, weighted by the size of the bin. A
temperature T corrects probabilities that are too sure or not sure enough: ``softmax(scores / T)``. It is the T with the
lowest loss on validation data, and changes no label.

Everything is computed from sums over batches, so memory does not grow with the data.

References
----------
Guo et al. (2017), "On calibration of modern neural networks", equations 3 and 9.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

NUM_BINS = 15
TEMPERATURES = np.geomspace(1 / 16, 16, 65)  # where the loss is measured; between them it is a parabola


def with_temperature(log_probabilities: Any, temperature: Any) -> Any:
    """Returns log-probabilities (..., labels) at a temperature.

    >>> np.exp(with_temperature(np.log([0.8, 0.2]), 2.0)).round(3).tolist()
    [0.667, 0.333]
    """
    scores = np.asarray(log_probabilities, np.float64) / temperature
    scores = scores - scores.max(axis=-1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))


def calibration_sums(log_probabilities: Any, labels: Any) -> dict[str, Any]:
    """Returns the sums that `calibration_error` and `fitted_temperature` need, for answers (texts, labels).

    Parameters
    ----------
    log_probabilities : float (texts, labels)
    labels : int (texts,)
        The true labels.
    """
    log_p = np.asarray(log_probabilities, np.float64)
    confidence, is_right = np.exp(log_p.max(axis=1)), log_p.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidence * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
    rows = np.arange(len(log_p))
    losses = [-with_temperature(log_p, temperature)[rows, labels].sum() for temperature in TEMPERATURES]
    return {
        "bin_confidence": np.bincount(bins, confidence, NUM_BINS),
        "bin_right": np.bincount(bins, is_right, NUM_BINS),
        "loss_at_temperature": np.array(losses),
    }


def calibration_error(sums: Mapping[str, Any], num_texts: int) -> float:
    """Returns the expected calibration error, between 0 and 1.

    >>> sums = calibration_sums(np.log([[0.8, 0.2], [0.8, 0.2]]), np.array([0, 1]))
    >>> round(calibration_error(sums, 2), 3)
    0.3
    """
    return float(np.abs(sums["bin_confidence"] - sums["bin_right"]).sum() / num_texts)


def fitted_temperature(sums: Mapping[str, Any]) -> float:
    """Returns the temperature with the lowest loss, between 1/16 and 16.

    >>> log_p = np.log([[0.9, 0.1]] * 4)
    >>> T = fitted_temperature(calibration_sums(log_p, np.array([0, 0, 0, 1])))
    >>> np.exp(with_temperature(log_p[0], T)).round(2).tolist()
    [0.75, 0.25]
    """
    losses, logs = np.asarray(sums["loss_at_temperature"]), np.log(TEMPERATURES)
    best = int(losses.argmin())
    if best in (0, len(losses) - 1):
        return float(TEMPERATURES[best])
    before, here, after = losses[best - 1 : best + 2]
    curvature = before - 2 * here + after
    shift = 0.5 * (before - after) / curvature if curvature > 0 else 0.0
    return float(np.exp(logs[best] + shift * (logs[1] - logs[0])))
