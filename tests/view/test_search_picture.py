"""The picture of a search."""

import numpy as np
import pytest

from theano_rnn.learning.measures import LOSS, PERPLEXITY

pytest.importorskip("matplotlib")

from theano_rnn.view.search_picture import MAX_PANELS, as_png, what_mattered

SETTINGS = [{"cell": cell, "learning_rate": rate, "cutoffs": [], "tie_weights": True}
            for cell in ("lstm", "gru") for rate in (0.001, 0.1)]  # fmt: skip


def panels(figure):
    return [axes for axes in figure.axes if axes.axison]


def test_the_most_important_setting_comes_first_and_the_best_trial_is_marked():
    importance = {"cell": 0.2, "learning_rate": 0.7, "tie_weights": 0.1, "cutoffs": 0.0}
    figure = what_mattered(SETTINGS, [5.0, 3.0, 4.0, 6.0], importance, PERPLEXITY, logarithmic={"learning_rate"})
    bars, *others = panels(figure)
    assert [text.get_text() for text in bars.get_yticklabels()] == ["learning-rate", "cell", "tie-weights", "cutoffs"]
    assert [bar.get_width() for bar in bars.patches] == [0.7, 0.2, 0.1, 0.0]
    assert [axes.get_xlabel() for axes in others] == ["learning-rate", "cell", "tie-weights", "cutoffs"]
    assert [axes.get_xscale() for axes in others] == ["log", "linear", "linear", "linear"]
    for axes in others:
        points, best = axes.collections
        assert len(points.get_offsets()) == 3
        assert np.asarray(best.get_offsets())[0, 1] == 3.0
        assert axes.get_ylabel() == "perplexity"
    assert np.asarray(others[0].collections[1].get_offsets())[0, 0] == 0.1
    assert [text.get_text() for text in others[1].get_xticklabels()] == ["gru", "lstm"]
    assert as_png(figure).startswith(b"\x89PNG")


def test_without_importance_there_is_a_panel_for_each_setting_up_to_a_limit():
    settings = [{f"s{i}": i + j for i in range(12)} for j in range(3)]
    assert len(panels(what_mattered(settings, [1.0, 2.0, 90.0], {}, LOSS))) == MAX_PANELS
    assert len(panels(what_mattered([{"a": 1}], [1.0], {}, LOSS))) == 1


def test_values_far_apart_have_a_logarithmic_axis():
    one = panels(what_mattered([{"a": 1}, {"a": 2}], [1.0, 5.0], {}, LOSS))
    other = panels(what_mattered([{"a": 1}, {"a": 2}], [1.0, 500.0], {}, LOSS))
    assert [axes[0].get_yscale() for axes in (one, other)] == ["linear", "log"]
