"""The measures of a classifier as text: narrow for few labels, the commonest confusions for many."""

import numpy as np
import pytest

from theano_rnn.scoring.label_report import LabelSums
from theano_rnn.view.label_tables import describe_report


def report_of(labels, pairs):
    """A report of texts with pairs of a true label and the model's, as numbers."""
    sums = LabelSums(temperature=1.5)
    log_p = np.full((len(pairs), len(labels)), np.log(0.1 / (len(labels) - 1)))
    log_p[range(len(pairs)), [got for _, got in pairs]] = np.log(0.9)
    sums.add(log_p, np.array([true for true, _ in pairs]))
    return sums.report(labels)


def test_a_small_matrix_is_aligned():
    labels = ["neg", "\u4e2d\u6587", "a label that is rather long"]
    text = describe_report(report_of(labels, [(0, 0)] * 1200 + [(1, 0), (2, 2)]))
    assert text.splitlines()[0] == "1,202 texts"
    assert text.splitlines()[-4:] == [
        "                            neg  \u4e2d\u6587  a label...",
        "neg                       1,200     0           0",
        "\u4e2d\u6587                          1     0           0",
        "a label that is rathe...      0     0           1",
    ]


def test_of_many_labels_the_commonest_confusions_are_listed():
    labels = [f"label {i}" for i in range(40)]
    text = describe_report(report_of(labels, [(0, 1)] * 3 + [(5, 7)] * 9 + [(2, 2)] * 5))
    assert max(map(len, text.splitlines())) <= 80
    assert text.splitlines()[-2:] == ["       9  label 5 -> label 7", "       3  label 0 -> label 1"]
    assert describe_report(report_of(labels, [(2, 2)])).endswith("no text has a wrong label")


@pytest.mark.parametrize("count", [2, 20, 70])
def test_a_picture_of_the_confusion_matrix(count):
    pytest.importorskip("matplotlib")
    from theano_rnn.view.plots import as_png, confusion_matrix

    report = report_of([f"$label {i}" for i in range(count)], [(0, 1), (1, 1)])
    assert as_png(confusion_matrix(report)).startswith(b"\x89PNG")
