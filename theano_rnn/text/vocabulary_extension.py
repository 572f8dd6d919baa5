"""A vocabulary that is extended by the new words of another text."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import UNK


def extend_vocabulary(vocabulary: Vocabulary, types: Sequence[str], counts: Any, max_words: int) -> Vocabulary:
    """Returns `vocabulary` with up to `max_words` new words after its own: the most frequent unknown ones of `types`.

    >>> import numpy as np
    >>> extend_vocabulary(Vocabulary(("a", "b")), ["a", "c", "d", "e"], np.array([9, 1, 5, 5]), 2).words
    ('a', 'b', 'd', 'e')
    """
    has_literal_unk = vocabulary.text.unit == "word" and vocabulary.text.tokens == "whitespace"
    unknown = sorted(
        (-int(count), word)
        for word, count in zip(types, counts)
        if count and word not in vocabulary and not (has_literal_unk and word == UNK)
    )
    return dataclasses.replace(vocabulary, words=(*vocabulary.words, *(word for _, word in unknown[:max_words])))
