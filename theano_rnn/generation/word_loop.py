"""Search for the words of an utterance: a lexicon with all pronunciations, a language model, and the outputs of CTC.

    score(words) = ln P(words | sound) + weight ln P(words) + bonus |words|

where ``P(words | sound)`` is the sum over all paths of all pronunciations (Graves et al. 2006; Hannun et al. 2014). A
hypothesis is a history of whole words and a node of the lexicon's prefix tree. It has two sums, over its paths that end
in blank and in its last label, and each frame either prolongs these or leads on to the next nodes. The best hypotheses
of each frame are kept, so the result is exact if the beam is wide enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.generation.pronunciation_tree import PronunciationTree
from theano_rnn.generation.word_scores import WordScorer

CLEANING_FRAMES = 256  # states of histories that no hypothesis has any more are dropped after as many frames


class WordHypothesis(NamedTuple):
    """The words of an utterance by their numbers; ln P(words | sound) in nats, and the score that ranks them."""

    words: tuple[int, ...]
    log_probability: float
    score: float


class SearchLimits(NamedTuple):
    """How wide a search is.

    beam_size : int
        The greatest number of hypotheses that are kept after a frame.
    margin : float
        Hypotheses whose score is by more than this, in nats, below the best one are dropped.
    least_log_probability : float
        A label with a lower log-probability in a frame does not begin there.
    """

    beam_size: int = 200
    margin: float = 20.0
    least_log_probability: float = -12.0


class Beam(NamedTuple):
    """Hypotheses: their node, their history, the sums over paths that end in blank and in the last label, and
    the weighted score of the words of their history; (hypotheses,) each."""

    nodes: Any
    histories: Any
    blank: Any
    last: Any
    words: Any

    @property
    def totals(self) -> Any:
        """ln of the sum over all paths."""
        return np.logaddexp(self.blank, self.last)

    def chosen(self, places: Any) -> Beam:
        return Beam(*(each[places] for each in self))


class Histories:
    """Sequences of words, each known by a number, with the weighted scores of the words that may follow.

    Scores are computed when the first word follows, for all such histories of a frame at once.
    """

    def __init__(self, num_words: int, scorer: WordScorer | None, weight: float, bonus: Any) -> None:
        self.num_words, self.scorer, self.weight = num_words, scorer, weight
        self.bonuses = np.zeros(num_words + 1)
        self.bonuses[:-1] = bonus
        self.parents, self.words = [-1], [-1]
        self.numbers: dict[int, int] = {}
        self.states = {0: scorer.start()} if scorer is not None else {}
        self.rows: dict[int, Any] = {}

    def scores(self, histories: list[int]) -> dict[int, Any]:
        """Returns the scores of all words and of the end after each history, by its number."""
        if self.scorer is None:
            return dict.fromkeys(histories, self.bonuses)
        if new := [each for each in dict.fromkeys(histories) if each not in self.rows]:
            if asked := [each for each in new if each not in self.states]:
                before = [self.states[self.parents[each]] for each in asked]
                self.states.update(zip(asked, self.scorer.extend(before, [self.words[each] for each in asked])))
            for each in new:
                self.rows[each] = self.weight * self.scorer.log_probabilities(self.states[each]) + self.bonuses
        return self.rows

    def extended(self, history: int, word: int) -> int:
        """Returns the number of a history followed by a word."""
        key = history * self.num_words + word
        if key not in self.numbers:
            self.numbers[key] = len(self.parents)
            self.parents.append(history)
            self.words.append(word)
        return self.numbers[key]

    def sequence(self, history: int) -> tuple[int, ...]:
        """Returns the words of a history."""
        found = []
        while history:
            found.append(self.words[history])
            history = self.parents[history]
        return tuple(found[::-1])

    def clean(self, histories: Any) -> None:
        """Drop the states and scores of histories other than these and the ones before them."""
        live = {*histories, *(self.parents[each] for each in histories)}
        self.states = {each: state for each, state in self.states.items() if each in live}
        self.rows = {each: row for each, row in self.rows.items() if each in live}
        self.numbers = {key: number for key, number in self.numbers.items() if number in live}


class WordSearch:
    """A search for the words of one utterance, whose outputs may still be arriving.

    Parameters
    ----------
    tree
        The lexicon.
    scorer : optional
        The language model.
    weight
        Multiplies the log-probabilities of the language model.
    bonus : float or float (words,)
        Is added for each word.
    limits : optional
        Default: ``SearchLimits()``.
    """

    def __init__(
        self, tree: PronunciationTree, *, scorer: WordScorer | None = None, weight: float = 1.0, bonus: Any = 0.0,
        limits: SearchLimits | None = None,
    ) -> None:  # fmt: skip
        self.tree, self.limits = tree, limits or SearchLimits()
        self.histories = Histories(tree.num_words, scorer, weight, bonus)
        typical = scorer.typical() if scorer is not None else None
        expected = self.histories.bonuses[:-1] + (0.0 if typical is None else weight * typical)
        self.to_come = tree.best_below(np.where(np.isfinite(expected), expected, -1e3))
        zero = np.zeros(1, np.int64)
        self.beam = Beam(zero, zero, np.zeros(1), np.full(1, -math.inf), np.zeros(1))
        self.num_frames = 0

    def push(self, log_probabilities: Any) -> WordSearch:
        """Take further frames, float (frames, labels + 1): ln P of the blank, 0, and of each label. Returns itself."""
        tree, to_come = self.tree, self.to_come
        for row in np.asarray(log_probabilities, np.float64):
            beam, self.num_frames = self.beam, self.num_frames + 1
            stayed = beam._replace(blank=beam.totals + row[0], last=beam.last + row[tree.labels[beam.nodes]])
            allowed = row >= self.limits.least_log_probability
            allowed[0] = False
            if not allowed.any():
                self.beam = stayed
                continue
            floor = (stayed.totals + stayed.words + to_come[stayed.nodes]).max() - self.limits.margin
            beam = merged(stayed, *entered(tree, beam, row, allowed, floor, self.histories, to_come))
            scores = beam.totals + beam.words + to_come[beam.nodes]
            self.beam = beam.chosen(kept(scores, tree.is_complete[beam.nodes], self.limits))
            if self.num_frames % CLEANING_FRAMES == 0:
                self.histories.clean(self.beam.histories.tolist())
        return self

    def best(self, num_best: int = 1) -> list[WordHypothesis]:
        """Returns the best sequences of whole words so far, the best first: at least one, at most `num_best`."""
        found = complete(self.tree, self.beam, self.histories)
        return sorted(found, key=lambda each: -each.score)[:num_best]


def search_words(
    tree: PronunciationTree, log_probabilities: Any, *, num_best: int = 1, **options: Any
) -> list[WordHypothesis]:
    """Returns the best sequences of words of one utterance, the best first.

    There is at least one, which may be empty, and there are at most `num_best`. `options` are those of `WordSearch`.
    """
    return WordSearch(tree, **options).push(log_probabilities).best(num_best)


def entered(
    tree: PronunciationTree, beam: Beam, row: Any, allowed: Any, floor: float, histories: Histories, to_come: Any
) -> Iterator[Beam]:
    """Yields the hypotheses that begin a new label in a frame: those inside of words, and those that complete one."""
    counts = tree.num_edges[beam.nodes]
    source = np.repeat(np.arange(len(counts)), counts)
    edges = np.arange(len(source)) + np.repeat(tree.first_edges[beam.nodes] - (np.cumsum(counts) - counts), counts)
    targets = tree.targets[edges]
    labels = tree.labels[targets]
    places = np.flatnonzero(allowed[labels])
    source, edges, targets, labels = source[places], edges[places], targets[places], labels[places]
    is_repeated = labels == tree.labels[beam.nodes[source]]  # only a blank keeps two equal labels apart
    last = np.where(is_repeated, beam.blank[source], beam.totals[source]) + row[labels]
    words, completed = beam.words[source], tree.words[edges]
    nothing = np.full(len(source), -math.inf)
    inside = (completed < 0) & (last + words + to_come[targets] >= floor) & (last > -math.inf)
    yield Beam(targets, beam.histories[source], nothing, last, words).chosen(inside)
    places = np.flatnonzero((completed >= 0) & (last > -math.inf))
    before, new = beam.histories[source[places]].tolist(), completed[places].tolist()
    rows = histories.scores(before)
    words = words[places] + np.array([rows[history][word] for history, word in zip(before, new)], np.float64)
    is_good = last[places] + words >= floor
    is_good &= words > -math.inf
    numbers = [histories.extended(before[i], new[i]) for i in np.flatnonzero(is_good)]
    places = places[is_good]
    yield Beam(targets[places], np.array(numbers, np.int64), nothing[places], last[places], words[is_good])


def merged(*beams: Beam) -> Beam:
    """Returns all hypotheses, with the sums of those that have the same history and node added."""
    nodes, histories, blank, last, words = (np.concatenate(each) for each in zip(*beams))
    order = np.lexsort((nodes, histories))
    nodes, histories = nodes[order], histories[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = (nodes[1:] != nodes[:-1]) | (histories[1:] != histories[:-1])
    starts = np.flatnonzero(is_first)
    blank, last = (np.logaddexp.reduceat(each[order], starts) for each in (blank, last))
    return Beam(nodes[starts], histories[starts], blank, last, words[order][starts])


def kept(scores: Any, is_complete: Any, limits: SearchLimits) -> Any:
    """Returns the places of the hypotheses to keep. The best one that may end the utterance is always among them."""
    places = np.flatnonzero(scores >= scores.max() - limits.margin)
    if len(places) > limits.beam_size:
        places = places[np.argpartition(-scores[places], limits.beam_size)[: limits.beam_size]]
    if not is_complete[places].any():
        places = np.append(places, np.where(is_complete, scores, -math.inf).argmax())
    return places


def complete(tree: PronunciationTree, beam: Beam, histories: Histories) -> Iterator[WordHypothesis]:
    """Yields the sequences of words whose last word is complete, with the end of the sentence scored."""
    beam = beam.chosen(tree.is_complete[beam.nodes])
    numbers = beam.histories.tolist()
    rows, totals = histories.scores(numbers), beam.totals
    for history in dict.fromkeys(numbers):
        places = np.flatnonzero(beam.histories == history)
        log_p = float(np.logaddexp.reduce(totals[places]))
        score = float(log_p + beam.words[places[0]] + rows[history][-1])
        yield WordHypothesis(histories.sequence(history), log_p, score)
