"""A language model with the target vocabulary of a translator, which helps it to search."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy as np

from theano_rnn.learning.batching import sentence_end, start_id
from theano_rnn.settings.base import UserError
from theano_rnn.tasks.joint_search import Fusion
from theano_rnn.tasks.trained_model import TrainedModel
from theano_rnn.text.subword_files import read_tokenizer
from theano_rnn.text.vocabulary import Vocabulary

LINE_BREAK = "\n"


class FusedLanguageModel(TrainedModel):
    """A trained language model that helps a translator.

    Parameters
    ----------
    path
        The checkpoint.
    vocabulary
        The target vocabulary of the translator.
    name
        The name of the translator, for messages.
    options
        As for `TrainedModel`: engine, device, compiler.

    Raises
    ------
    UserError
        The model is no language model, or has other words or pieces than the translator.
    """

    def __init__(
        self, path: str | os.PathLike[str], vocabulary: Vocabulary, name: str | os.PathLike[str], **options: Any
    ) -> None:
        super().__init__(path, task="next", **options)
        own = self.checkpoint.vocabulary
        if not has_same_tokens(vocabulary, own):
            raise UserError(f"{path} does not have the target vocabulary of {name}: train the language model with "
                            f"train.py --vocab-from {name} --train TEXT")  # fmt: skip
        self.fusion = Fusion(self.model, corresponding_ids(vocabulary, own, self.training.batching))


def has_same_tokens(vocabulary: Vocabulary, other: Vocabulary) -> bool:
    """Returns whether a language model with the vocabulary `other` reads the target text of a translator as it does.

    The ids may differ, and how sentences are found. A language model of characters has a line break as well.

    >>> first, second = Vocabulary(("a", "b")), Vocabulary(("b", "a"))
    >>> has_same_tokens(first, second), has_same_tokens(first, Vocabulary(("a",)))
    (True, False)
    """
    if dataclasses.replace(other.text, sentences=vocabulary.text.sentences) != vocabulary.text:
        return False
    if vocabulary.tokenizer is not None and other.tokenizer is not None:
        merges = [list(read_tokenizer(each)[1]) for each in (vocabulary.tokenizer, other.tokenizer)]
        if merges[0] != merges[1]:
            return False
    expected = {*vocabulary.words, *([LINE_BREAK] if vocabulary.text.unit == "char" else [])}
    return expected == set(other.words)


def corresponding_ids(vocabulary: Vocabulary, other: Vocabulary, batching: str) -> Any:
    """Returns the id in `other` of each id of `vocabulary`, padding and start included: int32 (vocab + 2,).

    `batching` is the setting that the language model with the vocabulary `other` was trained with.

    >>> corresponding_ids(Vocabulary(("a", "b")), Vocabulary(("b", "a")), "sentences").tolist()
    [0, 1, 3, 2, 4, 5]
    """
    words = [other.word_to_id[word] for word in vocabulary.words]
    ids = [other.unk_id, sentence_end(other), *words, other.pad_id, start_id(other, batching)]
    return np.array(ids, np.int32)
