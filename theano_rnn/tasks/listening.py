"""Recognize speech while it arrives: frames, the network's outputs and words of the samples so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from theano_rnn.settings.base import UserError
from theano_rnn.settings.word_search import WordSearchConfig
from theano_rnn.sound.arriving_frames import ArrivingFrames
from theano_rnn.sound.extraction import FeatureExtractor
from theano_rnn.sound.stacking import stacked
from theano_rnn.tasks.recording_outputs import DIVERGED
from theano_rnn.tasks.word_decoder import DecodedWords, WordDecoder


class Listening:
    """Recognizes samples that arrive in pieces; what it finds in the end is what is found in the whole recording.

    Parameters
    ----------
    step
        ``step(frames_t (1, inputs), *state) -> [log-probabilities (1, labels + 1), *state]``.
    state
        The state before the first frame.
    extractor, decoder
        Of the model.
    rate
        Samples per second, in Hz.
    config
        Settings of the search for words.

    Attributes
    ----------
    num_frames : int
        The frames so far.
    words : tuple of str
        The words so far. Later sound may still change the last ones.

    Raises
    ------
    UserError
        As in `ArrivingFrames`.
    """

    def __init__(
        self, step: Callable[..., Sequence[Any]], state: Sequence[Any], extractor: FeatureExtractor,
        decoder: WordDecoder, rate: int, config: WordSearchConfig, dtype: str = "float32",
    ) -> None:  # fmt: skip
        self.step, self.state, self.decoder, self.config, self.dtype = step, list(state), decoder, config, dtype
        self.stacking, self.arriving = extractor.config.stacking, ArrivingFrames(extractor, rate)
        self.search = decoder.new_search(config)
        self.waiting: Any = np.zeros((0, extractor.num_features), np.float32)  # fewer frames than a step needs
        self.rows: list[Any] = [np.zeros((0, len(decoder.labels) + 1))]
        self.num_frames, self.words = 0, tuple[str, ...]()

    @property
    def log_probabilities(self) -> Any:
        """ln P of the blank and each label in each step so far, float64 (steps, labels + 1)."""
        return np.concatenate(self.rows)

    def push(self, samples: Any) -> tuple[str, ...]:
        """Take samples from -32,768 to 32,767, float (samples,). Returns the words so far.

        Raises
        ------
        UserError
            The model's outputs are not numbers.
        """
        frames = self.arriving.push(samples)
        self.num_frames += len(frames)
        self.waiting = np.concatenate([self.waiting, frames])
        whole = len(self.waiting) - len(self.waiting) % self.stacking
        self.read(self.waiting[:whole])
        self.waiting = self.waiting[whole:]
        return self.words

    def finish(self) -> list[DecodedWords]:
        """Returns the best sequences of words, when all samples have arrived."""
        frames = self.arriving.finish()
        self.num_frames += len(frames)
        self.read(np.concatenate([self.waiting, frames]))
        self.waiting = self.waiting[:0]
        return self.decoder.decoded(self.search, self.config)

    def read(self, frames: Any) -> None:
        """Compute the outputs for frames, and search on."""
        for frame in stacked(frames, self.stacking):
            values, *self.state = self.step(frame[None].astype(self.dtype), *self.state)
            row = np.asarray(values, np.float64)
            if np.isnan(row).any():
                raise UserError(DIVERGED)
            self.rows.append(row)
            self.search.push(row)
        if len(frames):
            self.words = self.decoder.decoded(self.search, self.config)[0].words
