"""Read recordings from manifests and files of packed features, and choose those for validation."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.settings.base import UserError
from theano_rnn.settings.speech import READY_MADE, FeaturesConfig
from theano_rnn.sound.audio import open_sound
from theano_rnn.sound.deltas import with_deltas
from theano_rnn.sound.extraction import Extracted, FeatureExtractor, is_feature_file, size_of, with_stored
from theano_rnn.sound.feature_files import check_finite, is_packed, read_features, read_packed
from theano_rnn.text.lexicon import Lexicon
from theano_rnn.text.manifests import read_manifest

SYNTHETIC_DIGITS = {
    part: str(Path(__file__).parents[1] / "data" / f"synthetic_digits_{part}.npz") for part in ("train", "valid")
}


class Recording(NamedTuple):
    """A recording: its transcript (None: not known), its speaker ("": not known), and its path or its frames."""

    name: str
    text: str | None
    speaker: str
    path: str
    frames: Any = None

    @property
    def is_sound(self) -> bool:
        return self.frames is None and not is_feature_file(self.path)


class RecordingList(NamedTuple):
    """The recordings of one file, and the lexicon and the settings of features in it, or None."""

    name: str
    recordings: list[Recording]
    lexicon: Lexicon | None = None
    settings: Mapping[str, Any] | None = None


def read_list(path: str, *, keep_stress: bool = False) -> RecordingList:
    """Returns the recordings that a manifest lists, or that a file of packed features has.

    Raises
    ------
    OSError, UserError
        As in `read_manifest` and `read_packed`.
    """
    if not (path.lower().endswith(".npz") or is_packed(path)):
        return RecordingList(
            path, [Recording(row.audio, row.text, row.speaker, row.audio) for row in read_manifest(path)]
        )
    packed = read_packed(path)
    ends = np.cumsum(packed.lengths)[:-1]
    frames = np.split(packed.frames, ends) if len(packed.lengths) else []
    found = [Recording(*values[:3], path, values[3])
             for values in zip(packed.names, packed.texts, packed.speakers, frames)]  # fmt: skip
    if not found:
        raise UserError(f"{path} contains no recordings")
    lexicon = None
    if packed.lexicon:
        lexicon = Lexicon.from_lines(packed.lexicon, f"the lexicon in {path}", keep_stress=keep_stress)
    return RecordingList(path, found, lexicon, packed.settings)


def settled_features(config: FeaturesConfig, lists: Sequence[RecordingList]) -> FeaturesConfig:
    """Returns the settings with `features` and `sample_rate` filled in, to suit the training recordings.

    Raises
    ------
    UserError
        Some recordings are sound and others ready-made features, or the settings name what the recordings are not.
    """
    stored = next((each.settings for each in lists if each.settings is not None), None)
    if stored is not None:
        return with_stored(config, stored)
    recordings = [recording for each in lists for recording in each.recordings]
    are_sound = {recording.is_sound for recording in recordings}
    if len(are_sound) > 1:
        raise UserError("some training recordings are sound and others ready-made features: use one kind")
    values = {item: getattr(config, item) for item in config.__dataclass_fields__}
    if not are_sound.pop():
        if config.features not in (None, READY_MADE):
            raise UserError(f"the training recordings are ready-made features, not sound: leave out --features "
                            f"{config.features}")  # fmt: skip
        return FeaturesConfig(**{**values, "features": READY_MADE})
    if config.features == READY_MADE:
        raise UserError("the training recordings are sound, not ready-made features: leave out --features")
    rate = config.sample_rate or commonest_rate(recordings)
    return FeaturesConfig(**{**values, "features": config.features or "log-mel", "sample_rate": rate})


def commonest_rate(recordings: Sequence[Recording]) -> int:
    """Returns the sampling rate in Hz that most recordings have; of several, the lowest.

    Raises
    ------
    UserError
        No recording can be read. The message is that of the first one.
    """
    counts: Counter[int] = Counter()
    first: Exception | None = None
    for recording in recordings:
        try:
            with open_sound(recording.path) as sound:
                counts[sound.rate] += 1
        except (OSError, UserError) as error:
            first = first or error
    if not counts:
        raise UserError(f"no training recording can be read; the first problem: {explained(first)}")
    return min(counts, key=lambda rate: (-counts[rate], rate))


def explained(error: Exception | None) -> str:
    """Returns an error in words."""
    if isinstance(error, FileNotFoundError):
        return f"cannot find {error.filename}" if error.filename else str(error)
    return f"cannot read {error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)


def make_extractor(config: FeaturesConfig, lists: Sequence[RecordingList]) -> FeatureExtractor:
    """Returns an extractor for settled settings. The number of ready-made features is that of the first readable file.

    Raises
    ------
    UserError
        No file can be read, or as in `FeatureExtractor`.
    """
    packed = next((each.recordings[0].frames for each in lists if each.recordings[0].frames is not None), None)
    if packed is not None:
        return FeatureExtractor(config, packed.shape[1])
    if config.features != READY_MADE:
        return FeatureExtractor(config, size_of(config))
    first: Exception | None = None
    for recording in (recording for each in lists for recording in each.recordings):
        try:
            return FeatureExtractor(config, read_features(recording.path).shape[1])
        except (OSError, UserError) as error:
            first = first or error
    raise UserError(f"no training recording can be read; the first problem: {explained(first)}")


def check_settings(found: RecordingList, extractor: FeatureExtractor) -> None:
    """Raises `UserError` if packed features were computed with other settings than those of the extractor."""
    if found.settings is None:
        return
    ours, theirs = extractor.config, with_stored(extractor.config, found.settings)
    for name in ours.__dataclass_fields__:
        if getattr(ours, name) != getattr(theirs, name):
            raise UserError(f"{found.name} has features with {name} {getattr(theirs, name)}, but the model's have "
                            f"{name} {getattr(ours, name)}: compute them with the same settings")  # fmt: skip


def frames_of(recording: Recording, extractor: FeatureExtractor) -> Extracted:
    """Returns the frames of a recording with slopes, not normalized. Raises the same as `FeatureExtractor.frames`."""
    if recording.frames is None:
        return extractor.raw_frames(recording.path)
    check_finite(recording.frames, recording.name)
    extractor.check_size(recording.frames, recording.name)
    return Extracted(with_deltas(recording.frames, extractor.config.deltas))


def sizes_on_disk(recordings: Sequence[Recording]) -> Iterator[int]:
    """Yields the bytes of each recording's file, 0 if it is in memory or missing."""
    for recording in recordings:
        try:
            yield os.stat(recording.path).st_size if recording.frames is None else 0
        except OSError:
            yield 0


def held_out(recordings: Sequence[Recording], fraction: float) -> tuple[Any, str]:
    """Choose the validation recordings among the training recordings, by speakers, the same each time.

    With k = 1 / fraction, rounded, every k-th of the sorted speakers is for validation, beginning with the middle one
    of the first k; of fewer speakers, at least three, the middle one. Of one or two speakers, it is the last
    recordings of each.

    Returns
    -------
    is_valid : bool (recordings,)
    note : str
        For the user.
    """
    speakers = np.array([recording.speaker for recording in recordings])
    names = np.unique(speakers)
    step = max(2, round(1 / fraction))
    if len(names) > 2:
        chosen = names[step // 2 :: step] if len(names) > step // 2 else names[[len(names) // 2]]
        is_valid = np.isin(speakers, chosen)
        listed = ", ".join(chosen[:8]) + (", ..." if len(chosen) > 8 else "")
        return is_valid, (f"validation: {int(is_valid.sum()):,} recordings of {len(chosen)} of {len(names)} speakers "
                          f"({listed}), who are not trained on")  # fmt: skip
    is_valid = np.zeros(len(speakers), bool)
    for name in names:
        places = np.flatnonzero(speakers == name)
        is_valid[places[len(places) - max(1, round(len(places) * fraction)) :]] = len(places) > 1
    known = "no speakers are named" if names.tolist() == [""] else f"there are only {len(names)} speakers"
    known = "there is only one speaker" if len(names) == 1 and names[0] else known
    return is_valid, (f"validation: the last {int(is_valid.sum()):,} recordings, because {known}: errors on new "
                      "speakers will be more frequent")  # fmt: skip
