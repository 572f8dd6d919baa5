"""Frames of sound that is still arriving, as from a microphone; the same frames as those of the whole recording."""

from __future__ import annotations

from typing import Any

import numpy as np

from theano_rnn.settings.base import UserError
from theano_rnn.sound.deltas import REACH, with_deltas
from theano_rnn.sound.extraction import FeatureExtractor
from theano_rnn.sound.features import FrameStream
from theano_rnn.sound.resampling import Resampler

STREAMED = ("global", "none")  # kinds of normalization that do not need the whole recording


class ArrivingFrames:
    """Computes the normalized frames of samples that arrive in pieces.

    With slopes (`deltas`), a frame is complete when the following frames that its slopes need are there: two for each
    order.

    Parameters
    ----------
    extractor
        Of the model. Its normalization must be global or none.
    rate
        Samples per second, in Hz; at least the model's.

    Raises
    ------
    UserError
        The model needs the whole recording, or features instead of sound, or a higher rate.
    """

    def __init__(self, extractor: FeatureExtractor, rate: int) -> None:
        config = extractor.config
        if config.normalization not in STREAMED:
            raise UserError(f"this model was trained with --normalization {config.normalization}, which needs the "
                            "whole recording: train one with --normalization global")  # fmt: skip
        wanted = config.sample_rate or rate
        if rate < wanted:
            raise UserError(f"the sound has {rate:,} Hz, but the model needs {wanted:,} Hz: record it at a higher rate")
        self.extractor, self.stream = extractor, FrameStream(config, wanted)
        self.resampler = Resampler(rate, wanted) if rate > wanted else None
        self.delay = REACH * config.deltas  # frames
        self.frames: Any = np.zeros((0, self.stream.size), np.float32)  # not returned yet, and `num_old` before these
        self.num_old = 0

    def push(self, samples: Any) -> Any:
        """Returns the frames that these samples complete, float32 (frames, features).

        Samples are in the range of 16 bits, -32,768 to 32,767.
        """
        return self.completed(samples if self.resampler is None else self.resampler.push(samples), self.delay)

    def finish(self) -> Any:
        """Returns the last frames, when all samples have arrived."""
        return self.completed(np.zeros(0) if self.resampler is None else self.resampler.finish(), 0)

    def completed(self, samples: Any, delay: int) -> Any:
        """Returns the frames that these samples complete, if the last `delay` frames must wait."""
        self.frames = np.concatenate([self.frames, self.stream.push(samples)])
        end = max(self.num_old, len(self.frames) - delay)
        found = with_deltas(self.frames, self.extractor.config.deltas)[self.num_old : end]
        kept = min(end, self.delay)  # frames before the next ones, which their slopes need
        self.frames, self.num_old = self.frames[end - kept :], kept
        return self.extractor.normalized(found)
