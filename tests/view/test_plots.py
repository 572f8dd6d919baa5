"""Pictures: what must be in them, and names that matplotlib would take for formulas."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from theano_rnn.learning.measures import CHARACTER_LOSS, PERPLEXITY
from theano_rnn.view.plots import as_png, gradient_flow, learning_curves


def log(valid, train):
    return [{"valid_loss": v, "train_loss": t} for v, t in zip(valid, train)]


@pytest.mark.parametrize("measure", [PERPLEXITY, CHARACTER_LOSS])
@pytest.mark.parametrize(
    "logs",
    [
        {"overfitting": log([6, 5.5, 5.4, 5.6], [6.5, 4, 2, 1])},
        {"good": log([4, 3], [4, 3]), "bad": log([6, 5.9], [6, 5.8])},
        {"learning": log([9, 5, 4], [9, 6, 4.5])},
    ],
    ids=lambda logs: next(iter(logs)),
)
def test_the_best_validation_of_every_run_is_in_the_picture(measure, logs):
    figure = learning_curves(logs, measure, [(2.0, "others")])
    low, high = figure.axes[0].get_ylim()
    shown = np.exp if measure is PERPLEXITY else float
    for records in logs.values():
        assert low < min(shown(record["valid_loss"]) for record in records) < high
        assert low < min(shown(record["train_loss"]) for record in records)
    assert low < 2.0 < high


def test_names_are_shown_letter_by_letter():
    name = "a$_$ and $\\x$"
    norms = np.ones((3, 4))
    for figure in (
        learning_curves({name: log([2, 1], [2, 1]), "b": log([2, 1], [2, 1])}, PERPLEXITY, [(1.0, name)]),
        gradient_flow({name: (norms, norms)}),
    ):
        assert as_png(figure).startswith(b"\x89PNG")
        labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        assert any(label.startswith(r"a\$_\$ and \$\x\$") for label in labels)
