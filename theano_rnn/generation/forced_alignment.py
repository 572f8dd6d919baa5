"""Forced alignment: when each given label or word is recognized, by the likeliest path that gives it (Viterbi).

A network that was trained with CTC decides on its own when to give a label: usually for a few frames within the sound,
but it is free to give it earlier or later. So the times are those of recognition; they do not say where a sound begins
and ends.

>>> log_p = np.log([[0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.9, 0.05, 0.05], [0.3, 0.4, 0.3]])
>>> found = align_labels(log_p, [1, 2])
>>> [(each.label, each.first, each.last, round(each.probability, 2)) for each in found.segments]
[(1, 0, 1, 0.75), (2, 3, 3, 0.3)]
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.generation.ctc_decoding import BLANK, Segment, segment
from theano_rnn.settings.base import UserError

MAX_EXACT_CELLS = 1 << 26  # frames times states, a byte each; of longer utterances only likely states are followed
MARGIN = 500.0  # nats
MAX_CELLS = 1 << 31
BETWEEN = -1  # the word of states between words


class AlignedWord(NamedTuple):
    """A word: which of its pronunciations is the likeliest, and the segments of its labels."""

    pronunciation: int
    segments: list[Segment]


class Alignment(NamedTuple):
    """The likeliest path that gives some labels.

    Attributes
    ----------
    path : int64 (frames,)
        The label of each frame, 0 for the blank.
    segments : list of Segment
        One for each label, in order.
    words : list of AlignedWord
        One for each word; of `align_labels`, a single one.
    log_probability : float
        ln P of the path, in nats.
    """

    path: Any
    segments: list[Segment]
    words: list[AlignedWord]
    log_probability: float


class States:
    """The states of an alignment. Each emits a label, and is entered from itself or from some states before it."""

    def __init__(self) -> None:
        self.labels: list[int] = []
        self.before: list[list[int]] = []
        self.origins: list[tuple[int, int, int]] = []  # the word, its pronunciation, the place of the label in it

    def add(self, label: int, before: Sequence[int], origin: tuple[int, int, int] = (BETWEEN, 0, 0)) -> int:
        """Add a state. Returns its number."""
        number = len(self.labels)
        self.labels.append(label)
        self.before.append([number, *before])
        self.origins.append(origin)
        return number

    def add_labels(self, labels: Sequence[int], blank: int, lasts: Sequence[int], word: int, pronunciation: int) -> int:
        """Add the labels of a pronunciation after a state that is blank, or straight after labels that differ.

        Returns the state of its last label.
        """
        for place, label in enumerate(labels):
            direct = [last for last in lasts if self.labels[last] != label]
            number = self.add(label, [blank, *direct], (word, pronunciation, place))
            lasts = [number]
            if place + 1 < len(labels):
                blank = self.add(BLANK, lasts)
        return number


def align_labels(log_probabilities: Any, labels: Sequence[int]) -> Alignment:
    """Returns the alignment of given labels, without the blank, with an utterance.

    Parameters
    ----------
    log_probabilities : float (frames, labels + 1)
    labels
        May be empty: then every frame is blank.

    Raises
    ------
    UserError
        The utterance is too short for the labels, or the model gives them the probability 0.
    """
    return align_words(log_probabilities, [[labels]] if len(labels) else [])


def align_words(
    log_probabilities: Any, words: Sequence[Sequence[Sequence[int]]], separator: int | None = None
) -> Alignment:
    """Returns the alignment of given words, each in the likeliest of its pronunciations.

    Parameters
    ----------
    log_probabilities : float (frames, labels + 1)
    words
        The pronunciations of each word, as labels. The blank is not among them.
    separator : optional
        The label between words.

    Raises
    ------
    UserError
        The utterance is too short for the words, or too long to be aligned, or the model gives them the probability 0.
    ValueError
        A word has no pronunciation, or one without labels.
    """
    log_p = np.asarray(log_probabilities, np.float64)
    if any(not len(each) or not all(len(labels) for labels in each) for each in words):
        raise ValueError("each word must have a pronunciation of at least one label")
    states = States()
    blank, lasts = states.add(BLANK, []), list[int]()
    starts = [blank]
    for number, pronunciations in enumerate(words):
        if number and separator is not None:
            lasts = [states.add_labels([separator], blank, lasts, BETWEEN, 0)]
            blank = states.add(BLANK, lasts)
        first = len(states.labels)
        lasts = [states.add_labels(labels, blank, lasts, number, which) for which, labels in enumerate(pronunciations)]
        if not number:
            starts += [state for state in range(first, len(states.labels)) if states.origins[state] in
                       {(0, which, 0) for which in range(len(pronunciations))}]  # fmt: skip
        blank = states.add(BLANK, lasts)
    check_frames(len(log_p), words, separator)
    if not len(log_p):
        return Alignment(np.zeros(0, np.int64), [], [], 0.0)
    labels = np.array(states.labels, np.int64)
    margin = np.inf if len(log_p) * len(labels) <= MAX_EXACT_CELLS else MARGIN
    route, score = viterbi(log_p, labels, states.before, starts, [blank, *lasts], margin)
    if not np.isfinite(score):
        raise UserError("the model gives these labels the probability 0 in this utterance: check the transcript")
    return described(log_p, route, states, len(words), score)


def viterbi(
    log_p: Any, labels: Any, before: Sequence[Sequence[int]], starts: Sequence[int], ends: Sequence[int], margin: float
) -> tuple[Any, float]:
    """Returns the best sequence of states, int64 (frames,), and its score; -inf if there is none.

    Parameters
    ----------
    log_p : float64 (frames, labels + 1)
        At least one frame.
    labels : int64 (states,)
        The label that each state emits.
    before
        The states from which each state is entered: itself, and some with smaller numbers.
    starts, ends
        States of the first and of the last frame.
    margin
        Only the states between the first and the last one whose score is by at most this, in nats, below the best one
        of a frame are followed. inf: all states.
    """
    num_states, width = len(labels), max(map(len, before))
    sources = np.full((width, num_states), num_states)  # a state that cannot be reached
    for state, found in enumerate(before):
        sources[: len(found), state] = found
    reach = max(state - min(found) for state, found in enumerate(before))
    scores = np.full(num_states + 1, -np.inf)
    scores[starts] = log_p[0, labels[starts]]
    low, high, num_cells = 0, max(starts) + 1, 0
    back: list[tuple[int, Any]] = []
    for row in log_p[1:]:
        high = min(high + reach, num_states)
        entering = scores[sources[:, low:high]]
        best = entering.argmax(axis=0)
        new = np.take_along_axis(entering, best[None], 0)[0] + row[labels[low:high]]
        back.append((low, best.astype(np.uint8 if width < 256 else np.uint16)))
        num_cells += high - low
        if num_cells > MAX_CELLS:
            raise UserError(f"{len(log_p):,} frames and {num_states:,} states are too many to be aligned at once: "
                            "divide the recording")  # fmt: skip
        is_good = np.flatnonzero(new >= new.max() - margin)
        first, last = low + int(is_good[0]), low + int(is_good[-1]) + 1
        scores[low:first] = scores[last:high] = -np.inf
        scores[first:last] = new[first - low : last - low]
        low, high = first, last
    state = max(ends, key=lambda each: scores[each])
    score, route = float(scores[state]), [state]
    if np.isfinite(score):
        for low, best in reversed(back):
            route.append(int(sources[best[route[-1] - low], route[-1]]))
    return np.array(route[::-1], np.int64), score


def described(log_p: Any, route: Any, states: States, num_words: int, score: float) -> Alignment:
    """Returns the alignment that a sequence of states is."""
    words = [AlignedWord(0, []) for _ in range(num_words)]
    segments = []
    changes = np.flatnonzero(route[1:] != route[:-1]) + 1
    for first, last in zip(np.append(0, changes).tolist(), (np.append(changes, len(route)) - 1).tolist()):
        state = route[first]
        if states.labels[state] == BLANK:
            continue
        segments.append(segment(log_p, states.labels[state], first, last))
        word, pronunciation, _ = states.origins[state]
        if word != BETWEEN:
            words[word] = AlignedWord(pronunciation, [*words[word].segments, segments[-1]])
    return Alignment(np.array(states.labels, np.int64)[route], segments, words, score)


def frames_needed(words: Sequence[Sequence[Sequence[int]]], separator: int | None = None) -> int:
    """Returns the fewest frames that hold the words: one for each label, and a blank between two equal ones.

    >>> frames_needed([[[1, 1, 2]]])
    4
    """
    fewest: dict[int, int] = {BLANK: 0}  # last label -> frames
    for number, pronunciations in enumerate(words):
        longer: dict[int, int] = {}
        for labels in pronunciations:
            sounds = [*([separator] if number and separator is not None else []), *map(int, labels)]
            inside = len(sounds) + sum(a == b for a, b in pairwise(sounds))
            total = inside + min(frames + (last == sounds[0]) for last, frames in fewest.items())
            longer[sounds[-1]] = min(longer.get(sounds[-1], total), total)
        fewest = longer
    return min(fewest.values())


def check_frames(num_frames: int, words: Sequence[Sequence[Sequence[int]]], separator: int | None) -> None:
    """Raises `UserError` if an utterance has too few frames for its labels."""
    needed = frames_needed(words, separator)
    if num_frames < needed:
        raise UserError(f"the utterance has {num_frames:,} frames, but these labels need at least {needed:,}: one for "
                        "each label, and one more between two equal labels. Check the transcript")  # fmt: skip
