"""Drawn scenes with captions: two shapes on a noisy ground, and for every word the object that it is about.

    a large red circle left of a small blue star            relation: left of, right of, above, below

Scenes differ in 8 shapes, 8 colours and 2 sizes. A caption is a function of its scene: the larger object comes first,
of equal sizes the one further left, of equal columns the upper one; sizes are said only if they differ. So a picture
has one right caption, and exact matches mean something. Eight pairs of a colour and a shape, `NEW`, are never in
training scenes: only who knows both parts can describe the scenes of ``"new"``.

>>> made = make_scenes(2, np.random.default_rng(1))
>>> made.images.shape, made.boxes.shape
((2, 64, 64, 3), (2, 2, 4))
>>> len(made.captions[0].split()) == len(made.about[0])
True
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

COLOURS = {
    "red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 90, 230), "yellow": (235, 210, 40),
    "purple": (150, 60, 190), "orange": (240, 140, 30), "white": (240, 240, 240), "black": (20, 20, 20),
}  # fmt: skip
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "heart", "moon")
SIDES = {"small": (9, 12), "large": (17, 21)}  # least and greatest, in pixels
NEW = frozenset({
    ("red", "star"), ("green", "circle"), ("blue", "moon"), ("yellow", "cross"), ("purple", "square"),
    ("orange", "ring"), ("white", "heart"), ("black", "triangle"),
})  # fmt: skip
SEEN = tuple((colour, shape) for colour in COLOURS for shape in SHAPES if (colour, shape) not in NEW)
SIZE = 64  # of a picture, in pixels
CLEAR = 6  # pixels by which the horizontal and the vertical distance differ, so that it is clear which relation holds
SHARPNESS = 4  # points per pixel and axis, for smooth edges
MOST_TRIES = 50
NUM_SCENES = {"train": 8_000, "valid": 1_000, "test": 1_000}
SEED = 1


class Drawn(NamedTuple):
    """An object of a scene; `box` is its first column, first row, and the column and row after its last ones."""

    colour: str
    shape: str
    size: str
    box: tuple[int, int, int, int]


class Scenes(NamedTuple):
    """Pictures with captions.

    images : uint8 (scenes, SIZE, SIZE, 3)
    captions : list of str
    about : list of list of int
        For each word of a caption the object that it is about, 0 or 1; -1: none.
    boxes : int64 (scenes, 2, 4)
        The boxes of both objects, in the order of the caption; see `Drawn`.
    """

    images: Any
    captions: list[str]
    about: list[list[int]]
    boxes: Any


def make_scenes(count: int, rng: np.random.Generator, *, is_new: bool = False) -> Scenes:
    """Returns `count` scenes. `is_new`: every one has a pair of colour and shape that is never in training scenes."""
    images = np.zeros((count, SIZE, SIZE, 3), np.uint8)
    captions, about, boxes = [], [], np.zeros((count, 2, 4), np.int64)
    for number in range(count):
        first, second, relation = make_scene(rng, is_new=is_new)
        words, objects = describe(first, second, relation)
        captions.append(" ".join(words))
        about.append(objects)
        images[number], boxes[number] = draw(first, second, rng), (first.box, second.box)
    return Scenes(images, captions, about, boxes)


def scene_parts(seed: int = SEED) -> dict[str, Scenes]:
    """Returns the scenes of each part, the same for the same seed."""
    return {part: make_scenes(count, np.random.default_rng([seed, number]))
            for number, (part, count) in enumerate(NUM_SCENES.items())}  # fmt: skip


def make_scene(rng: np.random.Generator, *, is_new: bool) -> tuple[Drawn, Drawn, str]:
    """Returns the two objects of a scene, the first to be named first, and how they lie."""
    new = sorted(NEW)
    while True:
        looks = [SEEN[rng.integers(len(SEEN))] for _ in range(2)]
        if is_new:
            looks[rng.integers(2)] = new[rng.integers(len(new))]
        placed = place(looks, rng) if looks[0] != looks[1] else []
        if len(placed) < 2:
            continue
        first, second = sorted(placed, key=lambda each: (each.size != "large", each.box))
        across, down = (second.box[i] + second.box[i + 2] - first.box[i] - first.box[i + 2] for i in (0, 1))
        if abs(abs(across) - abs(down)) < 2 * CLEAR:  # of sums of two columns
            continue
        if abs(across) > abs(down):
            return first, second, "left of" if across > 0 else "right of"
        return first, second, "above" if down > 0 else "below"


def place(looks: list[tuple[str, str]], rng: np.random.Generator) -> list[Drawn]:
    """Returns objects with these colours and shapes that do not touch; fewer if there is no room."""
    placed: list[Drawn] = []
    for colour, shape in looks:
        size = tuple(SIDES)[rng.integers(2)]
        side = int(rng.integers(SIDES[size][0], SIDES[size][1] + 1))
        for _ in range(MOST_TRIES):
            x, y = (int(value) for value in rng.integers(1, SIZE - side - 1, 2))
            if all(x + side < box[0] or box[2] < x or y + side < box[1] or box[3] < y
                   for *_, box in placed):  # fmt: skip
                placed.append(Drawn(colour, shape, size, (x, y, x + side, y + side)))
                break
    return placed


def describe(first: Drawn, second: Drawn, relation: str) -> tuple[list[str], list[int]]:
    """Returns the words of a caption, and for each the object that it is about, 0 or 1; -1: none."""
    words, about = [], []
    is_sized = first.size != second.size
    for number, each in enumerate((first, second)):
        looks = [*([each.size] if is_sized else []), each.colour, each.shape]
        words += ["an" if looks[0] == "orange" else "a", *looks]
        about += [-1, *[number] * len(looks)]
        if not number:
            words += relation.split()
            about += [-1] * len(relation.split())
    return words, about


def draw(first: Drawn, second: Drawn, rng: np.random.Generator) -> Any:
    """Returns the picture of a scene, uint8 (SIZE, SIZE, 3). Ground and colours vary, and there is noise."""
    picture = np.full((SIZE, SIZE, 3), float(rng.integers(95, 160)))
    for colour, shape, _, (left, top, right, bottom) in (first, second):
        paint = np.clip(np.array(COLOURS[colour]) + rng.integers(-18, 19, 3), 0, 255)
        covered = coverage(shape, right - left)[:, :, None]
        part = picture[top:bottom, left:right]
        part += covered * (paint - part)
    picture += 6 * rng.standard_normal(picture.shape, np.float32)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


@functools.cache
def coverage(shape: str, side: int) -> Any:
    """Returns how much of each pixel a shape covers, float64 (side, side), from 0 to 1."""
    points = (np.arange(side * SHARPNESS) + 0.5) / (side * SHARPNESS)
    is_inside = SHAPE_TESTS[shape](points[None, :], points[:, None])
    whole = np.broadcast_to(is_inside, (side * SHARPNESS, side * SHARPNESS)).astype(float)
    return whole.reshape(side, SHARPNESS, side, SHARPNESS).mean(axis=(1, 3))


def in_ellipse(x: Any, y: Any, middle: tuple[float, float], radii: tuple[float, float]) -> Any:
    """Returns which points of the unit square lie in an ellipse."""
    return ((x - middle[0]) / radii[0]) ** 2 + ((y - middle[1]) / radii[1]) ** 2 <= 1


def in_polygon(x: Any, y: Any, corners: list[tuple[float, float]]) -> Any:
    """Returns which points of the unit square lie in a polygon: those from where a ray crosses its edges an odd number
    of times.
    """
    is_inside = np.zeros(np.broadcast(x, y).shape, bool)
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]]):
        if y0 != y1:
            is_inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return is_inside


def in_circle(x: Any, y: Any) -> Any:
    return in_ellipse(x, y, (0.5, 0.5), (0.5, 0.5))


def in_star(x: Any, y: Any) -> Any:
    radii = (0.5, 0.2)
    turns = [np.pi * i / 5 for i in range(10)]
    return in_polygon(x, y, [(0.5 + radii[i % 2] * np.sin(turn), 0.5 - radii[i % 2] * np.cos(turn))
                             for i, turn in enumerate(turns)])  # fmt: skip


def in_heart(x: Any, y: Any) -> Any:
    halves = in_ellipse(x, y, (0.265, 0.3), (0.265, 0.3)) | in_ellipse(x, y, (0.735, 0.3), (0.265, 0.3))
    return halves | in_polygon(x, y, [(0.04, 0.42), (0.96, 0.42), (0.5, 1.0)])


SHAPE_TESTS: dict[str, Any] = {
    "circle": in_circle,
    "square": lambda x, y: (x >= 0) & (y >= 0),
    "triangle": lambda x, y: abs(x - 0.5) <= y / 2,
    "star": in_star,
    "cross": lambda x, y: (abs(x - 0.5) <= 1 / 6) | (abs(y - 0.5) <= 1 / 6),
    "ring": lambda x, y: in_circle(x, y) & ~in_ellipse(x, y, (0.5, 0.5), (0.3, 0.3)),
    "heart": in_heart,
    "moon": lambda x, y: in_circle(x, y) & ~in_ellipse(x, y, (0.85, 0.45), (0.5, 0.5)),
}
