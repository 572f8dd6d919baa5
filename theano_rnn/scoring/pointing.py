"""Pointing: whether the words of a caption attend to the objects that they are about (Zhang et al. 2016).

A word points at the region of the picture with its largest weight. The object is hit if this region touches its box,
or, more strictly, if the centre of the region lies in the box. The *mass* is the sum of the weights of all regions that
touch the box. Whoever weighted all regions alike would hit and have mass by chance.

>>> touched, centred = regions_of_boxes(np.array([[0, 0, 9, 8]]), (2, 2), (16, 16))
>>> touched.tolist(), centred.tolist()
([[True, True, False, False]], [[True, False, False, False]])
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Pointing(NamedTuple):
    """Means over words, in percent.

    num_words
    touching, centred
        The share of words whose largest weight belongs to a region that touches the box; whose centre is in the box.
    mass
        The share of the weights in regions that touch the box.
    other
        The share of words whose largest weight belongs to a region that touches the box of another object.
    touching_by_chance, centred_by_chance, other_by_chance
        The same shares of all regions. That of `mass` is `touching_by_chance`.
    """

    num_words: int
    touching: float
    centred: float
    mass: float
    other: float
    touching_by_chance: float
    centred_by_chance: float
    other_by_chance: float


def regions_of_boxes(boxes: Any, grid: tuple[int, int], size: tuple[int, int]) -> tuple[Any, Any]:
    """Returns which regions touch each box, and which have their centre in it, bool (boxes, regions) each.

    Parameters
    ----------
    boxes : array (boxes, 4)
        Left, top, right and bottom edge in pixels.
    grid : (int, int)
        The number of rows and columns of regions, which are counted row by row.
    size : (int, int)
        The height and width of the picture in pixels.
    """
    (rows, columns), (height, width) = grid, size
    left, top, right, bottom = (np.asarray(boxes, np.float64)[:, i, None] for i in range(4))
    tall, wide = height / rows, width / columns
    y, x = (part.ravel() for part in np.mgrid[0:rows, 0:columns])
    touched = (x * wide < right) & ((x + 1) * wide > left) & (y * tall < bottom) & ((y + 1) * tall > top)
    x, y = (x + 0.5) * wide, (y + 0.5) * tall
    return touched, (x >= left) & (x < right) & (y >= top) & (y < bottom)


def pointing(weights: Any, boxes: Any, others: Any, grid: tuple[int, int], size: tuple[int, int]) -> Pointing:
    """Returns how well words point at their objects.

    Parameters
    ----------
    weights : float (words, regions)
        The attention of each word.
    boxes, others : array (words, 4)
        The box of the object that the word is about, and that of another object.
    grid, size
        As of `regions_of_boxes`.
    """
    if not len(weights):
        return Pointing(0, *[float("nan")] * 7)
    touched, centred = regions_of_boxes(boxes, grid, size)
    elsewhere, _ = regions_of_boxes(others, grid, size)
    words, best = np.arange(len(weights)), np.argmax(weights, axis=1)
    mass = np.where(touched, weights, 0).sum(axis=1)
    hits = (touched[words, best], centred[words, best], mass, elsewhere[words, best], touched, centred, elsewhere)
    return Pointing(len(weights), *(100 * float(np.mean(each)) for each in hits))
