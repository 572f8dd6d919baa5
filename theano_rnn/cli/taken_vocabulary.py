"""``--vocab-from``: train a language model with the vocabulary of another model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from theano_rnn.cli.options import settings_of
from theano_rnn.cli.run_settings import check_agreement
from theano_rnn.settings.base import UserError, to_mapping
from theano_rnn.settings.text import TextConfig

if TYPE_CHECKING:
    from theano_rnn.text.vocabulary import Vocabulary

LINE_BREAK = "\n"


def vocabulary_from(path: str) -> Vocabulary:
    """Returns the vocabulary of a checkpoint, of a translator that of the target, for a new model of running text.

    A vocabulary of characters has a line break, which a translator does not need.

    Raises
    ------
    UserError
        The model has no vocabulary, or the file is not a checkpoint.
    """
    from theano_rnn.learning.checkpoint import load
    from theano_rnn.text.vocabulary import Vocabulary

    vocabulary = load(path).facts.get("vocabulary")
    if not isinstance(vocabulary, Vocabulary):
        raise UserError(f"{path} has no vocabulary: --vocab-from needs a model of text")
    words = vocabulary.words
    if vocabulary.text.unit == "char" and LINE_BREAK not in vocabulary:
        words = (*words, LINE_BREAK)
    return dataclasses.replace(vocabulary, words=words, paragraph_ends=None)


def settings_from(path: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings to take from the checkpoint of ``--vocab-from``: how text becomes tokens, by name.

    How sentences are found may be set otherwise.

    Raises
    ------
    UserError
        A flag contradicts them.
    """
    for name in given.keys() & {"vocab_size", "min_count", "init_from", "subword_model"}:
        raise UserError(f"--{name.replace('_', '-')} cannot be used with --vocab-from, which takes the vocabulary of "
                        "a model: leave one of them out")  # fmt: skip
    stored = to_mapping(vocabulary_from(path).text)
    check_agreement(given, stored, [item for item in settings_of(TextConfig) if item.name != "sentences"], path)
    return stored
