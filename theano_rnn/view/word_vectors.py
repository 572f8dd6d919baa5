"""The rows of an embedding as word vectors: the nearest words, analogies, and a text file for other software.

Similarity is the cosine of the angle between two vectors. An analogy, `a` is to `b` as `c` is to what, is answered by
the words nearest to ``b - a + c``, of vectors of length 1 (Mikolov et al. 2013, "Linguistic Regularities in Continuous
Space Word Representations").

>>> vectors = WordVectors(("a", "b", "c"), np.array([[3.0, 0.0], [1.0, 0.1], [0.0, 2.0]]))
>>> [(word, round(similarity, 2)) for word, similarity in vectors.nearest("a", 2)]
[('b', 1.0), ('c', 0.0)]
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from theano_rnn.settings.base import UserError


class WordVectors:
    """Words and their vectors.

    Parameters
    ----------
    words
    vectors : float (words, embedding_size)
    """

    def __init__(self, words: Sequence[str], vectors: Any) -> None:
        self.words, self.vectors = tuple(words), vectors
        self.numbers = {word: number for number, word in enumerate(self.words)}
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        self.directions = vectors / np.where(lengths > 0, lengths, 1)

    def number(self, word: str) -> int:
        """Returns the row of a word.

        Raises
        ------
        UserError
            There is no such word; the message names similar ones.
        """
        if word in self.numbers:
            return self.numbers[word]
        cases = [form for form in (word.lower(), word.capitalize(), word.upper()) if form in self.numbers]
        close = cases or difflib.get_close_matches(word, self.words, n=3, cutoff=0.75)
        guess = f": did you mean {', '.join(close)}?" if close else ""
        raise UserError(f"{word!r} is not in the vocabulary of {len(self.words):,} words{guess}")

    def nearest(self, word: str, count: int) -> list[tuple[str, float]]:
        """Returns the words nearest to a word, without itself, and their similarities; the nearest first."""
        number = self.number(word)
        return self.most_similar(self.directions[number], count, without=[number])

    def analogy(self, a: str, b: str, c: str, count: int) -> list[tuple[str, float]]:
        """Returns the words that may be to `c` as `b` is to `a`, without these three; the nearest first."""
        rows = [self.number(word) for word in (a, b, c)]
        direction = self.directions[rows[1]] - self.directions[rows[0]] + self.directions[rows[2]]
        return self.most_similar(direction / max(np.linalg.norm(direction), 1e-12), count, without=rows)

    def most_similar(self, direction: Any, count: int, *, without: Sequence[int]) -> list[tuple[str, float]]:
        """Returns the words with the largest cosine to a vector of length 1, and the cosines."""
        similarities = self.directions @ direction
        similarities[list(without)] = -np.inf
        order = np.argsort(-similarities, kind="stable")[: min(count, len(self.words) - len(set(without)))]
        return [(self.words[i], float(similarities[i])) for i in order]

    def lines(self) -> Iterator[str]:
        """Yields the lines of a .vec file, the text format of word2vec, which gensim and fastText read.

        The first line has the number of words and of dimensions. Tokens that are blanks cannot be written and are left
        out.
        """
        writable = [number for number, word in enumerate(self.words) if not any(map(str.isspace, word))]
        yield f"{len(writable)} {self.vectors.shape[1]}\n"
        for number in writable:
            values = " ".join(f"{value:.7g}" for value in self.vectors[number].tolist())
            yield f"{self.words[number]} {values}\n"
