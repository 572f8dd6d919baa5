"""Scoring: log-probabilities in nats of tokens, sentences and whole texts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.learning.batching import Sentences, sentence_end
from theano_rnn.learning.evaluation import LossFunction, StateFunction
from theano_rnn.learning.measures import perplexity
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import word_tokenizer

CHUNK = 1024  # sentences read ahead, so that those of similar length share a batch


@dataclass
class Totals:
    """What a text comes to: sums over its tokens, and its size in the units people measure by.

    `nats`: negative log-likelihood of the `tokens` that count; `unknown`: of the `read` tokens those that the
    vocabulary does not know; `words` are separated by blanks, `characters` are Unicode's, line breaks and blanks
    between sentences counted.
    """

    nats: float = 0.0
    tokens: int = 0
    unknown: int = 0
    read: int = 0
    sentences: int = 0
    words: int = 0
    characters: int = 0

    def add_text(self, text: str) -> None:
        """Count a sentence's words and characters, and one character between it and the next."""
        self.words += len(text.split())
        self.characters += len(text) + 1

    def summary(self, log_base: str = "e") -> dict[str, Any]:
        """Plain values for JSON: losses in nats, or with `log_base` of "2" in bits, per token, word, ...

        >>> totals = Totals(nats=2 * math.log(2), tokens=2, read=2, words=1, characters=4, sentences=1)
        >>> totals.summary("2")["loss_per_character"], totals.summary()["perplexity"]
        (0.5, 2.0)
        """
        total = self.nats / unit_of(log_base)
        per = {name: getattr(self, f"{name}s") for name in ("word", "character", "sentence")}
        return {
            "tokens": self.tokens,
            "loss": total / self.tokens if self.tokens else math.nan,
            "perplexity": perplexity(self.nats / self.tokens) if self.tokens else math.nan,
            "unk_rate": self.unknown / self.read if self.read else math.nan,
            "unknown": self.unknown,
            **{f"{name}s": count for name, count in per.items()},
            **{f"loss_per_{name}": total / count if count else None for name, count in per.items()},
            "log_base": log_base,
        }


def unit_of(log_base: str) -> float:
    """Nats in one unit of information: 1 with base e, ln 2 with base 2, where the unit is the bit."""
    return 1.0 if log_base == "e" else math.log(float(log_base))


class SentenceScore(NamedTuple):
    """A sentence as read, its tokens (the end included) and the log-probability of each in nats."""

    sentence: str
    ids: Any
    log_probabilities: Any

    @property
    def total(self) -> float:
        """Log-probability of the whole sentence in nats."""
        return float(np.sum(self.log_probabilities, dtype=np.float64))

    def without(self, id_: int) -> SentenceScore:
        """The score of the other tokens."""
        kept = self.ids != id_
        return self._replace(ids=self.ids[kept], log_probabilities=self.log_probabilities[kept])


class Scorer(NamedTuple):
    """What texts are measured with: a model's or a mixture's ``loss``, and how it takes text.

    `loss`, `initial_state`: as of a model; `start_id`: stands before the first token; `dtype`: of masks.
    """

    loss: LossFunction
    initial_state: StateFunction
    vocabulary: Vocabulary
    start_id: int
    dtype: str = "float32"

    def sentences(self, sentences: Iterable[str]) -> Iterator[SentenceScore]:
        """The score of each sentence as it stands in a text, its end a token too; as of `score_sentences`."""
        vocabulary = self.vocabulary
        tokenize = word_tokenizer(vocabulary.text)
        has_end = vocabulary.text.unit == "word" or "\n" in vocabulary
        end = [sentence_end(vocabulary)] if has_end else []
        encoded = ((sentence, [*vocabulary.encode(tokenize(sentence)), *end]) for sentence in sentences)
        return score_sentences(self.loss, encoded, self.initial_state, vocabulary, start_id=self.start_id,
                               dtype=self.dtype)  # fmt: skip


def score_sentences(
    loss: LossFunction,
    sentences: Iterable[tuple[str, Sequence[int]]],
    initial_state: StateFunction,
    vocabulary: Vocabulary,
    *,
    start_id: int,
    batch_size: int = 32,
    dtype: str = "float32",
) -> Iterator[SentenceScore]:
    """The score of each ``(sentence, ids)``, every one from a zero state, in the order of the input.

    The ids end with what ends a sentence; memory does not grow with the number of sentences.
    """
    for chunk in chunks(sentences, CHUNK):
        lengths = [len(ids) for _, ids in chunk]
        ids = np.concatenate([np.asarray(ids, np.int32) for _, ids in chunk])
        batches = Sentences(ids, batch_size=batch_size, start_id=start_id, pad_id=vocabulary.pad_id,
                            lengths=np.array(lengths), dtype=dtype)  # fmt: skip
        scores = np.zeros(len(ids))
        state: Any = ()
        for (members, first, _), batch in zip(batches.plan, batches):
            state = initial_state(batch_size) if batch.is_start else state
            losses, *state = loss(batch.tokens, batch.targets, batch.mask, *state)
            losses = np.asarray(losses)  # of an engine's device
            for column, member in enumerate(members):
                count = int(batch.mask[:, column].sum())
                begin = batches.begins[member] + first
                scores[begin : begin + count] = -losses[:count, column]
        for (sentence, _), begin, length in zip(chunk, batches.begins, lengths):
            yield SentenceScore(sentence, ids[begin : begin + length], scores[begin : begin + length])


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of `size` items, the last one shorter."""
    chunk = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
