"""Extend a trained model by new words: its vocabulary, and the parameters that have a row or column for each word."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import UNK

NUM_INPUT_ONLY = 2  # last rows of an embedding, for padding and the start of a sentence; they are not words
RAREST_DIVISOR = 10  # a new word starts as likely as the rarest tenth of the known words


def extend_vocabulary(vocabulary: Vocabulary, types: Sequence[str], counts: Any, max_words: int) -> Vocabulary:
    """Returns `vocabulary` with up to `max_words` new words after its own: the most frequent unknown ones of `types`.

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


def extend_parameters(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters `old` in the shapes of `new`, the initial parameters of a model with more words.

    A new word keeps the row or column of `new`, except its bias, which is the mean bias of the rarest tenth of the
    known words: a new word should not start as likely as a frequent one.
    """
    values = {}
    for name, array in new.items():
        old_value, value = old[name], np.array(array)
        if old_value.shape == value.shape:
            values[name] = old_value
            continue
        if name == "embedding":
            value[: len(old_value) - NUM_INPUT_ONLY] = old_value[:-NUM_INPUT_ONLY]
            value[-NUM_INPUT_ONLY:] = old_value[-NUM_INPUT_ONLY:]
        else:
            value[..., : old_value.shape[-1]] = old_value
            if value.ndim == 1:
                value[len(old_value) :] = old_value[-max(len(old_value) // RAREST_DIVISOR, 1) :].mean()
        values[name] = value
    return values
