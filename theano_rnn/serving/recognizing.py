"""Recognizing recordings for the web page and the JSON interface of ``serve``, with plain values in and out."""

from __future__ import annotations

import base64
import binascii
import io
from typing import Any

import numpy as np

from theano_rnn.recognizer import Recognizer
from theano_rnn.settings.base import UserError
from theano_rnn.settings.speech import READY_MADE
from theano_rnn.settings.word_search import WordSearchConfig
from theano_rnn.sound.audio import open_sound
from theano_rnn.tasks.recognition_results import Recording
from theano_rnn.view.alignment_page import alignment_record

LIMITS = {
    "bytes": 12_000_000,  # of a sound file
    "seconds": 120,  # of a recording
    "characters": 2_000,  # of words to align
}
NUM_BEST = 5  # readings of a recording
MAX_BODY_BYTES = 4 * LIMITS["bytes"] // 3 + 16_384  # in base64, and the words
WARM_UP_SECONDS = (1.0, 2.5, 5.0)  # of recordings whose shapes are compiled before the first request


class ServedRecognizer:
    """A recognizer as the page and the JSON interface use it.

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

    def __init__(self, model: Recognizer, name: str) -> None:
        if model.extractor.config.features == READY_MADE:
            raise UserError("this model reads ready-made features, not sound, so it cannot be served: use it with "
                            "recognize")  # fmt: skip
        self.model = model
        self.name = name.encode("utf-8", "replace").decode()  # names of files need not be UTF-8, answers must

    def about(self) -> dict[str, Any]:
        """Name, kind, labels, sizes and limits. `words` is the size of the lexicon, 0 for a model of letters."""
        config = self.model.model.config
        return {
            "name": self.name,
            "kind": self.model.task.kind,
            "labels": self.model.labels,
            "words": len(self.model.decoder.words),
            "sample_rate": self.model.extractor.config.sample_rate,
            "cell": config.cell,
            "num_layers": config.num_layers,
            "hidden_size": config.hidden_size,
            "parameters": sum(int(p.get_value().size) for p in self.model.model.params.values()),
            "limits": LIMITS,
        }

    def answer(self, audio: str, text: str | None = None) -> dict[str, Any]:
        """Returns what is recognized in a sound file, or where given words are.

        Parameters
        ----------
        audio
            The file in base64.
        text : optional
            The words to align.

        Raises
        ------
        UserError
            The file cannot be read, or is too long; or the words do not fit.
        """
        samples, rate = read_upload(audio)
        frames = self.model.extractor.frames_of_samples(samples, rate)
        recording = Recording("recording", frames)
        if text is not None and text.strip():
            found = self.model.align(recording, text)
        else:
            found = next(self.model.stream([recording], WordSearchConfig(nbest=NUM_BEST)))
        return alignment_record(found, self.model.labels, self.model.seconds_per_step, samples=samples, rate=rate,
                                with_audio=False)  # fmt: skip


def read_upload(audio: str) -> tuple[Any, int]:
    """Returns the samples and the sampling rate of a sound file in base64. Raises `UserError` if it cannot be used."""
    try:
        content = base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError):
        raise UserError("audio must be a sound file in base64") from None
    if len(content) > LIMITS["bytes"]:
        raise UserError(f"the recording must have at most {LIMITS['bytes']:,} bytes, got {len(content):,}")
    with open_sound(io.BytesIO(content), "the recording") as sound:
        if sound.num_samples > LIMITS["seconds"] * sound.rate:
            raise UserError(f"the recording must have at most {LIMITS['seconds']} seconds, got "
                            f"{sound.num_samples / sound.rate:.0f}")  # fmt: skip
        return np.concatenate([np.zeros(0, np.float32), *sound.blocks()]), sound.rate


def warm_up(model: Recognizer) -> None:
    """Recognize noise, so that XLA compiles the usual shapes before the first request."""
    rate = model.extractor.config.sample_rate
    if rate is not None:
        for seconds in WARM_UP_SECONDS:
            noise = np.random.default_rng(0).normal(0, 100, int(seconds * rate))
            model.recognize_samples(noise, rate)
