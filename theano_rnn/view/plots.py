"""Plots with matplotlib (extra `plot`): learning curves, how far back gradients reach, and confusion matrices.

Every plot has its own figure. No window is opened and no global setting of matplotlib is changed.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from theano_rnn.learning.measures import Measure
from theano_rnn.scoring.label_report import LabelReport
from theano_rnn.settings.base import UserError

HIGHEST = {
    True: 2.5,
    False: 1.5,
}  # axis limit over the best value (True: perplexity): first epochs are far above
MAX_TICKS, MAX_NUMBERS = 60, 15  # labels of a confusion matrix that are named, and whose texts are counted in it
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


def confusion_matrix(report: LabelReport) -> Any:
    """Plot a confusion matrix: in each row the texts of a true label, coloured by the fraction that got each label."""
    figure, labels = new_figure(), [shortened(label) for label in report.labels]
    size = min(max(5.0, 0.35 * len(labels) + 2), 14.0)
    figure.set_size_inches(size + 1, size)
    axes = figure.add_subplot()
    fractions = report.confusion / np.maximum(report.confusion.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="fraction of the texts with this true label")
    axes.set_xlabel("label by the model")
    axes.set_ylabel("true label")
    if len(labels) <= MAX_TICKS:
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(labels)), labels)
    if len(labels) <= MAX_NUMBERS:
        for (row, column), count in np.ndenumerate(report.confusion):
            color = "white" if fractions[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=color)
    return figure


def shortened(name: str) -> str:
    """Returns a name of at most 24 characters, for an axis."""
    return plain(name if len(name) <= 24 else name[:21] + "...")


def plain(name: str) -> str:
    """Escape dollar signs in a name, because matplotlib reads text between them as a formula."""
    return name.replace("$", r"\$")


def geometric_mean(norms: Any) -> Any:
    """Returns the geometric mean of each row (rows, n); zeros count as the smallest positive normal float32.

    >>> geometric_mean(np.array([[1.0, 100.0]])).round(6).tolist()
    [10.0]
    """
    return np.exp(np.log(np.maximum(norms, np.finfo(np.float32).tiny)).mean(axis=1))
