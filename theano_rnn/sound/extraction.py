"""From a recording to the frames that a model reads, with the settings and measured values of its checkpoint."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

from theano_rnn.settings.base import UserError, from_mapping, to_mapping
from theano_rnn.settings.speech import READY_MADE, FeaturesConfig
from theano_rnn.sound.audio import Sound, open_sound
from theano_rnn.sound.deltas import with_deltas
from theano_rnn.sound.feature_files import read_features
from theano_rnn.sound.features import FrameStream, extract_blocks
from theano_rnn.sound.normalization import Normalization
from theano_rnn.sound.resampling import resampled_blocks

FEATURE_FILES = (".npy", ".npz")


class Extracted(NamedTuple):
    """The frames of a recording, float32 (frames, features), and remarks on the file, each a few words."""

    frames: Any
    remarks: tuple[str, ...] = ()


def is_feature_file(path: str) -> bool:
    """Returns whether a path names ready-made features: ``FILE.npy``, ``FILE.npz`` or ``FILE.npz#NAME``."""
    return path.lower().endswith(FEATURE_FILES) or ".npz#" in path.lower()


class FeatureExtractor:
    """Computes the frames of recordings.

    Parameters
    ----------
    config
        With `features` and, unless these are ready-made, `sample_rate`; neither may be None.
    size
        The number of features of a frame before slopes are added.
    normalization
        None: frames are not normalized.

    Raises
    ------
    UserError
        As in `FrameStream`.
    """

    def __init__(self, config: FeaturesConfig, size: int, normalization: Normalization | None = None) -> None:
        self.config, self.size, self.normalization = config, size, normalization

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> FeatureExtractor:
        """Returns the extractor that `as_facts` described: the fact "features" of a checkpoint.

        Raises
        ------
        UserError
            The facts are damaged.
        """
        try:
            config = from_mapping(FeaturesConfig, facts)
            return cls(config, int(facts["size"]), Normalization.from_facts(config.normalization, facts))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"the checkpoint's settings of features are damaged ({error}): train it again") from None

    def as_facts(self) -> dict[str, Any]:
        """Returns all settings and measured values as JSON values.

        They are the fields of `FeaturesConfig`, "size", and "mean" and "scale", which are lists or None.
        """
        normalization = self.normalization or Normalization(self.config.normalization)
        return {**to_mapping(self.config), "size": self.size, **normalization.as_facts()}

    @property
    def num_features(self) -> int:
        """The number of features of a frame, with slopes, before frames are stacked."""
        return self.size * (1 + self.config.deltas)

    @property
    def seconds_per_frame(self) -> float:
        """The time from one frame to the next, in seconds, before frames are stacked."""
        return self.config.shift_ms / 1000

    def frames(self, file: str | os.PathLike[str] | IO[bytes], name: str | None = None) -> Extracted:
        """Returns the normalized frames of a recording: of a path, or of an open binary file.

        Raises
        ------
        OSError
            The file cannot be opened.
        UserError
            It is not a recording for this model, or is too short for a single frame.
        """
        found = self.raw_frames(file, name)
        return found._replace(frames=self.normalized(found.frames))

    def frames_of_samples(self, samples: Any, rate: int) -> Any:
        """Returns the normalized frames of samples in the range of 16 bits, as `frames`."""
        return self.normalized(self.of_blocks([samples], rate, len(samples), "the sound"))

    def normalized(self, frames: Any) -> Any:
        return frames if self.normalization is None else self.normalization.apply(frames, [len(frames)])

    def raw_frames(self, file: str | os.PathLike[str] | IO[bytes], name: str | None = None) -> Extracted:
        """Returns the frames of a recording with slopes, not normalized. Raises the same as `frames`."""
        if self.config.features == READY_MADE:
            if not isinstance(file, (str, os.PathLike)) or not is_feature_file(os.fspath(file)):
                raise UserError(f"{name or file} is not a file of features (.npy, .npz), which this model reads")
            frames = read_features(os.fspath(file))
            self.check_size(frames, os.fspath(file))
            return Extracted(with_deltas(frames, self.config.deltas))
        with open_sound(file, name) as sound:
            frames = self.of_blocks(sound.blocks(), sound.rate, sound.num_samples, sound.name)
            return Extracted(frames, self.remarks(sound))

    def check_size(self, frames: Any, name: str) -> None:
        """Raises `UserError` if there are no frames, or these have another number of features."""
        if frames.shape[1] != self.size:
            raise UserError(f"{name} has {frames.shape[1]} features in a frame, but the other recordings have "
                            f"{self.size}")  # fmt: skip
        if not len(frames):
            raise UserError(f"{name} has no frames")

    def of_blocks(self, blocks: Any, rate: int, num_samples: int, name: str) -> Any:
        """Returns frames with slopes, not normalized, of samples in blocks."""
        wanted = self.config.sample_rate
        assert wanted is not None
        if rate < wanted:
            raise UserError(f"{name} has {rate:,} Hz, but {wanted:,} Hz are needed, and what a recording lacks cannot "
                            f"be made up: record it again, or train with --sample-rate {rate}")  # fmt: skip
        if rate > wanted:
            blocks = resampled_blocks(blocks, rate, wanted)
        frames = extract_blocks(blocks, wanted, self.config)
        if not len(frames):
            raise UserError(f"{name} is too short: it has {1000 * num_samples / rate:.0f} ms, and a frame needs "
                            f"{self.config.window_ms:g} ms")  # fmt: skip
        return with_deltas(frames, self.config.deltas)

    def remarks(self, sound: Sound) -> tuple[str, ...]:
        """Returns what a user should know about a file."""
        found = []
        if sound.num_channels > 1:
            found.append(f"has {sound.num_channels} channels, which are averaged")
        if sound.rate != self.config.sample_rate:
            found.append(f"is resampled from {sound.rate:,} Hz to {self.config.sample_rate:,} Hz")
        if sound.num_missing:
            found.append("is truncated: its end is missing")
        return tuple(found)


def size_of(config: FeaturesConfig) -> int:
    """Returns the number of features of a frame of sound, before slopes are added.

    Raises
    ------
    UserError
        As in `FrameStream`.
    """
    assert config.sample_rate is not None
    return FrameStream(config, config.sample_rate).size


def with_stored(config: FeaturesConfig, stored: Mapping[str, Any]) -> FeaturesConfig:
    """Returns settings in which those that decide how a frame is computed are `stored` ones.

    Slopes, stacking and normalization, which come afterwards, stay those of `config`.
    """
    later = ("deltas", "stacking", "normalization")
    names = {item.name for item in dataclasses.fields(config)} - set(later)
    return dataclasses.replace(config, **{name: value for name, value in stored.items() if name in names})
