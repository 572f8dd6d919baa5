"""Utterances as arrays: frames and labels of the training, validation and test parts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.settings.base import UserError
from theano_rnn.settings.speech import FeaturesConfig, RecordingsConfig
from theano_rnn.sound.extraction import FeatureExtractor
from theano_rnn.sound.normalization import measure
from theano_rnn.tasks.recordings import (
    SYNTHETIC_DIGITS,
    Recording,
    RecordingList,
    check_settings,
    explained,
    frames_of,
    held_out,
    make_extractor,
    read_list,
    settled_features,
    sizes_on_disk,
)
from theano_rnn.tasks.transcripts import Misfit, Misfits, Spelling, make_spelling

Progress = Callable[[int, int], None]  # called with the bytes read so far and the total


class Utterances(NamedTuple):
    """Recorded sentences and what was said in them. Arrays hold all utterances, one after another.

    Attributes
    ----------
    frames : float32 (frames, features)
        With slopes (`deltas`) and normalized, but not yet stacked.
    lengths : int64 (utterances,)
        The number of frames of each utterance, at least 1.
    labels : int32 (labels,)
        Label k stands for ``facts["labels"][k - 1]``; 0 is CTC's blank and is never a label.
    label_lengths : int64 (utterances,)
        The number of labels of each utterance; may be 0.
    names, transcripts, speakers : sequence of str (utterances,)
        Words of transcripts are spelled as in the lexicon, letters are lower case.
    """

    frames: Any
    lengths: Any
    labels: Any
    label_lengths: Any
    names: Sequence[str]
    transcripts: Sequence[str]
    speakers: Sequence[str]

    @property
    def num_utterances(self) -> int:
        return len(self.lengths)


class SpeechData(NamedTuple):
    """The parts, by name; the facts for the checkpoint; a hash of both; and notes on the data for the user.

    Facts are JSON values: "labels", the list of phonemes or letters; "features", see `FeatureExtractor.as_facts`; and
    "lexicon", the pronunciations of each word, empty for letters.
    """

    parts: dict[str, Utterances]
    facts: dict[str, Any]
    fingerprint: str
    notes: tuple[str, ...]


def load_utterances(
    corpus: RecordingsConfig,
    features: FeaturesConfig,
    *,
    known: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> SpeechData:
    """Returns the utterances of the files that `corpus` names; without a training file, synthetic spoken digits.

    Recordings that cannot be used are left out, and named and counted in the notes: files that cannot be read, words
    that the lexicon lacks, phonemes that no training recording has, and recordings with fewer inputs of the network
    than CTC needs for their labels.

    Parameters
    ----------
    known
        The facts of an existing model. Its labels, features and their normalization are kept; its lexicon is used if
        `corpus` and its files have none.
    progress
        Called with the bytes read so far and the total.

    Raises
    ------
    OSError, UserError
        As in `read_list` and `read_lexicon`; or no recording of a part can be used.
    """
    notes: list[str] = []
    if not corpus.train:
        corpus = with_default_files(corpus)
        notes.append("training on synthetic speech, digits spoken by espeak-ng: name your own recordings with --train")
    named = {"train": corpus.train, "valid": corpus.valid, "test": corpus.test}
    lists = {part: [read_list(path, keep_stress=corpus.keep_stress) for path in paths] for part, paths in named.items()}
    if known is None:
        extractor = make_extractor(settled_features(features, lists["train"]), lists["train"])
    else:
        extractor = FeatureExtractor.from_facts(known["features"])
    for each in (each for found in lists.values() for each in found):
        check_settings(each, extractor)
    chosen = {part: [recording for each in found for recording in each.recordings] for part, found in lists.items()}
    if not corpus.valid:
        is_valid, note = held_out(chosen["train"], corpus.valid_fraction)
        notes.append(note)
        chosen["valid"] = [each for each, valid in zip(chosen["train"], is_valid) if valid]
        chosen["train"] = [each for each, valid in zip(chosen["train"], is_valid) if not valid]
    spelling = make_spelling(corpus, lists, known, chosen["train"])
    total, num_read = sum(sum(sizes_on_disk(found)) for found in chosen.values()), 0
    parts = {}
    for part, recordings in chosen.items():
        if not recordings and part == "test":
            continue
        reader = Reader(extractor, spelling, part)

        def advance(num_bytes: int, before: int = num_read) -> None:
            if progress is not None:
                progress(before + num_bytes, total)

        parts[part] = reader.read(recordings, advance)
        num_read += sum(sizes_on_disk(recordings))
        notes += reader.misfits.notes(part, len(recordings))
    if known is None:
        train = parts["train"]
        extractor.normalization = measure(extractor.config.normalization, train.frames, train.lengths)
    parts = {part: normalized(found, extractor) for part, found in parts.items()}
    notes += spelling.notes()
    facts = {"labels": spelling.labels, "features": extractor.as_facts(), "lexicon": spelling.pronunciations}
    return SpeechData(parts, facts, fingerprint_of(parts, facts), tuple(notes))


def load_part(
    paths: Sequence[str], facts: Mapping[str, Any], *, lexicon: str | None = None, part: str = "test"
) -> tuple[Utterances, tuple[str, ...]]:
    """Returns the utterances of files for an existing model, whose facts are given, and notes on the data.

    Raises
    ------
    OSError, UserError
        As in `load_utterances`.
    """
    extractor = FeatureExtractor.from_facts(facts["features"])
    corpus = RecordingsConfig(lexicon=lexicon, label_unit="phoneme" if facts["lexicon"] else "letter")
    lists = {part: [read_list(path) for path in paths]}
    for each in lists[part]:
        check_settings(each, extractor)
    recordings = [recording for each in lists[part] for recording in each.recordings]
    reader = Reader(extractor, make_spelling(corpus, lists, facts, []), part)
    found = reader.read(recordings)
    return normalized(found, extractor), tuple(reader.misfits.notes(part, len(recordings)))


def with_default_files(corpus: RecordingsConfig) -> RecordingsConfig:
    """Returns the settings with the files of synthetic digits, for settings that name no training file.

    Raises
    ------
    UserError
        They name other files.
    """
    given = [name for name in ("valid", "test") if getattr(corpus, name)]
    if given:
        raise UserError(f"--{given[0]} needs training recordings: add --train FILE")
    values = {name: getattr(corpus, name) for name in corpus.__dataclass_fields__}
    return RecordingsConfig(**{**values, **{part: (path,) for part, path in SYNTHETIC_DIGITS.items()}})


class Reader:
    """Reads the recordings of a part, and collects those that do not fit."""

    def __init__(self, extractor: FeatureExtractor, spelling: Spelling, part: str) -> None:
        self.extractor, self.spelling, self.part = extractor, spelling, part
        self.misfits = Misfits()

    def read(self, recordings: Sequence[Recording], advance: Callable[[int], None] | None = None) -> Utterances:
        """Returns the utterances, not normalized.

        Raises
        ------
        UserError
            None of the recordings can be used.
        """
        frames, labels, kept, num_bytes = [], [], list[Recording](), 0
        for recording, size in zip(recordings, sizes_on_disk(recordings)):
            try:
                text, found = self.spelling.labels_of(recording.text)
                extracted = frames_of(recording, self.extractor)
                self.spelling.check_length(len(extracted.frames), found, self.extractor.config.stacking)
            except Misfit as misfit:
                self.misfits.add(recording.name, misfit.reason, misfit.detail)
            except (OSError, UserError) as error:
                self.misfits.add(recording.name, "cannot be used", explained(error))
            else:
                self.misfits.remark(recording.name, extracted.remarks)
                frames.append(extracted.frames)
                labels.append(found)
                kept.append(recording._replace(text=text))
            num_bytes += size
            if advance is not None:
                advance(num_bytes)
        if not kept:
            raise UserError(self.misfits.nothing_left(self.part, len(recordings)))
        return Utterances(
            np.concatenate(frames), np.array([len(each) for each in frames], np.int64),
            np.concatenate(labels).astype(np.int32), np.array([len(each) for each in labels], np.int64),
            [each.name for each in kept], [each.text or "" for each in kept], [each.speaker for each in kept],
        )  # fmt: skip


def normalized(utterances: Utterances, extractor: FeatureExtractor) -> Utterances:
    """Returns the utterances with normalized frames."""
    assert extractor.normalization is not None
    return utterances._replace(frames=extractor.normalization.apply(utterances.frames, utterances.lengths))


def fingerprint_of(parts: Mapping[str, Utterances], facts: Mapping[str, Any]) -> str:
    """Returns a SHA-256 of all parts and facts, hexadecimal."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for part, found in parts.items():
        digest.update(json.dumps([part, found.transcripts, found.speakers]).encode())
        for array in found[:4]:
            digest.update(f"{array.dtype} {array.shape} ".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


__all__ = ["RecordingList", "SpeechData", "Utterances", "load_part", "load_utterances"]
