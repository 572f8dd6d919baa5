"""Words and their ids, the same everywhere: in training, in a checkpoint, in scoring and in generated text.

>>> vocabulary = Vocabulary.from_sentences([["to", "be", "or", "not", "to", "be"]], max_size=5)
>>> [vocabulary.id_to_token(number) for number in range(len(vocabulary))]
['<unk>', '</s>', 'be', 'to', 'not']
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from theano_rnn.settings.base import UserError, from_mapping, to_mapping
from theano_rnn.settings.text import TextConfig

UNK, EOS, PAD, BOS = "<unk>", "</s>", "<pad>", "<s>"
DEFAULT_TEXT = TextConfig()


@dataclass(frozen=True)
class Vocabulary:
    """Words and their ids: `<unk>` is 0, `</s>` is 1, then the words, the commonest first.

    Order is by `(-count, word)`, so neither the order of the text nor that of a hash matters. `<pad>` and `<s>` are ids
    for input only, placed after the words, never predicted. A literal `</s>` in the text is an ordinary word.

    Parameters
    ----------
    words
        The words of ids 2, 3, ..., each once.
    text
        How the text was made into tokens; other text must be treated the same way.

    Raises
    ------
    UserError
        There is no word, or a word twice.

    Examples
    --------
    >>> vocabulary = Vocabulary.from_sentences([["a", "rose", "is", "a", "rose"], ["is", "</s>", "a"]])
    >>> vocabulary.words
    ('a', 'is', 'rose', '</s>')
    >>> len(vocabulary), vocabulary.unk_id, vocabulary.eos_id, vocabulary.pad_id, vocabulary.bos_id
    (6, 0, 1, 6, 7)
    >>> vocabulary.token_to_id("</s>"), vocabulary.id_to_token(1)
    (5, '</s>')
    >>> vocabulary.encode(["a", "daisy"]), "daisy" in vocabulary
    (array([2, 0], dtype=int32), False)
    >>> Vocabulary.from_sentences([["a", "b", "a", "c"]], max_size=3).words
    ('a',)
    """

    words: tuple[str, ...]
    text: TextConfig = DEFAULT_TEXT
    word_to_id: Mapping[str, int] = field(init=False, repr=False, compare=False)

    unk_id = 0
    eos_id = 1

    def __post_init__(self) -> None:
        word_to_id = {word: number for number, word in enumerate(self.words, start=2)}
        if not word_to_id:
            raise UserError("a vocabulary needs at least one word")
        if len(word_to_id) < len(self.words):
            raise UserError(f"words must differ, {Counter(self.words).most_common(1)[0][0]!r} is there twice")
        object.__setattr__(self, "word_to_id", word_to_id)

    @classmethod
    def from_sentences(
        cls,
        sentences: Iterable[Iterable[str]],
        max_size: int | None = None,
        min_count: int = 1,
        text: TextConfig = DEFAULT_TEXT,
    ) -> Vocabulary:
        """The vocabulary of some tokenized sentences; see `from_counts`."""
        counted: Counter[str] = Counter()
        for sentence in sentences:
            counted.update(sentence)
        counts = np.fromiter(counted.values(), np.int64, len(counted))
        return cls.from_counts(tuple(counted), counts, max_size, min_count, text)

    @classmethod
    def from_counts(
        cls,
        types: Sequence[str],
        counts: npt.NDArray[np.int64],
        max_size: int | None = None,
        min_count: int = 1,
        text: TextConfig = DEFAULT_TEXT,
    ) -> Vocabulary:
        """The vocabulary of the commonest of `types`.

        Parameters
        ----------
        types
            Different words, in any order.
        counts
            How often each occurs.
        max_size
            Columns of the output at most, `<unk>` and `</s>` among them; at least 3.
        min_count
            Rarer words are left out.
        text
            Recorded; with `tokens="whitespace"` a literal `<unk>` is the unknown word, not a word of its own.

        Raises
        ------
        UserError
            `max_size` is less than 3, or no word is left.
        """
        if max_size is not None and max_size < 3:
            raise UserError(f"max_size must be at least 3 (<unk>, </s> and one word), got {max_size}")
        counts = np.asarray(counts)
        kept = np.flatnonzero(counts >= max(min_count, 1))
        if text.unit == "word" and text.tokens == "whitespace":
            kept = kept[[types[number] != UNK for number in kept]] if kept.size else kept
        if not kept.size:
            raise UserError(f"no word occurs at least {min_count} times: the vocabulary would be empty")
        if max_size is not None and kept.size > max_size - 2:  # sort no more than needed: there may be millions
            rarest = np.partition(counts[kept], kept.size - (max_size - 2))[kept.size - (max_size - 2)]
            kept = kept[counts[kept] >= rarest]
        ordered = sorted((-int(counts[number]), types[number]) for number in kept)
        return cls(tuple(word for _, word in ordered[: None if max_size is None else max_size - 2]), text)

    @property
    def vocab_size(self) -> int:
        """Columns of the output layer: words, `<unk>` and `</s>`."""
        return len(self.words) + 2

    def __len__(self) -> int:
        return self.vocab_size

    def __contains__(self, token: object) -> bool:
        return token in self.word_to_id

    @property
    def pad_id(self) -> int:
        return self.vocab_size

    @property
    def bos_id(self) -> int:
        return self.vocab_size + 1

    def token_to_id(self, token: str) -> int:
        """The id of a word, `unk_id` for one that is not in the vocabulary."""
        return self.word_to_id.get(token, self.unk_id)

    def id_to_token(self, number: int) -> str:
        """The word of an id, or `<unk>`, `</s>`, `<pad>`, `<s>`.

        Raises
        ------
        ValueError
            There is no such id.
        """
        number = int(number)
        if not 0 <= number < self.vocab_size + 2:
            raise ValueError(f"id must be from 0 to {self.vocab_size + 1}, got {number}")
        if 2 <= number < self.vocab_size:
            return self.words[number - 2]
        return {self.unk_id: UNK, self.eos_id: EOS, self.pad_id: PAD, self.bos_id: BOS}[number]

    def encode(self, tokens: Iterable[str]) -> npt.NDArray[np.int32]:
        """The ids of one sentence's tokens, int32, shape (tokens,); no `</s>` is added."""
        get, unk_id = self.word_to_id.get, self.unk_id
        return np.array([get(token, unk_id) for token in tokens], np.int32)

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The tokens of some ids."""
        return [self.id_to_token(number) for number in ids]

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {"words": list(self.words), "text": to_mapping(self.text)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Vocabulary:
        """The vocabulary that `to_json` described.

        Raises
        ------
        UserError
            The values are not those of a vocabulary.

        Examples
        --------
        >>> vocabulary = Vocabulary(("a", "b"), TextConfig(unit="char"))
        >>> Vocabulary.from_json(vocabulary.to_json()) == vocabulary
        True
        """
        words, text = values.get("words"), values.get("text")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise UserError("a vocabulary's words must be a list of texts")
        if not isinstance(text, Mapping):
            raise UserError("a vocabulary must say how its text was tokenized")
        return cls(tuple(words), from_mapping(TextConfig, text))
