"""Plots with matplotlib (extra `plot`): learning curves, and how far back gradients reach.

Every plot has its own figure. No window is opened and no global setting of matplotlib is changed.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from theano_rnn.learning.measures import Measure
from theano_rnn.settings.base import UserError

HIGHEST = {
    True: 2.5,
    False: 1.5,
}  # axis limit over the best value (True: perplexity): first epochs are far above
STYLES = ("--", "-.", ":")


def new_figure() -> Any:
    """Returns an empty figure.

    Raises
    ------
    UserError
        matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("plots need matplotlib, which is not installed: run pip install 'theano_rnn[plot]'") from None
    return Figure(figsize=(7, 4), layout="constrained")


def as_png(figure: Any) -> bytes:
    """Returns a figure as a PNG file. It contains no time and no version, so equal figures give equal files."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def learning_curves(
    logs: Mapping[str, Sequence[Mapping[str, Any]]], measure: Measure, published: Sequence[tuple[float, str]] = ()
) -> Any:
    """Plot a measure by epoch: on the validation part and, if it is computed from the loss, on the training part.

    Parameters
    ----------
    logs
        Maps the name of each run to the records of its log. Records that are not of epochs are ignored.
    measure
        The measure to show.
    published
        Published values and their sources, drawn as horizontal lines.
    """
    figure = new_figure()
    axes = figure.add_subplot()
    best, lowest = [value for value, _ in published], math.inf
    for number, (name, log) in enumerate(logs.items()):
        records, color = [record for record in log if "valid_loss" in record], f"C{number}"
        epochs = [record.get("epoch", number) for number, record in enumerate(records, 1)]
        valid = [shown_value(record, "valid", measure) for record in records]
        reached = (max if measure.is_higher_better else min)(valid)
        title = f"{plain(name)}: " if len(logs) > 1 else ""
        axes.plot(epochs, valid, color=color, marker=".", label=f"{title}validation, best {reached:.4g}")
        best, lowest = [*best, reached], min(lowest, *valid)
        if measure.of_loss or measure.name == "loss":  # other measures are not computed in training
            train = [shown_value(record, "train", measure) for record in records]
            lowest = min(lowest, *train)
            axes.plot(epochs, train, color=color, marker=".", markersize=3, linestyle=":", label=f"{title}training")
    for number, (value, title) in enumerate(published):
        axes.axhline(
            value, color="black", linestyle=STYLES[number % 3], linewidth=1, label=f"{plain(title)}: {value:g}"
        )
    if not measure.is_higher_better:
        highest = HIGHEST[measure.of_loss is not None] * min(best)
        axes.set_ylim(0.95 * min(lowest, *best), max(highest, 1.05 * max(best)))
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel(measure.unit or measure.name)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def shown_value(record: Mapping[str, Any], part: str, measure: Measure) -> float:
    """Returns a measure of one epoch on the part "train" or "valid"."""
    if measure.of_loss:
        return measure.of_loss(min(record[f"{part}_loss"], 700.0))
    return float(record[f"{part}_{measure.name}"])


def gradient_flow(norms: Mapping[str, tuple[Any, Any]]) -> Any:
    """Plot the norms of d loss_t / d h_{t-k} over k, on a logarithmic scale.

    Lines show the geometric mean over the windows. For trained models, the shaded area shows the middle half.

    Parameters
    ----------
    norms
        Maps the name of a model to two arrays (lags + 1, windows), as of `GradientFlow.norms`: of the trained model and
        of the same model before training.
    """
    figure = new_figure()
    axes = figure.add_subplot()
    for number, (name, (trained, untrained)) in enumerate(norms.items()):
        color = f"C{number}"
        lags = np.arange(len(trained))
        low, high = np.quantile(trained, [0.25, 0.75], axis=1)
        axes.fill_between(lags, low, high, color=color, alpha=0.15, linewidth=0)
        axes.plot(lags, geometric_mean(trained), color=color, label=f"{plain(name)}, trained")
        axes.plot(
            lags, geometric_mean(untrained), color=color, linestyle="--", linewidth=1, label=f"{plain(name)}, untrained"
        )
    axes.set_yscale("log")
    axes.set_xlim(0, None)
    axes.set_xlabel("k, steps back")
    axes.set_ylabel("norm of $\\partial\\,$loss$_t\\,/\\,\\partial h_{t-k}$")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", ncols=max(1, (len(norms) + 1) // 2))
    return figure


def plain(name: str) -> str:
    """Escape dollar signs in a name, because matplotlib reads text between them as a formula."""
    return name.replace("$", r"\$")


def geometric_mean(norms: Any) -> Any:
    """Returns the geometric mean of each row (rows, n); zeros count as the smallest positive normal float32.

    >>> geometric_mean(np.array([[1.0, 100.0]])).round(6).tolist()
    [10.0]
    """
    return np.exp(np.log(np.maximum(norms, np.finfo(np.float32).tiny)).mean(axis=1))
