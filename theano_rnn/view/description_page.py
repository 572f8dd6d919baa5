"""The page of ``describe --page``: pictures and captions, and for each word the picture, light where it looks."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

from theano_rnn.view.pages import build_page


class ShownPicture(NamedTuple):
    """A picture of the page: its name, the bytes of a JPEG file (None: it is not known), captions with their
    probabilities in nats, the best first, and a `captioner.Attention` of the best.
    """

    name: str
    jpeg: bytes | None
    captions: Sequence[tuple[str, float]]
    attention: Any


def description_page(pictures: Sequence[ShownPicture], *, about: str) -> str:
    """Build the page as HTML. `about` is one line that describes the model."""
    return build_page("described", described={"about": about, "pictures": list(map(picture_record, pictures))})


def picture_record(picture: ShownPicture) -> dict[str, Any]:
    """Returns a picture as plain values, the weights with four digits, row by row."""
    words, weights = picture.attention
    shown = None
    if picture.jpeg is not None:
        shown = "data:image/jpeg;base64," + base64.b64encode(picture.jpeg).decode()
    return {
        "name": picture.name,
        "picture": shown,
        "captions": [[text, round(log_p, 3)] for text, log_p in picture.captions],
        "words": list(words),
        "rows": int(weights.shape[1]),
        "columns": int(weights.shape[2]),
        "weights": [[round(float(weight), 4) for weight in each.ravel()] for each in weights],
    }
