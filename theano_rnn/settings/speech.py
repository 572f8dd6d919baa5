"""Settings of speech recognition: how sound becomes frames, and which recordings are read."""

from __future__ import annotations

from dataclasses import dataclass

from theano_rnn.settings.base import Section, UserError, setting

READY_MADE = "ready-made"
TRAIN_HELP = (
    "training recordings: a manifest (.jsonl or .tsv with columns audio, text and speaker), or features in one .npz "
    "file (default: synthetic spoken digits)"
)
FEATURES_HELP = (
    "what a frame is made of. log-mel: the logarithm of the energy in each band; mfcc: cepstral coefficients of these; "
    f"{READY_MADE}: the numbers in .npy and .npz files (default: log-mel for sound, {READY_MADE} for such files)"
)
NORMALIZATION_HELP = (
    "how features are shifted and scaled. mean: subtract each recording's mean, divide by the standard deviation of "
    "the training part; mean-variance: use the mean and standard deviation of each recording; global: use those of the "
    "training part, which works while a recording is still arriving; none"
)


@dataclass(frozen=True)
class FeaturesConfig(Section):
    """How sound becomes frames. Stored in the checkpoint, so that recordings are read as in training.

    Frequencies are in Hz, durations in milliseconds.
    """

    features: str | None = setting(None, FEATURES_HELP, choices=("log-mel", "mfcc", READY_MADE))
    sample_rate: int | None = setting(
        None, "sampling rate of all recordings, in Hz (default: that of the first training recording)", kind=int,
        at_least=1000, at_most=384_000, metavar="HZ",
    )  # fmt: skip
    window_ms: float = setting(25.0, "length of the window of a frame, in ms", kind=float, at_least=1, at_most=1000)
    shift_ms: float = setting(
        10.0, "time from one frame to the next, in ms, also of ready-made features", kind=float, at_least=1,
        at_most=1000,
    )  # fmt: skip
    bands: int = setting(
        40, "number of frequency bands, equally wide on the mel scale", kind=int, at_least=3, at_most=512
    )
    low_hz: float = setting(20.0, "lower limit of the lowest band, in Hz", kind=float, at_least=0)
    high_hz: float | None = setting(
        None, "upper limit of the highest band, in Hz (default: half the sampling rate)", kind=float, above=0
    )
    coefficients: int = setting(
        13, "with --features mfcc, number of cepstral coefficients, the zeroth included", kind=int, at_least=1
    )
    preemphasis: float = setting(
        0.97, "subtract this times the previous sample, which raises high frequencies; 0: do not", kind=float,
        at_least=0, at_most=1,
    )  # fmt: skip
    noise_floor: float = setting(
        3.0, "add the energy of noise with this standard deviation, in steps of 16-bit samples, so that silence "
        "without any noise is like that of a quiet room; 0: add nothing", kind=float, at_least=0,
    )  # fmt: skip
    deltas: int = setting(
        0, "append the features' slopes over time. 1: the slopes; 2: also the slopes of the slopes", kind=int,
        at_least=0, at_most=2,
    )  # fmt: skip
    stacking: int = setting(
        3, "number of successive frames that are one input of the network; more make it faster", kind=int, at_least=1,
        at_most=16,
    )  # fmt: skip
    normalization: str = setting("mean", NORMALIZATION_HELP, choices=("mean", "mean-variance", "global", "none"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.features == "mfcc" and self.coefficients > self.bands:
            raise UserError(f"coefficients must be at most bands, {self.bands}, got {self.coefficients}")
        limit = self.sample_rate / 2 if self.sample_rate is not None else None
        high = self.high_hz if self.high_hz is not None else limit
        if limit is not None and high is not None and high > limit:
            raise UserError(f"high_hz must be at most half the sampling rate, {limit:g}, got {high:g}")
        if high is not None and high <= self.low_hz:
            raise UserError(f"high_hz must be greater than low_hz, {self.low_hz:g}, got {high:g}")


@dataclass(frozen=True)
class RecordingsConfig(Section):
    """Which recordings are read, how they are split, and what is recognized in them."""

    train: tuple[str, ...] = setting((), TRAIN_HELP, kind=tuple, metavar="FILE")
    valid: tuple[str, ...] = setting(
        (), "validation recordings (default: those of some speakers of the training recordings)", kind=tuple,
        metavar="FILE",
    )  # fmt: skip
    test: tuple[str, ...] = setting((), "test recordings (default: none)", kind=tuple, metavar="FILE")
    lexicon: str | None = setting(
        None, "pronunciations in the format of CMUdict: WORD P H O N E M E S on each line; the first one of a word is "
        "learned, all are recognized (default: the one in the .npz file)", metavar="FILE",
    )  # fmt: skip
    label_unit: str = setting(
        "phoneme", "what is recognized. phoneme: the phonemes of the lexicon; letter: the letters of the transcripts, "
        "without a lexicon", choices=("phoneme", "letter"),
    )  # fmt: skip
    keep_stress: bool = setting(
        False, "keep the digits that mark stress in the lexicon, so that AH0 and AH1 are two phonemes", kind=bool
    )
    valid_fraction: float = setting(
        0.11, "fraction of the speakers whose recordings are for validation; of a single speaker, the fraction of "
        "recordings; ignored with --valid", kind=float, above=0, at_most=0.5,
    )  # fmt: skip
    init_from: str | None = setting(
        None, "start from this checkpoint: train its network on the new recordings", metavar="FILE"
    )
