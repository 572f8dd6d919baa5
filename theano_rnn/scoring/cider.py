"""CIDEr: how much captions agree with what several people say of the same pictures, weighted by informative words.

    g_k(c)     how often the n-gram k stands in the caption c, times ln(pictures / pictures with k in a reference)
    S_n(c, r)  = exp(-(l_c - l_r)^2 / 72) sum_k min(g_k(c), g_k(r)) g_k(r) / (|g(c)| |g(r)|)
    CIDEr(c)   = 10 * mean over n = 1 .. 4 and over the references r of S_n(c, r)

This is CIDEr-D (Vedantam et al. 2015) as COCO's evaluation computes it: l counts pairs of neighbouring
words, and words of each picture's references are counted once. Publications multiply by 100: "CIDEr 94.7" is 0.947.

>>> captions = ["a dog runs in the deep snow".split(), "two red birds sit on a tree".split()]
>>> cider(captions, [[captions[0]], ["a red bird on a tree".split()]]).round(3).tolist()
[10.0, 2.961]
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from theano_rnn.text.nltk_words import fast_nltk_tokenizer

LONGEST = 4  # words of an n-gram
DEVIATION = 6.0  # of lengths
PUNCTUATION = frozenset({"''", "'", "``", "`", "(", ")", "[", "]", "{", "}", ".", "?", "!", ",", ":", "-", "--", "...",
                         ";", '"'})  # fmt: skip


def caption_words(text: str) -> list[str]:
    """Returns the words of a caption in lower case, without punctuation, as COCO's evaluation compares them.

    >>> caption_words("A dog, two birds - and Emma's cat.")
    ['a', 'dog', 'two', 'birds', 'and', 'emma', "'s", 'cat']
    """
    return [word for word in fast_nltk_tokenizer()(text.lower()) if word not in PUNCTUATION]


def cider(captions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> Any:
    """Returns the CIDEr of each caption, float64 (captions,), from 0 to 10.

    Parameters
    ----------
    captions : sequence of sequence of str
        The words of a caption for each picture.
    references : sequence of sequence of sequence of str
        The words of the true captions of each picture, at least one.
    """
    counts = [[ngrams(words) for words in each] for each in references]
    num_pictures: Counter[tuple[str, ...]] = Counter()
    for each in counts:
        num_pictures.update(set().union(*each))
    rarities = {ngram: math.log(len(counts) / number) for ngram, number in num_pictures.items()}
    unseen = math.log(max(len(counts), 1))
    found = np.zeros(len(captions))
    for i, (words, each) in enumerate(zip(captions, counts)):
        caption = Weighted(ngrams(words), rarities, unseen)
        found[i] = 10 * np.mean([caption.similarity(Weighted(count, rarities, unseen)) for count in each])
    return found


def ngrams(words: Sequence[str]) -> Counter[tuple[str, ...]]:
    """Returns how often each sequence of 1 to 4 words occurs."""
    return Counter(tuple(words[i : i + n]) for n in range(1, LONGEST + 1) for i in range(len(words) - n + 1))


class Weighted:
    """The n-grams of a caption with their weights g_k, by n.

    Parameters
    ----------
    counts
        As of `ngrams`.
    rarities : mapping
        The logarithm of each n-gram of a reference.
    unseen : float
        That of others.
    """

    def __init__(self, counts: Mapping[tuple[str, ...], int], rarities: Mapping[Any, float], unseen: float) -> None:
        self.weights: list[dict[tuple[str, ...], float]] = [{} for _ in range(LONGEST)]
        for ngram, count in counts.items():
            self.weights[len(ngram) - 1][ngram] = count * rarities.get(ngram, unseen)
        self.norms = [norm(each.values()) for each in self.weights]
        self.length = sum(count for ngram, count in counts.items() if len(ngram) == 2)

    def similarity(self, other: Weighted) -> float:
        """Returns the mean of S_n over n."""
        total = 0.0
        for mine, theirs, norms in zip(self.weights, other.weights, zip(self.norms, other.norms)):
            if all(norms):
                both = sum(min(weight, theirs.get(ngram, 0.0)) * theirs.get(ngram, 0.0)
                           for ngram, weight in mine.items())  # fmt: skip
                total += both / (norms[0] * norms[1])
        return total / LONGEST * math.exp(-((self.length - other.length) ** 2) / (2 * DEVIATION**2))


def norm(values: Iterable[float]) -> float:
    """Returns the Euclidean norm."""
    return math.sqrt(sum(value**2 for value in values))
