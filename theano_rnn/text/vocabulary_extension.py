"""Build the vocabulary of a new model, or extend the one of an existing model by the new words of another text."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from theano_rnn.settings.text import CorpusConfig, TextConfig
from theano_rnn.text.subwords import existing_tokenizer
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import UNK


def new_vocabulary(types: Sequence[str], counts: Any, corpus: CorpusConfig, text: TextConfig) -> Vocabulary:
    """Returns the vocabulary of the types of a training part, with the settings `corpus`; see `from_counts`."""
    if corpus.subword_model is not None:
        return Vocabulary.from_tokenizer(existing_tokenizer(corpus.subword_model, types, counts), text)
    return Vocabulary.from_counts(types, counts, corpus.vocab_size, corpus.min_count, text)


def extend_vocabulary(vocabulary: Vocabulary, types: Sequence[str], counts: Any, max_words: int) -> Vocabulary:
    """Returns `vocabulary` with up to `max_words` new words after its own: the most frequent unknown ones of `types`.

    >>> import numpy as np
    >>> extend_vocabulary(Vocabulary(("a", "b")), ["a", "c", "d", "e"], np.array([9, 1, 5, 5]), 2).words
    ('a', 'b', 'd', 'e')
    """
    if not max_words:
        return vocabulary
    has_literal_unk = vocabulary.text.unit == "word" and vocabulary.text.tokens == "whitespace"
    unknown = sorted(
        (-int(count), word)
        for word, count in zip(types, counts)
        if count and word not in vocabulary and not (has_literal_unk and word == UNK)
    )
    return dataclasses.replace(vocabulary, words=(*vocabulary.words, *(word for _, word in unknown[:max_words])))
