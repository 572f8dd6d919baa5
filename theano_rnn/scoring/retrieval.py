"""Retrieval: whether scores find what belongs together, such as a picture and its captions.

>>> scores = np.array([[0.0, -1.0, -3.0], [-2.0, -2.0, -4.0]])
>>> found = ranks(scores, np.array([[False, True, False], [True, False, False]]))
>>> found.tolist(), recall(found, 1), recall(found, 5)
([2, 2], 0.0, 100.0)
"""

from __future__ import annotations

from typing import Any

import numpy as np


def ranks(scores: Any, is_right: Any) -> Any:
    """Returns the rank of the best right candidate of each query, 1 for the first, int64 (queries,).

    Only wrong candidates count; one with the same score stands before the right one.

    Parameters
    ----------
    scores : float (queries, candidates)
    is_right : bool (queries, candidates)
        At least one candidate of each query is right.
    """
    best = np.where(is_right, scores, -np.inf).max(axis=1, keepdims=True)
    return 1 + ((scores >= best) & ~is_right).sum(axis=1)


def recall(found: Any, count: int) -> float:
    """Returns the percentage of queries with a right candidate among the first `count`, given their `ranks`."""
    return 100 * float(np.mean(found <= count))
