"""Measures of a classifier, such as accuracy and macro-averaged F1, from sums over batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from theano_rnn.learning.calibration import calibration_sums


def label_sums(log_probabilities: Any, labels: Any) -> dict[str, Any]:
    """Returns the sums that the measures of this module need.

    Parameters
    ----------
    log_probabilities : float (texts, labels)
    labels : int (texts,)
        The true labels.
    """
    num_labels = log_probabilities.shape[1]
    predicted = log_probabilities.argmax(axis=1)
    is_right = predicted == labels
    return {
        "accuracy": float(is_right.sum()),
        "true": np.bincount(labels, minlength=num_labels),
        "predicted": np.bincount(predicted, minlength=num_labels),
        "right": np.bincount(labels[is_right], minlength=num_labels),
        **calibration_sums(log_probabilities, labels),
    }


def f1_of_labels(sums: Mapping[str, Any]) -> Any:
    """Returns the F1 of each label: the harmonic mean of precision and recall; 0 if it was never right."""
    return 2 * sums["right"] / np.maximum(sums["true"] + sums["predicted"], 1)


def macro_f1(sums: Mapping[str, Any], num_texts: int) -> float:
    """Returns the mean F1 of the labels that occur or were predicted, each counting the same.

    >>> log_p = np.log([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]])
    >>> round(macro_f1(label_sums(log_p, np.array([0, 1, 1])), 3), 3)
    0.667
    """
    occurs = (sums["true"] + sums["predicted"]) > 0
    return float(f1_of_labels(sums)[occurs].mean()) if occurs.any() else 0.0
