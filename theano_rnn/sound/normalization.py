"""Shift and scale features, so that loudness, microphone and unit matter less.

>>> frames = np.array([[1.0], [3.0], [10.0], [14.0]])
>>> normalization = measure("mean", frames, [2, 2])  # of two recordings, each relative to its own mean
>>> normalization.scale
array([0.63245553])
>>> normalization.apply(frames, [2, 2]).ravel().round(2)
array([-0.63,  0.63, -1.26,  1.26], dtype=float32)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

SMALLEST_DEVIATION = 1e-3  # a feature that varies less is not scaled up further

Numbers = npt.NDArray[np.float64]


class Normalization(NamedTuple):
    """How features are normalized: ``(x - mean) * scale``.

    Attributes
    ----------
    kind : str
        One of the choices of `FeaturesConfig.normalization`.
    mean, scale : float64 (features,), or None
        None: the values of each recording, or none at all; see `measure`.
    """

    kind: str
    mean: Numbers | None = None
    scale: Numbers | None = None

    def apply(self, frames: Any, lengths: Any) -> npt.NDArray[np.float32]:
        """Returns normalized frames of recordings, one after another, float32 (frames, features).

        `lengths` has the number of frames of each recording.
        """
        found = np.array(frames, np.float32)  # a copy, changed in place below
        for part in recordings(found, lengths):
            if self.kind in ("mean", "mean-variance"):
                part -= part.mean(axis=0, dtype=np.float64).astype(np.float32)
            if self.kind == "mean-variance":
                part *= scale_of(part.std(axis=0, dtype=np.float64)).astype(np.float32)
        if self.mean is not None:
            found -= self.mean.astype(np.float32)
        if self.scale is not None:
            found *= self.scale.astype(np.float32)
        return found

    def as_facts(self) -> dict[str, Any]:
        """Returns the measured values as JSON values: "mean" and "scale", lists or None."""
        return {name: None if value is None else value.tolist() for name, value in self._asdict().items()
                if name != "kind"}  # fmt: skip

    @classmethod
    def from_facts(cls, kind: str, facts: Mapping[str, Any]) -> Normalization:
        """Returns the normalization that `as_facts` described."""
        values = [None if facts.get(name) is None else np.array(facts[name], np.float64) for name in cls._fields[1:]]
        return cls(kind, *values)


def measure(kind: str, frames: Any, lengths: Any) -> Normalization:
    """Returns the normalization of the given kind, with what it needs measured on the frames of the training part.

    mean: the standard deviation of each feature around the mean of its recording. global: the mean and the standard
    deviation of each feature.
    """
    if kind == "global":
        mean = np.asarray(frames).mean(axis=0, dtype=np.float64)
        return Normalization(kind, mean, scale_of(np.asarray(frames).std(axis=0, dtype=np.float64)))
    if kind != "mean":
        return Normalization(kind)
    total = np.zeros(np.shape(frames)[1])
    for part in recordings(np.asarray(frames), lengths):
        total += part.var(axis=0, dtype=np.float64) * len(part)
    return Normalization(kind, None, scale_of(np.sqrt(total / max(1, len(frames)))))


def scale_of(deviation: Any) -> Numbers:
    return np.asarray(1 / np.maximum(deviation, SMALLEST_DEVIATION), np.float64)


def recordings(frames: Any, lengths: Any) -> Iterator[Any]:
    """Yields the frames of each recording that has any, as views."""
    ends = np.cumsum([0, *lengths])
    for begin, end in pairwise(ends.tolist()):
        if end > begin:
            yield frames[begin:end]
