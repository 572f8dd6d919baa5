"""Settings of training a recognizer: what each epoch changes in the recordings, and how long they may be."""

from __future__ import annotations

from dataclasses import dataclass

from theano_rnn.settings.base import setting, with_default
from theano_rnn.settings.training import TrainingConfig


@dataclass(frozen=True)
class RecognitionTrainingConfig(TrainingConfig):
    """Settings of training a recognizer.

    The defaults are those that AN4 was trained with (42 minutes of speech, 2 x 128 units).
    """

    input_dropout: float | None = with_default(TrainingConfig, "input_dropout", 0.0)  # frames have noise instead
    batch_size: int = with_default(TrainingConfig, "batch_size", 16)
    schedule: str = with_default(TrainingConfig, "schedule", "one_cycle")
    warmup: float | None = with_default(TrainingConfig, "warmup", 0.2)
    clip_norm: float = with_default(TrainingConfig, "clip_norm", 1.0)
    epochs: int = with_default(TrainingConfig, "epochs", 60)
    tempo: float = setting(
        0.15, "in each epoch, change the tempo of each training recording by a factor between 1 / (1 + X) and 1 + X; "
        "0: no change", kind=float, at_least=0, at_most=1,
    )  # fmt: skip
    warp: float = setting(
        0.2, "in each epoch, change the frequencies of each training recording by a factor between 1 / (1 + X) and "
        "1 + X, as if another person spoke; only for --features log-mel; 0: no change", kind=float, at_least=0,
        at_most=1,
    )  # fmt: skip
    noise: float = setting(
        0.5, "standard deviation of the noise that is added to the features in training, whose own is about 1",
        kind=float, at_least=0,
    )  # fmt: skip
    time_masks: int = setting(
        2, "number of intervals of each training recording that are hidden in each epoch (SpecAugment)", kind=int,
        at_least=0, at_most=100,
    )  # fmt: skip
    max_masked_frames: int = setting(
        24, "longest such interval, in frames; at most a fifth of a recording", kind=int, at_least=1
    )
    band_masks: int = setting(
        0, "number of ranges of frequencies of each training recording that are hidden in each epoch", kind=int,
        at_least=0, at_most=100,
    )  # fmt: skip
    max_masked_bands: int = setting(8, "widest such range, in features", kind=int, at_least=1)
    max_frames: int = setting(
        6_000, "leave out training recordings with more frames than this (6,000 are a minute): the memory for a "
        "training step grows with the longest recording", kind=int, at_least=1,
    )  # fmt: skip
