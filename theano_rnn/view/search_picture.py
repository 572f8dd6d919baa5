"""The picture of a search: how much each setting mattered, and what each of its values reached."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from theano_rnn.learning.measures import Measure
from theano_rnn.view.plots import as_png, new_figure, shortened

__all__ = ["as_png", "what_mattered"]

MAX_PANELS = 8  # besides the one of all settings
NUM_COLUMNS = 3
WIDE_RATIO = 20.0  # of the largest value to the smallest: from here up, the axis is logarithmic


def what_mattered(
    settings: Sequence[Mapping[str, Any]],
    values: Sequence[float],
    importance: Mapping[str, float],
    measure: Measure,
    *,
    logarithmic: Collection[str] = (),
) -> Any:
    """Plot how much each setting mattered, and for each of them the trials by its value.

    Parameters
    ----------
    settings
        The varied settings of each trial, by name; at least one trial.
    values
        The measure of each trial.
    importance
        A fraction for each setting; may be empty.
    measure
        What `values` are.
    logarithmic
        The settings with a logarithmic axis.
    """
    names = sorted(settings[0], key=lambda name: -importance.get(name, 0.0))
    panels = names[:MAX_PANELS]
    count = len(panels) + bool(importance)
    columns = min(NUM_COLUMNS, count)
    rows = math.ceil(count / columns)
    figure = new_figure()
    figure.set_size_inches(3.4 * columns, 2.9 * rows)
    axes = list(np.ravel(figure.subplots(rows, columns, squeeze=False)))
    for unused in axes[count:]:
        unused.set_axis_off()
    best = int(np.argmax(values) if measure.is_higher_better else np.argmin(values))
    if importance:
        draw_importance(axes.pop(0), names, importance)
    for name, panel in zip(panels, axes):
        places, ticks = places_of([each[name] for each in settings])
        others = [number for number in range(len(values)) if number != best]
        panel.scatter([places[i] for i in others], [values[i] for i in others], s=22, alpha=0.7, color="C0")
        panel.scatter([places[best]], [values[best]], s=70, marker="*", color="C3", label="best", zorder=3)
        if ticks:
            panel.set_xticks(range(len(ticks)), ticks, rotation=30 if max(map(len, ticks)) > 5 else 0)
            panel.set_xlim(-0.5, len(ticks) - 0.5)
        elif name in logarithmic:
            panel.set_xscale("log")
        if min(values) > 0 and max(values) > WIDE_RATIO * min(values):
            panel.set_yscale("log")
        panel.set_xlabel(shortened(name.replace("_", "-")))
        panel.set_ylabel(measure.unit or measure.name.replace("_", " "))
        panel.grid(alpha=0.3)
    if axes:
        axes[0].legend(fontsize="small")
    return figure


def draw_importance(panel: Any, names: Sequence[str], importance: Mapping[str, float]) -> None:
    """Draw a bar for each setting, the most important one at the top."""
    shares = [importance.get(name, 0.0) for name in names]
    panel.barh(range(len(names)), shares, color="C0")
    panel.set_yticks(range(len(names)), [shortened(name.replace("_", "-")) for name in names])
    panel.invert_yaxis()
    panel.set_xlim(0, 1)
    panel.set_xlabel("importance")
    panel.grid(alpha=0.3, axis="x")


def places_of(values: Sequence[Any]) -> tuple[list[float], list[str]]:
    """Returns a place on the axis for each value, and the names of the places if the values are not numbers.

    >>> places_of([0.5, 2])
    ([0.5, 2.0], [])
    >>> places_of(["lstm", "gru", "lstm"])
    ([1.0, 0.0, 1.0], ['gru', 'lstm'])
    """
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return [float(value) for value in values], []
    texts = [named(value) for value in values]
    ticks = sorted(set(texts))
    return [float(ticks.index(text)) for text in texts], [shortened(tick) for tick in ticks]


def named(value: Any) -> str:
    """Returns a value that is not a number as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) or "none" if isinstance(value, (list, tuple)) else str(value)
