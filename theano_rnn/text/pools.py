"""Lists of texts that are read ahead, so that texts of similar length can be computed together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

FIRST, MOST = 32, 1_600


def pools(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Yields the items in lists of at most `MOST`. A list ends at None; the first are short, so that results come soon.

    >>> [len(pool) for pool in pools([*range(3_000), None, 1])]
    [32, 128, 512, 1600, 728, 1]
    """
    pool: list[Any] = []
    size = FIRST
    for item in items:
        pool += [] if item is None else [item]
        if pool and (item is None or len(pool) == size):
            size = min(4 * size, MOST) if len(pool) == size else size
            yield pool
            pool = []
    if pool:
        yield pool
