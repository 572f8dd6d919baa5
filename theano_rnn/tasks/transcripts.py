"""What was said as labels: the phonemes of the lexicon, or letters; and the recordings whose labels do not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from theano_rnn.settings.base import UserError
from theano_rnn.settings.speech import RecordingsConfig
from theano_rnn.sound.stacking import num_stacked
from theano_rnn.tasks.recordings import Recording, RecordingList
from theano_rnn.text.lexicon import Lexicon, read_lexicon

MAX_STORED_WORDS = 20_000  # of a larger lexicon, a checkpoint gets only the words of the transcripts
MOST_NAMED = 3  # misfits of each kind that are named; all are counted


class Misfit(Exception):
    """A recording cannot be used. `reason` is of a kind, `detail` of this recording."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


class Misfits:
    """The recordings of a part that are left out, by reason, and remarks on others."""

    def __init__(self) -> None:
        self.left_out: dict[str, list[tuple[str, str]]] = {}
        self.remarks: dict[str, list[str]] = {}

    def add(self, name: str, reason: str, detail: str) -> None:
        self.left_out.setdefault(reason, []).append((name, detail))

    def remark(self, name: str, remarks: Sequence[str]) -> None:
        for remark in remarks:
            self.remarks.setdefault(remark, []).append(name)

    def notes(self, part: str, count: int) -> list[str]:
        """Returns a line for each reason and each remark. `count` is the number of recordings of the part."""
        notes = []
        for reason, found in self.left_out.items():
            which = "; ".join(map(described, found[:MOST_NAMED])) + ("; ..." if len(found) > MOST_NAMED else "")
            notes.append(f"{part}: {len(found):,} of {count:,} recordings left out ({reason}): {which}")
        for remark, names in self.remarks.items():
            more = "" if len(names) == 1 else f", as {'is' if len(names) == 2 else 'are'} {len(names) - 1:,} more"
            notes.append(f"{part}: {names[0]} {remark}{more}")
        return notes

    def nothing_left(self, part: str, count: int) -> str:
        """Returns the message for a part of which no recording can be used."""
        if not self.left_out:
            return f"the {part} part has no recordings: give more, or name files with --{part}"
        reason, found = max(self.left_out.items(), key=lambda item: len(item[1]))
        return (f"none of the {count:,} recordings of the {part} part can be used; {len(found):,}: {reason}, such as "
                f"{described(found[0])}")  # fmt: skip


def described(misfit: tuple[str, str]) -> str:
    name, detail = misfit
    return detail if name in detail else f"{name}: {detail}" if detail else name


class Spelling:
    """Turns transcripts into labels.

    Attributes
    ----------
    labels : list of str
        Label k stands for ``labels[k - 1]``.
    lexicon : Lexicon or None
        None: labels are letters, with " " between words.
    """

    def __init__(self, labels: Sequence[str], lexicon: Lexicon | None) -> None:
        self.labels, self.lexicon = list(labels), lexicon
        self.ids = {label: number for number, label in enumerate(self.labels, start=1)}

    def labels_of(self, text: str | None) -> tuple[str, Any]:
        """Returns the transcript, spelled as in the lexicon, and its labels, int32 (labels,).

        Raises
        ------
        Misfit
            There is no transcript, or a word or label is not known.
        """
        if text is None:
            raise Misfit("no transcript")
        spelled, symbols = spelled_out(text, self.lexicon)
        unknown = list(dict.fromkeys(symbol for symbol in symbols if symbol not in self.ids))
        if unknown:
            what = "letter" if self.lexicon is None else "phoneme"
            raise Misfit(f"with a {what} that no training recording has", " ".join(map(repr, unknown[:5])))
        return spelled, np.array([self.ids[symbol] for symbol in symbols], np.int32)

    def check_length(self, num_frames: int, labels: Any, stacking: int) -> None:
        """Raises `Misfit` if CTC cannot place the labels: each needs an input, and a repeated label one more."""
        needed = len(labels) + int((labels[1:] == labels[:-1]).sum())
        available = int(num_stacked(num_frames, stacking))
        if available < needed:
            raise Misfit("too short for the labels; a lower --stacking may help",
                         f"{available} inputs for labels that need {needed}")  # fmt: skip

    @property
    def pronunciations(self) -> dict[str, list[str]]:
        """The pronunciations that consist of known phonemes, for the checkpoint."""
        if self.lexicon is None:
            return {}
        known = self.lexicon.pronunciations.items()
        found = {word: [each for each in spoken if set(each.split()) <= self.ids.keys()] for word, spoken in known}
        return {word: spoken for word, spoken in found.items() if spoken}

    def notes(self) -> list[str]:
        """Returns advice on the lexicon."""
        if self.lexicon is None:
            return []
        lacking = len(self.lexicon) - len(self.pronunciations)
        if not lacking:
            return []
        words, they = ("1 word", "it has") if lacking == 1 else (f"{lacking:,} words", "they have")
        return [f"{words} of the lexicon cannot be recognized: {they} phonemes that no training recording has"]


def spelled_out(text: str, lexicon: Lexicon | None) -> tuple[str, list[str]]:
    """Returns a transcript as it is compared with what is recognized, and its phonemes or letters.

    Of several pronunciations of a word, the first one counts.

    Raises
    ------
    Misfit
        The lexicon does not have a word.

    >>> spelled_out(" Three  FIVE", None)[0]
    'three five'
    """
    if lexicon is None:
        spelled = " ".join(text.lower().split())
        return spelled, list(spelled)
    words = text.split()
    found = [lexicon.find(word) for word in words]
    unknown = list(dict.fromkeys(word for word, spelling in zip(words, found) if spelling is None))
    if unknown:
        raise Misfit("with a word that is not in the lexicon", " ".join(unknown[:5]))
    spellings = [word for word in found if word is not None]
    return " ".join(spellings), [symbol for word in spellings for symbol in lexicon.pronunciations[word][0].split()]


def make_spelling(
    corpus: RecordingsConfig,
    lists: Mapping[str, Sequence[RecordingList]],
    known: Mapping[str, Any] | None,
    trained: Sequence[Recording],
) -> Spelling:
    """Returns the spelling of transcripts. Its labels are those of the training recordings, or of the `known` model.

    The lexicon is the file that `corpus` names, or else the one in a file of packed features, or the known model's.

    Raises
    ------
    UserError
        Phonemes are to be recognized, but there is no lexicon; or `known` has the other kind of labels.
    """
    if known is not None and bool(known["lexicon"]) != (corpus.label_unit == "phoneme"):
        kind = "phonemes" if known["lexicon"] else "letters"
        raise UserError(f"the initial model recognizes {kind}: add --label-unit {kind[:-1]}")
    lexicon = lexicon_of(corpus, lists, known) if corpus.label_unit == "phoneme" else None
    symbols: set[str] = set()
    words: set[str] = set()
    for recording in (each for found in lists.values() for one in found for each in one.recordings):
        if lexicon is not None and recording.text is not None:
            words.update(filter(None, map(lexicon.find, recording.text.split())))
    if lexicon is not None and len(lexicon) > MAX_STORED_WORDS:
        lexicon = lexicon.restricted(words)
    if known is not None:
        return Spelling(known["labels"], lexicon)
    for recording in trained:
        try:
            symbols.update(spelled_out(recording.text or "", lexicon)[1])
        except Misfit:
            continue
    return Spelling(sorted(symbols), lexicon)


def lexicon_of(
    corpus: RecordingsConfig, lists: Mapping[str, Sequence[RecordingList]], known: Mapping[str, Any] | None
) -> Lexicon:
    """Returns the lexicon of a file, or else of the known model and of packed features.

    The pronunciations of a known model come first, because it was trained with them: packed features add only words
    that the model lacks.
    """
    if corpus.lexicon is not None:
        return read_lexicon(corpus.lexicon, keep_stress=corpus.keep_stress)
    packed = [each.lexicon for found in lists.values() for each in found if each.lexicon is not None]
    if known is not None:
        own = Lexicon(known["lexicon"])
        more = {} if not packed else packed[0].pronunciations
        return Lexicon(own.pronunciations | {word: more[word] for word in more if own.find(word) is None})
    if packed:
        return packed[0]
    raise UserError("--label-unit phoneme needs the pronunciations of words: add --lexicon FILE, in the format of "
                    "CMUdict, or recognize letters with --label-unit letter")  # fmt: skip
