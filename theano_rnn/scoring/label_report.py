"""How well a classifier labels texts: loss, accuracy, F1, calibration and the confusion matrix.

>>> sums = LabelSums(temperature=2.0)
>>> sums.add(np.log([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]), np.array([0, 1, 1]))
>>> report = sums.report(["neg", "pos"])
>>> report.confusion.tolist(), round(report.accuracy, 3), round(report.macro_f1, 3)
([[1, 0], [1, 1]], 0.667, 0.667)
>>> [(each.label, each.num_texts, each.precision, each.recall) for each in report.of_labels()]
[('neg', 1, 0.5, 1.0), ('pos', 2, 1.0, 0.5)]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.learning.calibration import calibration_error, with_temperature
from theano_rnn.learning.label_measures import f1_of_labels, label_sums, macro_f1
from theano_rnn.settings.base import UserError


class OneLabel(NamedTuple):
    """The measures of one label. `num_texts` have it, `num_predicted` got it from the model."""

    label: str
    num_texts: int
    num_predicted: int
    precision: float
    recall: float
    f1: float


class LabelReport(NamedTuple):
    """The measures of a classifier over some texts.

    Attributes
    ----------
    labels : sequence of str
    num_texts : int
    loss, loss_at_temperature : float
        The mean of -ln P of the true label in nats per text, before and after the temperature.
    accuracy, macro_f1 : float
    calibration_error, calibration_error_at_temperature : float
        See `learning.calibration`, before and after the temperature.
    temperature : float
    confusion : int (labels, labels)
        The number of texts with each true label (row) that got each label (column).
    """

    labels: Sequence[str]
    num_texts: int
    loss: float
    loss_at_temperature: float
    accuracy: float
    macro_f1: float
    calibration_error: float
    calibration_error_at_temperature: float
    temperature: float
    confusion: Any

    def of_labels(self) -> list[OneLabel]:
        """Returns precision, recall and F1 of each label; 0 where a label never occurs."""
        right, true, predicted = self.confusion.diagonal(), self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        scores = f1_of_labels({"right": right, "true": true, "predicted": predicted})
        return [
            OneLabel(label, int(n), int(m), float(k / max(m, 1)), float(k / max(n, 1)), float(f1))
            for label, k, n, m, f1 in zip(self.labels, right, true, predicted, scores)
        ]

    def as_json(self) -> dict[str, Any]:
        """Returns the report as plain values for JSON."""
        return {**self._asdict(), "labels": [each._asdict() for each in self.of_labels()],
                "confusion": self.confusion.tolist()}  # fmt: skip


class LabelSums:
    """Sums over texts, from which `report` computes the measures; their size does not depend on the number of texts."""

    def __init__(self, temperature: float) -> None:
        self.temperature, self.num_texts = temperature, 0
        self.before: dict[str, Any] = {}
        self.after: dict[str, Any] = {}
        self.confusion: Any = 0

    def add(self, log_probabilities: Any, labels: Any) -> None:
        """Add texts, given log-probabilities (texts, labels) before the temperature and the true labels (texts,)."""
        self.num_texts += len(labels)
        confusion = np.zeros((log_probabilities.shape[1],) * 2, np.int64)
        np.add.at(confusion, (labels, log_probabilities.argmax(axis=1)), 1)
        self.confusion = self.confusion + confusion
        for sums, log_p in ((self.before, log_probabilities),
                            (self.after, with_temperature(log_probabilities, self.temperature))):  # fmt: skip
            found = {"loss": -log_p[np.arange(len(labels)), labels].sum(), **label_sums(log_p, labels)}
            sums.update({name: sums.get(name, 0) + value for name, value in found.items()})

    def report(self, labels: Sequence[str]) -> LabelReport:
        """Returns the measures. Raises `UserError` if there are no texts."""
        count = self.num_texts
        if not count:
            raise UserError("there are no labelled texts to evaluate: give at least one")
        before, after = self.before, self.after
        return LabelReport(
            labels=labels, num_texts=count, loss=float(before["loss"] / count),
            loss_at_temperature=float(after["loss"] / count), accuracy=before["accuracy"] / count,
            macro_f1=macro_f1(before, count), calibration_error=calibration_error(before, count),
            calibration_error_at_temperature=calibration_error(after, count), temperature=self.temperature,
            confusion=self.confusion,
        )  # fmt: skip
