"""Labels from the outputs of CTC: the best path, and a search for the likeliest label sequences.

In each frame, CTC (connectionist temporal classification, Graves et al. 2006) gives ln P of each label and of the
blank, 0. A path has one of them for each frame. Its label sequence is what remains when repetitions are merged and
then blanks are removed, so many paths have the same one.

>>> log_p = np.log([[0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.9, 0.05, 0.05], [0.1, 0.1, 0.8]])
>>> [(each.label, each.first, each.last, round(each.probability, 2)) for each in best_path(log_p)]
[(1, 0, 1, 0.75), (2, 3, 3, 0.8)]
>>> collapsed([1, 1, 0, 1, 2, 2])
[1, 1, 2]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.generation.pronunciation_tree import PronunciationTree
from theano_rnn.generation.word_loop import SearchLimits, search_words
from theano_rnn.generation.word_scores import WordScorer

BLANK = 0


class Segment(NamedTuple):
    """A label, the first and last frame in which a path has it, and the mean of its probability in these frames."""

    label: int
    first: int
    last: int
    probability: float


class LabelHypothesis(NamedTuple):
    """A label sequence; ln P(labels | sound) in nats, and the score that ranks it."""

    labels: tuple[int, ...]
    log_probability: float
    score: float


def collapsed(path: Sequence[int]) -> list[int]:
    """Returns the labels of a path: repetitions are merged, then blanks removed."""
    labels = np.asarray(path, np.int64)
    is_new = np.ones(len(labels), bool)
    is_new[1:] = labels[1:] != labels[:-1]
    found: list[int] = labels[is_new & (labels != BLANK)].tolist()
    return found


def best_path(log_probabilities: Any) -> list[Segment]:
    """Returns the segments of the likeliest path: the likeliest label of each frame, without blanks.

    `log_probabilities` are float (frames, labels + 1). The label sequence of this path need not be the likeliest one,
    because that is a sum over paths.
    """
    log_p = np.asarray(log_probabilities, np.float64)
    return path_segments(log_p, log_p.argmax(axis=1))


def path_segments(log_probabilities: Any, path: Any) -> list[Segment]:
    """Returns the segments of a path, int (frames,)."""
    changes = np.flatnonzero(path[1:] != path[:-1]) + 1
    firsts, lasts = np.append(0, changes)[: len(path)], np.append(changes, len(path)) - 1
    return [segment(log_probabilities, int(path[first]), int(first), int(last))
            for first, last in zip(firsts, lasts) if path[first] != BLANK]  # fmt: skip


def segment(log_probabilities: Any, label: int, first: int, last: int) -> Segment:
    """Returns a segment with its probability."""
    return Segment(label, first, last, float(np.exp(log_probabilities[first : last + 1, label]).mean()))


def prefix_beam_search(
    log_probabilities: Any,
    *,
    scorer: WordScorer | None = None,
    weight: float = 1.0,
    bonus: Any = 0.0,
    num_best: int = 1,
    limits: SearchLimits | None = None,
) -> list[LabelHypothesis]:
    """Returns the likeliest label sequences, each with the sum over its paths, the best first.

    The score is ``ln P(labels | sound) + weight ln P(labels) + bonus |labels|``. It is exact if the beam is wide.

    Parameters
    ----------
    log_probabilities : float (frames, labels + 1)
    scorer : optional
        A language model of labels. Its words are the labels: word 0 is label 1.
    weight
        Multiplies its log-probabilities.
    bonus : float or float (labels,)
        Is added for each label.
    num_best, limits
        As of `search_words`.
    """
    num_labels = np.asarray(log_probabilities).shape[1] - 1
    tree = PronunciationTree([(label - 1, [label]) for label in range(1, num_labels + 1)], num_labels)
    found = search_words(tree, log_probabilities, scorer=scorer, weight=weight, bonus=bonus, num_best=num_best,
                         limits=limits)  # fmt: skip
    return [LabelHypothesis(tuple(word + 1 for word in each.words), each.log_probability, each.score) for each in found]
