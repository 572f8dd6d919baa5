"""The measures of a classifier as text: a table of labels and the confusion matrix, for a terminal."""

from __future__ import annotations

import unicodedata

import numpy as np

from theano_rnn.scoring.label_report import LabelReport

WIDTH = 80  # columns of a terminal
MAX_NAME = 24  # columns of a label
MAX_HEAD = 10  # columns of a label above a column of the matrix
MAX_CONFUSIONS = 20  # shown if the matrix is too wide


def describe_report(report: LabelReport) -> str:
    """Returns the report as lines of text: the totals, a table of the labels, and the confusion matrix."""
    temperature = f"temperature {report.temperature:g}"
    lines = [
        f"{report.num_texts:,} texts",
        f"loss               {report.loss:.4f} nats per text; with {temperature}: {report.loss_at_temperature:.4f}",
        f"accuracy           {report.accuracy:.4f}",
        f"macro F1           {report.macro_f1:.4f}",
        f"calibration error  {report.calibration_error:.4f}; with {temperature}: "
        f"{report.calibration_error_at_temperature:.4f}",
        "",
        *label_lines(report),
        "",
        *(matrix_lines(report) or confusion_lines(report)),
    ]
    return "\n".join(lines)


def label_lines(report: LabelReport) -> list[str]:
    """Returns a table with precision, recall and F1 of each label."""
    size = max(5, *(width(fitted(label, MAX_NAME)) for label in report.labels))
    lines = [f"{padded('label', size)}     texts  precision  recall      F1"]
    for each in report.of_labels():
        lines.append(f"{padded(fitted(each.label, MAX_NAME), size)}  {each.num_texts:>8,}  {each.precision:>9.4f}  "
                     f"{each.recall:>6.4f}  {each.f1:>6.4f}")  # fmt: skip
    return lines


def matrix_lines(report: LabelReport) -> list[str]:
    """Returns the confusion matrix, a row for each true label; nothing if it is wider than a terminal."""
    heads = [fitted(label, MAX_HEAD) for label in report.labels]
    size = max(width(fitted(label, MAX_NAME)) for label in report.labels)
    sizes = [max(width(head), len(f"{column.max():,}")) for head, column in zip(heads, report.confusion.T)]
    if size + sum(sizes) + 2 * len(sizes) > WIDTH:
        return []
    above = "".join("  " + padded(head, n, right=True) for head, n in zip(heads, sizes))
    lines = ["confusion matrix: rows are true labels, columns the model's", " " * size + above]
    for label, row in zip(report.labels, report.confusion):
        lines.append(padded(fitted(label, MAX_NAME), size) + "".join(f"  {k:>{n},}" for k, n in zip(row, sizes)))
    return lines


def confusion_lines(report: LabelReport) -> list[str]:
    """Returns the most frequent confusions, one line each."""
    wrong = report.confusion * (1 - np.eye(len(report.labels), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:MAX_CONFUSIONS]
    pairs = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, wrong.shape)) if wrong[i, j]]
    if not pairs:
        return ["no text has a wrong label"]
    lines = ["the most frequent confusions (--json has the whole confusion matrix)", "   texts  true label -> label"]
    names = [fitted(label, MAX_NAME) for label in report.labels]
    return [*lines, *(f"{wrong[i, j]:>8,}  {names[i]} -> {names[j]}" for i, j in pairs)]


def width(text: str) -> int:
    """Returns how many columns of a terminal a text takes.

    >>> width("neg"), width("\\u4e2d")
    (3, 2)
    """
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text if not unicodedata.combining(c))


def fitted(label: str, most: int) -> str:
    """Returns a label in one line of at most `most` columns.

    >>> fitted("sense and sensibility", 10)
    'sense a...'
    """
    line = " ".join(label.split())
    if width(line) <= most:
        return line
    while width(line) > most - 3:
        line = line[:-1]
    return line + "..."


def padded(text: str, size: int, *, right: bool = False) -> str:
    """Returns a text with blanks after it, or before it if it stands on the right, up to `size` columns."""
    blanks = " " * (size - width(text))
    return blanks + text if right else text + blanks
