"""Initial parameters: functions of a shape and a random generator.

>>> float(abs(uniform((3, 2), rng=np.random.default_rng(0), limit=0.1)).max()) <= 0.1
True
"""

from __future__ import annotations

from typing import Any

import numpy as np


def normal(shape: tuple[int, ...], *, rng: np.random.Generator) -> Any:
    """Float64 array drawn from the standard normal distribution."""
    return rng.standard_normal(shape)


def uniform(shape: tuple[int, ...], *, rng: np.random.Generator, limit: float | None = None) -> Any:
    """Float64 array drawn from [-limit, limit).

    The default limit is 1/sqrt(rows), rows being what a row vector is summed over: the tutorial's choice, after
    LeCun et al. 1998, section 4.6.
    """
    bound = shape[0] ** -0.5 if limit is None else limit
    return rng.uniform(-bound, bound, shape)


def orthogonal(shape: tuple[int, int], *, rng: np.random.Generator) -> Any:
    """Float64 matrix whose shorter axis is orthonormal, uniform among all such (Saxe et al. 2014).

    W = Q diag(sign(diag(R))) of a standard normal matrix Q R; without the signs not all were equally likely (Mezzadri
    2007). A square one changes no vector's length, so that a gradient neither vanishes nor explodes in it.

    >>> W = orthogonal((3, 3), rng=np.random.default_rng(0))
    >>> np.allclose(W @ W.T, np.eye(3))
    True
    """
    rows, columns = shape
    Q, R = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))
    Q *= np.where(np.diag(R) < 0, -1.0, 1.0)
    return Q if rows >= columns else Q.T
