"""Dynamic evaluation: a model keeps learning from the text that it scores. Each token is scored before it is learned.

After every few tokens, each parameter p takes a gradient step on their loss (g is the gradient) and a step back towards
p_0, its value after training:

    p += -rate g                                  + decay (p_0 - p)                               (sgd)
    p += -rate g / (sqrt(ms) + epsilon)           + decay (p_0 - p) sqrt(ms) / mean(sqrt(ms))     (rms)

ms is the mean square of p's gradient over text like the training text. The decay times its last factor is at most 1, so
that no step back overshoots p_0 (Krause et al. 2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import aesara
import aesara.tensor as T
import numpy as np

from theano_rnn.learning.gradients import to_dense
from theano_rnn.learning.updates import Updates

EPSILON = 0.002


class DynamicRule(NamedTuple):
    """Update rule of dynamic evaluation, used instead of `UpdateRule`.

    `statistics`: ms by parameter name, or None for the sgd form.
    """

    decay: float
    statistics: Mapping[str, Any] | None = None

    def apply(self, params: Mapping[str, Any], gradients: Mapping[str, Any], learning_rate: Any) -> Updates:
        """Returns the updates of the equation above."""
        updates, state = {}, {}
        mean = self.mean_root()
        for name, p in params.items():
            dtype = p.dtype
            start = state[f"{name}.start"] = aesara.shared(p.get_value(), name=f"{name}.start")
            g, decay = to_dense(gradients[name]), np.asarray(self.decay, dtype)
            if self.statistics is not None:
                root = np.sqrt(self.statistics[name])
                g = g / aesara.shared((root + EPSILON).astype(dtype), name=f"{name}.root")
                limit = 1 / self.decay if self.decay else np.inf
                decay = decay * aesara.shared(np.minimum(root / mean, limit).astype(dtype), name=f"{name}.pull")
            updates[p] = p - learning_rate * g + decay * (start - p)
        return Updates(updates, state, {})

    def mean_root(self) -> float:
        """Returns the mean of sqrt(ms) over all parameters, 1 without statistics."""
        roots = [np.sqrt(ms).ravel() for ms in (self.statistics or {}).values()]
        return float(np.concatenate(roots).mean(dtype=np.float64)) if roots else 1.0


class SquaresRule:
    """Sums squared gradients, used instead of `UpdateRule`.

    `sums` accumulates the learning rate times the squared gradient of each parameter. The parameters do not change.
    """

    def __init__(self) -> None:
        self.sums: dict[str, Any] = {}

    def apply(self, params: Mapping[str, Any], gradients: Mapping[str, Any], learning_rate: Any) -> Updates:
        """Returns the updates of `sums`."""
        self.sums = {name: aesara.shared(np.zeros_like(p.get_value()), name=f"{name}.squares")
                     for name, p in params.items()}  # fmt: skip
        updates = {self.sums[name]: self.sums[name] + learning_rate * T.square(to_dense(g))
                   for name, g in gradients.items()}  # fmt: skip
        return Updates(updates, dict(self.sums), {})
