"""Describing pictures for the web page and the JSON interface of ``serve``, with plain values in and out."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np

from theano_rnn.captioner import Captioner
from theano_rnn.images.reading import jpeg_of, open_picture, picture_of, pixels_of
from theano_rnn.settings.base import UserError
from theano_rnn.settings.description import CaptionSearchConfig
from theano_rnn.tasks.caption_evaluation import is_trained_on_scenes
from theano_rnn.tasks.scenes import SEED, make_scenes
from theano_rnn.view.description_page import ShownPicture, picture_record

LIMITS = {"bytes": 12_000_000}  # of a picture file
NUM_BEST = 5  # captions of a picture
MAX_BODY_BYTES = 4 * LIMITS["bytes"] // 3 + 16_384  # in base64
SERVED = 4  # the number of the scenes of a page; parts of the data have smaller ones


class ServedCaptioner:
    """A captioner as the page and the JSON interface use it.

    Parameters
    ----------
    model
    name
        The name that is shown for it.

    Raises
    ------
    UserError
        The model reads ready-made features, which a page cannot make.
    """

    def __init__(self, model: Captioner, name: str) -> None:
        if model.reads_features:
            raise UserError("this model reads ready-made features, not pictures, so it cannot be served: use it with "
                            "describe")  # fmt: skip
        self.model = model
        self.name = name.encode("utf-8", "replace").decode()  # names of files need not be UTF-8, answers must

    def about(self) -> dict[str, Any]:
        """Name, kind, sizes and limits. `knows_scenes` says whether the model was trained on drawn scenes."""
        config = self.model.model.config
        return {
            "name": self.name,
            "kind": self.model.task.kind,
            "unit": self.model.vocabulary.text.unit,
            "height": config.height,
            "width": config.width,
            "rows": self.model.grid[0],
            "columns": self.model.grid[1],
            "cell": config.cell,
            "hidden_size": config.hidden_size,
            "vocab_size": config.vocab_size,
            "parameters": sum(int(p.get_value().size) for p in self.model.model.params.values()),
            "knows_scenes": is_trained_on_scenes(self.model),
            "limits": LIMITS,
        }

    def answer(self, picture: str | None = None, scene: int | None = None) -> dict[str, Any]:
        """Returns a picture's captions, and what each word of the best one attends to.

        Parameters
        ----------
        picture : optional
            The file in base64.
        scene : optional
            Instead of a picture: the number of a scene to draw.

        Raises
        ------
        UserError
            Neither or both are given; the file cannot be read or is too large; or the model knows no scenes.
        """
        if (picture is None) == (scene is None):
            raise UserError("give a picture or the number of a scene" + ("" if picture is None else ", not both"))
        truth = None
        if picture is not None:
            shown = open_picture(read_upload(picture), "the picture")
        else:
            if not is_trained_on_scenes(self.model):
                raise UserError("this model was not trained on scenes: give a picture")
            drawn = make_scenes(1, np.random.default_rng([SEED, SERVED, scene or 0]))
            shown, truth = picture_of(drawn.images[0]), drawn.captions[0]
        config = self.model.model.config
        pixels = pixels_of(shown, config.height, config.width)
        found = next(self.model.stream([("", pixels)], CaptionSearchConfig(beam_size=NUM_BEST, nbest=NUM_BEST)))
        captions = [(each.text, each.log_probability) for each in found.captions]
        record = picture_record(ShownPicture("", jpeg_of(shown), captions,
                                             self.model.attention(pixels, found.captions[0])))  # fmt: skip
        return {**{name: value for name, value in record.items() if name != "name"}, "truth": truth}


def read_upload(picture: str) -> bytes:
    """Returns the bytes of a picture file in base64. Raises `UserError` if they are not base64, or too many."""
    try:
        content = base64.b64decode(picture, validate=True)
    except (binascii.Error, ValueError):
        raise UserError("picture must be a picture file in base64") from None
    if len(content) > LIMITS["bytes"]:
        raise UserError(f"the picture must have at most {LIMITS['bytes']:,} bytes, got {len(content):,}")
    if not content:
        raise UserError("the picture is empty")
    return content


def warm_up(model: Captioner) -> None:
    """Describe a grey picture, so that XLA compiles the usual shapes before the first request."""
    config = model.model.config
    grey = np.full((config.height, config.width, 3), 128, np.uint8)
    found = next(model.stream([("", grey)], CaptionSearchConfig(beam_size=NUM_BEST, nbest=NUM_BEST)))
    model.attention(grey, found.captions[0])
