"""What a recognizer returns: words and labels in time, and counts of errors."""

from __future__ import annotations

from typing import Any, NamedTuple

from theano_rnn.scoring.error_rates import ErrorCounts
from theano_rnn.tasks.word_decoder import DecodedWords


class RecognizedLabel(NamedTuple):
    """A label, when it is recognized in seconds from the beginning, and the mean of its probability in this time."""

    label: str
    start: float
    end: float
    probability: float


class RecognizedWord(NamedTuple):
    """A word, when it is recognized in seconds from the beginning, and the mean probability of its labels."""

    word: str
    start: float
    end: float
    probability: float
    labels: tuple[RecognizedLabel, ...]


class Recognized(NamedTuple):
    """A recording and what is recognized in it.

    Attributes
    ----------
    name : str
    results : list of DecodedWords
        Sequences of words, the best first, with ln P(words | sound) and the score that ranks them. Of an alignment, the
        given words.
    words : list of RecognizedWord
        The words of the best result.
    labels : list of RecognizedLabel
        The phonemes or letters of the likeliest path, whatever the words are; of an alignment, those of the words.
    seconds : float
        The duration of the recording.
    log_probabilities : float64 (steps, labels + 1)
        ln P of the blank and each label in each step of the network.
    """

    name: str
    results: list[DecodedWords]
    words: list[RecognizedWord]
    labels: list[RecognizedLabel]
    seconds: float
    log_probabilities: Any

    @property
    def text(self) -> str:
        """The words of the best result; "" if there are none."""
        return " ".join(self.results[0].words)


class Recording(NamedTuple):
    """A name and the normalized frames of a recording, float32 (frames, features)."""

    name: str
    frames: Any


class SpeechReport(NamedTuple):
    """The errors of a recognizer in some recordings.

    `labels` are counted for the likeliest path, `words` for the best words. Confusions are pairs of what was recognized
    and what was said, None if one is missing, with how often they occur, the most frequent first.
    """

    labels: ErrorCounts
    words: ErrorCounts
    label_confusions: list[tuple[tuple[Any, Any], int]]
    word_confusions: list[tuple[tuple[Any, Any], int]]
    seconds: float
    notes: tuple[str, ...]


class TunedSearch(NamedTuple):
    """A weight of the language model and a word bonus, and the errors in words with them."""

    lm_weight: float
    word_bonus: float
    words: ErrorCounts
