"""Explain a classification: how much each token of a text contributes to the log-odds of a label.

Two measures, both in nats of the log-odds ``ln P / (1 - P)``:

- contribution: the integrated gradient of the log-odds along the line from zero vectors to the text's word vectors
  (Sundararajan et al. 2017). One batch computes it: the same text in every column, at another scale in each.
- removal: the log-odds of the text minus those of the text without the token. This runs the model once for each token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

NUM_SCALES = 16


def contributions(function: Callable[..., Any], ids: Sequence[int], label: int, *, pad_id: int, steps: int,
                  scales: Any = None, dtype: str = "float32") -> Any:  # fmt: skip
    """Returns the contribution of each token to the log-odds of a label, float64 (tokens,).

    Parameters
    ----------
    function
        The compiled function ``attributions``.
    ids, label
        The text and the number of the label.
    steps
        The length to pad to.
    scales : optional
        The scales of the word vectors whose mean is taken; ``[1.0]`` gives gradient times vector. Default: `NUM_SCALES`
        of them, evenly spaced, for integrated gradients.
    """
    if scales is None:
        scales = (np.arange(NUM_SCALES) + 0.5) / NUM_SCALES
    count = len(scales)
    tokens, mask = np.full((steps, count), pad_id, np.int32), np.zeros((steps, count), dtype)
    tokens[: len(ids)], mask[: len(ids)] = np.asarray(ids, np.int32)[:, None], 1
    found, _ = function(tokens, mask, np.full(count, label, np.int32), np.asarray(scales, dtype))
    return np.asarray(found, np.float64)[: len(ids)].mean(axis=1)


def log_odds(log_probabilities: Any, label: int) -> Any:
    """Returns ``ln P / (1 - P)`` of a label, given log-probabilities (..., labels).

    >>> log_odds(np.log([0.8, 0.1, 0.1]), 0).round(4).tolist() == np.log(4).round(4).tolist()
    True
    """
    log_p = np.asarray(log_probabilities, np.float64)
    others = np.delete(log_p, label, axis=-1)
    return log_p[..., label] - np.logaddexp.reduce(others, axis=-1)


def removals(predict: Callable[[Sequence[Sequence[int]]], Any], ids: Sequence[int], label: int) -> Any:
    """Returns how much the log-odds of a label fall if a token is left out, for each token, float64 (tokens,).

    Parameters
    ----------
    predict
        Returns the log-probabilities (texts, labels) of texts, given their ids.
    """
    if len(ids) < 2:
        return np.zeros(len(ids))
    shorter = [[*ids[:place], *ids[place + 1 :]] for place in range(len(ids))]
    found = log_odds(predict([ids, *shorter]), label)
    return found[0] - found[1:]
