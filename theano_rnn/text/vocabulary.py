"""The vocabulary: maps words to ids and back, for training, scoring, generation and checkpoints alike.

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
from theano_rnn.settings.text import CorpusConfig, TextConfig
from theano_rnn.text.spacing import has_spacing_marks, other_forms
from theano_rnn.text.subword_files import read_tokenizer
from theano_rnn.text.subwords import learn_tokenizer, subword_encoder

UNK, EOS, PAD, BOS = "<unk>", "</s>", "<pad>", "<s>"
DEFAULT_TEXT = TextConfig()


@dataclass(frozen=True)
class Vocabulary:
    """Words and their ids: `<unk>` is 0, `</s>` is 1, then the words, most frequent first.

    Words are sorted by `(-count, word)`, so their ids do not depend on the order of the text. `<pad>` and `<s>` have
    the ids after the words; they are for input only and never predicted. A literal `</s>` in the text is an ordinary
    word.

    Parameters
    ----------
    words
        The words with ids 2, 3, ..., each once.
    text
        How the text was tokenized; any other text must be tokenized the same way.
    paragraph_ends
        How often a sentence ends its paragraph, as of `text.paragraphs.paragraph_ends`; empty if that is not known,
        None if it has not been counted yet.
    tokenizer
        With `unit="subword"`, the JSON of the tokenizer that splits words into pieces. The pieces, in the order of
        their numbers, are `words`.

    Raises
    ------
    UserError
        If there is no word, a word occurs twice, or a vocabulary of subwords has no tokenizer.

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
    paragraph_ends: Mapping[str, Sequence[float]] | None = field(default=None, compare=False)
    tokenizer: str | None = field(default=None, repr=False)
    word_to_id: Mapping[str, int] = field(init=False, repr=False, compare=False)

    unk_id = 0
    eos_id = 1

    def __post_init__(self) -> None:
        word_to_id = {word: number for number, word in enumerate(self.words, start=2)}
        if not word_to_id:
            raise UserError("a vocabulary needs at least one word")
        if len(word_to_id) < len(self.words):
            raise UserError(f"words must be unique, but {Counter(self.words).most_common(1)[0][0]!r} occurs twice")
        if (self.text.unit == "subword") != (self.tokenizer is not None):
            raise UserError("a vocabulary needs a tokenizer if its unit is subword, and must have none otherwise")
        object.__setattr__(self, "word_to_id", word_to_id)

    @classmethod
    def from_sentences(
        cls,
        sentences: Iterable[Iterable[str]],
        max_size: int | None = None,
        min_count: int = 1,
        text: TextConfig = DEFAULT_TEXT,
    ) -> Vocabulary:
        """Returns the vocabulary of tokenized sentences; see `from_counts`."""
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
        """Returns the vocabulary of the most frequent `types`.

        Parameters
        ----------
        types
            Distinct words, in any order.
        counts
            How often each word occurs.
        max_size
            Maximum size of the vocabulary, `<unk>` and `</s>` included; at least 3.
        min_count
            Words that occur less often are left out.
        text
            How the text was tokenized. With `tokens="whitespace"`, a literal `<unk>` in the text is the unknown word.
            With `unit="subword"`, pieces are learned, as of `subwords.learn_tokenizer`.

        Raises
        ------
        UserError
            If `max_size` is less than 3, or no word is left.
        """
        if max_size is not None and max_size < 3:
            raise UserError(f"max_size must be at least 3 (<unk>, </s> and one word), got {max_size}")
        if text.unit == "subword":
            limit = CorpusConfig.vocab_size if max_size is None else max_size
            return cls.from_tokenizer(learn_tokenizer(types, counts, max_size=limit, min_count=min_count), text)
        counts = np.asarray(counts)
        kept = np.flatnonzero(counts >= max(min_count, 1))
        if text.unit == "word" and text.tokens == "whitespace":
            kept = kept[[types[number] != UNK for number in kept]] if kept.size else kept
        if not kept.size:
            raise UserError(
                f"no word occurs at least {min_count} times, so the vocabulary would be empty: "
                "add text, or lower min_count"
            )
        if max_size is not None and kept.size > max_size - 2:  # sort no more than needed: there may be millions
            rarest = np.partition(counts[kept], kept.size - (max_size - 2))[kept.size - (max_size - 2)]
            kept = kept[counts[kept] >= rarest]
        ordered = sorted((-int(counts[number]), types[number]) for number in kept)
        return cls(tuple(word for _, word in ordered[: None if max_size is None else max_size - 2]), text)

    @classmethod
    def from_tokenizer(cls, tokenizer: str, text: TextConfig) -> Vocabulary:
        """Returns the vocabulary of the pieces of a tokenizer, given as JSON."""
        return cls(read_tokenizer(tokenizer)[0], text, tokenizer=tokenizer)

    @property
    def vocab_size(self) -> int:
        """The size of the output layer: the number of words, plus `<unk>` and `</s>`."""
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
        """Returns the id of a word; `unk_id` if it is not in the vocabulary.

        If the vocabulary has the token only with other spacing marks, or without, that one counts.

        >>> vocabulary = Vocabulary(("Oh", "!", "▁?"))
        >>> [vocabulary.token_to_id(token) for token in ("!", "▁!", "▁?", "?", ".")]
        [3, 3, 4, 4, 0]
        """
        number = self.word_to_id.get(token)
        if number is None and has_spacing_marks(self.text):
            number = next(filter(None, map(self.word_to_id.get, other_forms(token))), None)
        return self.unk_id if number is None else number

    def ids_of_token(self, token: str) -> Sequence[int]:
        """Returns the ids of a token as `word_tokenizer` splits it off: one, or, of subwords, those of its pieces."""
        if self.tokenizer is None:
            return (self.token_to_id(token),)
        return [number + 2 for number in subword_encoder(self.tokenizer).numbers(token)]

    def pieces(self, token: str) -> list[str]:
        """Returns the tokens that the model reads for a token of `word_tokenizer`: itself, or its pieces."""
        return [token] if self.tokenizer is None else self.decode(self.ids_of_token(token))

    def id_to_token(self, number: int) -> str:
        """Returns the word of an id, or `<unk>`, `</s>`, `<pad>` or `<s>`.

        Raises
        ------
        ValueError
            If there is no such id.
        """
        number = int(number)
        if not 0 <= number < self.vocab_size + 2:
            raise ValueError(f"id must be from 0 to {self.vocab_size + 1}, got {number}")
        if 2 <= number < self.vocab_size:
            return self.words[number - 2]
        return {self.unk_id: UNK, self.eos_id: EOS, self.pad_id: PAD, self.bos_id: BOS}[number]

    def encode(self, tokens: Iterable[str]) -> npt.NDArray[np.int32]:
        """Returns the ids of the tokens of one sentence, int32, shape (tokens,), without `</s>` at the end."""
        return np.array([self.token_to_id(token) for token in tokens], np.int32)

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Returns the tokens of the ids."""
        return [self.id_to_token(number) for number in ids]

    def to_json(self) -> dict[str, Any]:
        """Returns plain values for a JSON file."""
        ends = {token: list(rates) for token, rates in (self.paragraph_ends or {}).items()}
        values = {"words": list(self.words), "text": to_mapping(self.text)}
        values |= {} if self.tokenizer is None else {"tokenizer": self.tokenizer}
        return values | ({"paragraph_ends": ends} if ends else {})

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Vocabulary:
        """Returns the vocabulary that `to_json` was called on.

        Raises
        ------
        UserError
            If the values do not describe a vocabulary.

        Examples
        --------
        >>> vocabulary = Vocabulary(("a", "b"), TextConfig(unit="char"))
        >>> Vocabulary.from_json(vocabulary.to_json()) == vocabulary
        True
        """
        words, text = values.get("words"), values.get("text")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise UserError("the vocabulary's words must be a list of strings")
        if not isinstance(text, Mapping):
            raise UserError(
                "the vocabulary does not say how its text was tokenized: its 'text' must be a table of settings"
            )
        ends = values.get("paragraph_ends", {})
        if not is_paragraph_ends(ends):
            raise UserError("the vocabulary's paragraph_ends must map tokens, '' among them, to two probabilities")
        config, tokenizer = from_mapping(TextConfig, {"rules": 1, **text}), values.get("tokenizer")
        if config.unit == "subword":
            if not isinstance(tokenizer, str):
                raise UserError("the vocabulary of subwords has no tokenizer")
            if read_tokenizer(tokenizer)[0] != tuple(words):
                raise UserError("the tokenizer of the vocabulary does not have its pieces")
        return cls(tuple(words), config, ends, tokenizer if config.unit == "subword" else None)


def is_paragraph_ends(values: Any) -> bool:
    """Returns whether values from a file have the form of `Vocabulary.paragraph_ends`."""

    def is_pair(rates: Any) -> bool:
        return isinstance(rates, list) and len(rates) == 2 and all(
            isinstance(rate, float | int) and 0 <= rate <= 1 for rate in rates
        )  # fmt: skip

    return isinstance(values, Mapping) and (not values or "" in values) and all(map(is_pair, values.values()))
