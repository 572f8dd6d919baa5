"""A model that goes on with new text: its vocabulary, and its parameters, with room for new words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import UNK

INPUT_ONLY = 2  # rows at the end of an embedding, padding and the start of a sentence, which are no words
RAREST = 10  # a new word begins as likely as those of the last tenth of the old


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


def extended(old: Mapping[str, Any], fresh: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters `old` in the shapes of `fresh`, those of a new model with more words.

    What a new word's row or column begins with is the new model's, but its bias, which is the mean of those of the
    rarest words.
    """
    values = {}
    for name, array in fresh.items():
        before, value = old[name], np.array(array)
        if before.shape == value.shape:
            values[name] = before
            continue
        if name == "embedding":
            value[: len(before) - INPUT_ONLY] = before[:-INPUT_ONLY]
            value[-INPUT_ONLY:] = before[-INPUT_ONLY:]
        else:
            value[..., : before.shape[-1]] = before
            if value.ndim == 1:
                value[len(before) :] = before[-max(len(before) // RAREST, 1) :].mean()
        values[name] = value
    return values
