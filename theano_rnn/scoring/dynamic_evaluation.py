"""Dynamic evaluation: a model that goes on learning from the text it is measured on, each token scored before.

After every few tokens each parameter p takes a step down the gradient g of their loss and one back to p_0, where it was
after training:

    p += -rate g                                  + decay (p_0 - p)                               (sgd)
    p += -rate g / (sqrt(ms) + epsilon)           + decay (p_0 - p) sqrt(ms) / mean(sqrt(ms))     (rms)

ms is the mean square of p's gradient over text like that of the training; the last factor of the decay is limited so
that no step back goes beyond p_0 (Krause et al. 2018).
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
    """In place of `UpdateRule`; `statistics`: ms by the parameters' names, or None for the plain form."""

    decay: float
    statistics: Mapping[str, Any] | None = None

    def apply(self, params: Mapping[str, Any], gradients: Mapping[str, Any], learning_rate: Any) -> Updates:
        """The step of the module's equation."""
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
        """sqrt(ms), on average over all parameters."""
        roots = [np.sqrt(ms).ravel() for ms in (self.statistics or {}).values()]
        return float(np.concatenate(roots).mean(dtype=np.float64)) if roots else 1.0


class SquaresRule:
    """In place of `UpdateRule`: changes no parameter, adds up in `sums` squares of gradients times the rate."""

    def __init__(self) -> None:
        self.sums: dict[str, Any] = {}

    def apply(self, params: Mapping[str, Any], gradients: Mapping[str, Any], learning_rate: Any) -> Updates:
        """Updates of `sums` alone."""
        self.sums = {name: aesara.shared(np.zeros_like(p.get_value()), name=f"{name}.squares")
                     for name, p in params.items()}  # fmt: skip
        updates = {self.sums[name]: self.sums[name] + learning_rate * T.square(to_dense(g))
                   for name, g in gradients.items()}  # fmt: skip
        return Updates(updates, dict(self.sums), {})
