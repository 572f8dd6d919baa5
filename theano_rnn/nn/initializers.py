"""Initial values of parameters: functions of a shape and a random generator.

>>> float(abs(uniform((3, 2), rng=np.random.default_rng(0), limit=0.1)).max()) <= 0.1
True
"""

from __future__ import annotations

from typing import Any

import numpy as np


def normal(shape: tuple[int, ...], *, rng: np.random.Generator) -> Any:
    """Returns a float64 array from the standard normal distribution."""
    return rng.standard_normal(shape)


def uniform(shape: tuple[int, ...], *, rng: np.random.Generator, limit: float | None = None) -> Any:
    """Returns a float64 array from the uniform distribution on [-limit, limit).

    The default limit is 1/sqrt(rows), because a product with a row vector sums over the rows (the tutorial's choice,
    after LeCun et al. 1998, section 4.6).
    """
    bound = shape[0] ** -0.5 if limit is None else limit
    return rng.uniform(-bound, bound, shape)


def orthogonal(shape: tuple[int, int], *, rng: np.random.Generator) -> Any:
    """Returns a random float64 matrix with orthonormal rows or columns, whichever are fewer (Saxe et al. 2014).

    A square one preserves the length of every vector, so that gradients neither vanish nor explode in it. The matrix is
    W = Q diag(sign(diag(R))), where Q R is the QR decomposition of a standard normal matrix. The signs make all
    orthogonal matrices equally likely (Mezzadri 2007).

    >>> W = orthogonal((3, 3), rng=np.random.default_rng(0))
    >>> np.allclose(W @ W.T, np.eye(3))
    True
    """
    rows, columns = shape
    Q, R = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))
    Q *= np.where(np.diag(R) < 0, -1.0, 1.0)
    return Q if rows >= columns else Q.T
