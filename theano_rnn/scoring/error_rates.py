"""Error rates: how many labels, words or sentences of a recognition differ from what was said.

    error rate = (substitutions + insertions + deletions) / labels of the reference

The counts are those of an alignment with the fewest errors (Levenshtein distance); if there are several, of one with
the most substitutions. All pairs of a corpus are counted together, so thousands take well under a second.

>>> count_errors(["the cat sat".split()], ["a cat sat down".split()])
ErrorCounts(substitutions=1, insertions=0, deletions=1, num_labels=4, num_sentences=1, wrong_sentences=1)
>>> aligned("the cat sat".split(), "a cat sat down".split())
[('the', 'a'), ('cat', 'cat'), ('sat', 'sat'), (None, 'down')]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

EDIT = 1 << 32  # the cost of an error; insertions and deletions cost 1 more, which breaks ties
CELLS = 1 << 20  # of the distance matrices that are filled at the same time


class ErrorCounts(NamedTuple):
    """The errors of some sentences by kind, against `num_labels` labels of the references.

    An insertion is a label that was recognized but not said, a deletion one that was said but not recognized.
    """

    substitutions: int
    insertions: int
    deletions: int
    num_labels: int
    num_sentences: int
    wrong_sentences: int

    @property
    def errors(self) -> int:
        """Substitutions, insertions and deletions together."""
        return self.substitutions + self.insertions + self.deletions

    @property
    def rate(self) -> float:
        """Errors per label of the references. It can exceed 1; with empty references it is 0 or infinite."""
        return self.errors / self.num_labels if self.num_labels else float("inf") if self.errors else 0.0

    @property
    def sentence_rate(self) -> float:
        """The share of sentences with an error; 0 if there are no sentences."""
        return self.wrong_sentences / max(self.num_sentences, 1)


def count_errors(hypotheses: Iterable[Sequence[Hashable]], references: Iterable[Sequence[Hashable]]) -> ErrorCounts:
    """Returns the errors of all hypotheses against their references.

    Parameters
    ----------
    hypotheses, references
        Sequences of labels or words, one of each for each sentence.

    Raises
    ------
    ValueError
        The numbers of hypotheses and references differ.
    """
    given, wanted = list(hypotheses), list(references)
    table = error_table(given, wanted)
    substitutions, insertions, deletions = table.sum(axis=0).tolist()
    return ErrorCounts(substitutions, insertions, deletions, sum(map(len, wanted)), len(wanted),
                       int((table.sum(axis=1) > 0).sum()))  # fmt: skip


def edit_distance(hypothesis: Sequence[Hashable], reference: Sequence[Hashable]) -> int:
    """Returns the fewest substitutions, insertions and deletions that make one sequence of the other.

    >>> edit_distance("kitten", "sitting")
    3
    """
    return int(error_table([hypothesis], [reference]).sum())


def error_table(hypotheses: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Hashable]]) -> Any:
    """Returns the substitutions, insertions and deletions of each pair, int64 (pairs, 3).

    Raises
    ------
    ValueError
        The numbers of hypotheses and references differ.
    """
    if len(hypotheses) != len(references):
        raise ValueError(f"there must be as many hypotheses as references, got {len(hypotheses)} and {len(references)}")
    numbers: dict[Hashable, int] = {}
    sides = [[np.array([numbers.setdefault(label, len(numbers)) for label in each], np.int64) for each in side]
             for side in (hypotheses, references)]  # fmt: skip
    lengths = np.array([list(map(len, side)) for side in sides], np.int64).reshape(2, -1)
    found = np.zeros((len(hypotheses), 3), np.int64)
    order = np.lexsort((lengths[0], lengths[1]))
    start = 0
    while start < len(order):
        width = int(lengths[1, order[start]]) + 1
        stop = start + max(CELLS // (2 * width), 1)
        chunk = order[start : min(stop, len(order))]
        chunk = chunk[lengths[1, chunk] < 2 * width + 8]  # sorted by length, so this is a beginning of the chunk
        found[chunk] = errors_together(*([side[i] for i in chunk] for side in sides))
        start += len(chunk)
    return found


def errors_together(hypotheses: Sequence[Any], references: Sequence[Any]) -> Any:
    """Returns the errors of each pair of integer arrays, int64 (pairs, 3), from padded matrices.

    Row i of a distance matrix follows from row i - 1: ``D[i, j] = min(D[i-1, j-1] + [h_i != r_j], D[i-1, j] + 1,
    D[i, j-1] + 1)``. The last term runs along the row, so it is a running minimum of ``D - j``.
    """
    num_rows, num_references = (np.array(list(map(len, side))) for side in (hypotheses, references))
    padded = np.full((len(references), max(num_references.max(initial=0), 1)), -1, np.int64)
    given = np.full((len(hypotheses), num_rows.max(initial=0)), -2, np.int64)
    for array, side in ((padded, references), (given, hypotheses)):
        for row, labels in zip(array, side):
            row[: len(labels)] = labels
    steps = (EDIT + 1) * np.arange(padded.shape[1] + 1)
    distances = np.tile(steps, (len(padded), 1))
    pairs, final = np.arange(len(padded)), distances[np.arange(len(padded)), num_references]
    for i in range(given.shape[1]):
        row = distances + (EDIT + 1)
        row[:, 1:] = np.minimum(row[:, 1:], distances[:, :-1] + EDIT * (padded != given[:, i, None]))
        distances = np.minimum.accumulate(row - steps, axis=1) + steps
        ends = pairs[num_rows == i + 1]
        final[ends] = distances[ends, num_references[ends]]
    errors, gaps = final // EDIT, final % EDIT  # gaps: insertions and deletions
    insertions = (gaps + num_rows - num_references) // 2
    return np.stack([errors - gaps, insertions, gaps - insertions], axis=1)


def aligned(
    hypothesis: Sequence[Hashable], reference: Sequence[Hashable]
) -> list[tuple[Hashable | None, Hashable | None]]:
    """Returns pairs of a recognized and a true label with the fewest errors; None where one of them is missing."""
    rows = [[(EDIT + 1) * j for j in range(len(reference) + 1)]]
    for i, label in enumerate(hypothesis):
        before, row = rows[-1], [(EDIT + 1) * (i + 1)]
        for j, other in enumerate(reference):
            row.append(min(before[j] + EDIT * (label != other), before[j + 1] + EDIT + 1, row[j] + EDIT + 1))
        rows.append(row)
    found: list[tuple[Hashable | None, Hashable | None]] = []
    i, j = len(hypothesis), len(reference)
    while i or j:
        if i and j and rows[i][j] == rows[i - 1][j - 1] + EDIT * (hypothesis[i - 1] != reference[j - 1]):
            i, j = i - 1, j - 1
            found.append((hypothesis[i], reference[j]))
        elif i and rows[i][j] == rows[i - 1][j] + EDIT + 1:
            i -= 1
            found.append((hypothesis[i], None))
        else:
            j -= 1
            found.append((None, reference[j]))
    return found[::-1]


def confusions(
    hypotheses: Iterable[Sequence[Hashable]], references: Iterable[Sequence[Hashable]]
) -> Counter[tuple[Hashable | None, Hashable | None]]:
    """Returns how often each error occurs, as pairs like those of `aligned`."""
    return Counter(pair for given, wanted in zip(hypotheses, references) for pair in aligned(given, wanted)
                   if pair[0] != pair[1])  # fmt: skip
