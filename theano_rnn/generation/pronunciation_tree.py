"""The pronunciations of a lexicon as a prefix tree: words that begin alike share the labels that they begin with.

A search walks from node to node by labels. There are four kinds of nodes: the start of the utterance, the inner nodes
of words, the ends of words, and, if words are separated by a label, that label. After the end of a word, any word may
begin. A node knows the label that leads to it, so a search knows which label would be a repetition.

>>> tree = PronunciationTree([(0, [3, 1]), (1, [3, 1, 2]), (1, [2])], num_words=2)
>>> [(tree.labels[tree.targets[edge]], tree.words[edge]) for edge in tree.edges_of(0)]
[(3, -1), (2, 1)]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

START = 0  # the node before the first word


class PronunciationTree:
    """A prefix tree of pronunciations.

    Parameters
    ----------
    pronunciations
        Pairs of a word, from 0, and the labels of one of its pronunciations, from 1. A word may have several.
    num_words
    separator
        The label that stands between two words; None if words follow each other without one.

    Attributes
    ----------
    labels : int64 (nodes,)
        The label that leads to each node; -1 for the start.
    is_complete : bool (nodes,)
        Whether the utterance may end there: at the start, and at ends of words.
    first_edges, num_edges : int64 (nodes,)
        The edges that leave each node are consecutive.
    targets, words : int64 (edges,)
        Where an edge leads, and the word that it completes; -1 if it completes none.

    Raises
    ------
    ValueError
        A pronunciation is empty, or has a label or a word that is out of range; there are no pronunciations.
    """

    def __init__(
        self, pronunciations: Iterable[tuple[int, Sequence[int]]], num_words: int, *, separator: int | None = None
    ) -> None:
        self.num_words, self.separator = num_words, separator
        labels: list[int] = [-1]
        children: list[dict[int, int]] = [{}]
        ending: list[list[int]] = [[]]  # the words that end at a node of the tree
        for word, sounds in pronunciations:
            if not len(sounds) or min(sounds) < 1 or not 0 <= word < num_words:
                raise ValueError(f"a pronunciation must be a word from 0 to {num_words - 1} and labels from 1, got "
                                 f"{word} and {list(sounds)}")  # fmt: skip
            node = START
            for label in map(int, sounds):
                if label not in children[node]:
                    children[node][label] = len(labels)
                    labels.append(label)
                    children.append({})
                    ending.append([])
                node = children[node][label]
            if word not in ending[node]:
                ending[node].append(word)
        if len(labels) == 1:
            raise ValueError("there must be at least one pronunciation, got none")
        ends: dict[int, int] = {}  # node of the tree -> node at the end of its words
        for node in [node for node, words in enumerate(ending) if words]:
            ends[node] = len(labels)
            labels.append(labels[node])
        between = None
        if separator is not None:
            between = len(labels)
            labels.append(separator)
        first, count = list[int](), list[int]()
        targets, words = list[int](), list[int]()
        for after in children:
            first.append(len(targets))
            for child in after.values():
                if children[child]:
                    targets.append(child)
                    words.append(-1)
                if child in ends:
                    targets += [ends[child]] * len(ending[child])
                    words += ending[child]
            count.append(len(targets) - first[-1])
        if between is not None:
            first += [len(targets)] * len(ends)
            count += [1] * len(ends)
            targets.append(between)
            words.append(-1)
        else:
            first += [first[START]] * len(ends)
            count += [count[START]] * len(ends)
        if between is not None:
            first.append(first[START])
            count.append(count[START])
        self.labels, self.first_edges, self.num_edges, self.targets, self.words = (
            np.array(values, np.int64) for values in (labels, first, count, targets, words)
        )
        self.num_inner = len(children)
        self.is_complete = np.zeros(len(labels), bool)
        self.is_complete[[START, *ends.values(), *([between] if between is not None else [])]] = True
        self.children = [list(after.values()) for after in children]
        self.ending = ending

    def edges_of(self, node: int) -> range:
        """Returns the numbers of the edges that leave a node."""
        return range(self.first_edges[node], self.first_edges[node] + self.num_edges[node])

    def best_below(self, scores: Any) -> Any:
        """Returns the greatest score of the words that a hypothesis inside a word can still become, float64 (nodes,).

        `scores` are those of the words (words,). It is 0 at the start and at ends of words.
        """
        found = np.zeros(len(self.labels))
        for node in range(self.num_inner - 1, START, -1):  # a child comes after its parent
            values = [scores[word] for word in self.ending[node]] + [found[child] for child in self.children[node]]
            found[node] = max(values)
        return found
