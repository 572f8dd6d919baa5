"""A vocabulary that is extended by the new words of another text."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import UNK


def with_new_words(vocabulary: Vocabulary, types: Sequence[str], counts: Any, most: int) -> Vocabulary:
    """`vocabulary` with the commonest of `types` that it does not know, at most `most`, after its own.

    >>> with_new_words(Vocabulary(("a", "b")), ["a", "c", "d", "e"], np.array([9, 1, 5, 5]), 2).words
    ('a', 'b', 'd', 'e')
    """
    is_unk = vocabulary.text.unit == "word" and vocabulary.text.tokens == "whitespace"  # where it stands in a text
    unknown = sorted(
        (-int(count), word)
        for word, count in zip(types, counts)
        if count and word not in vocabulary and not (is_unk and word == UNK)
    )
    return dataclasses.replace(vocabulary, words=(*vocabulary.words, *(word for _, word in unknown[:most])))
