"""Scoring sentences: log-probabilities of tokens and sentences in nats, and totals over a text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.learning.batching import Sentences, sentence_end
from theano_rnn.learning.evaluation import LossFunction, StateFunction
from theano_rnn.learning.measures import perplexity
from theano_rnn.text.normalizing import normalize
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import model_tokenizer

CHUNK = 1024  # number of sentences read ahead, so that sentences of similar length share a batch


@dataclass
class Totals:
    """Totals of a scored text: its negative log-likelihood and its size.

    `nats`: negative log-likelihood of the `tokens` that are counted. `read`: number of tokens read; `unknown`: how many
    of these are not in the vocabulary. `words` are separated by blanks. `characters` are those of the text as it was
    read, line breaks included (`text.sources.Source.count`). `columns`: of a stream, how many parts were scored side by
    side.
    """

    nats: float = 0.0
    tokens: int = 0
    unknown: int = 0
    read: int = 0
    sentences: int = 0
    words: int = 0
    characters: int = 0
    columns: int | None = None

    def summary(self, log_base: str = "e") -> dict[str, Any]:
        """Returns plain values for JSON. Losses are in nats, or in bits if `log_base` is "2", per token, word, ...

        >>> totals = Totals(nats=2 * math.log(2), tokens=2, read=2, words=1, characters=4, sentences=1)
        >>> totals.summary("2")["loss_per_character"], totals.summary()["perplexity"]
        (0.5, 2.0)
        """
        total = self.nats / nats_per_unit(log_base)
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
            **({} if self.columns is None else {"columns": self.columns}),
        }


def nats_per_unit(log_base: str) -> float:
    """Returns the number of nats in one unit of information: 1 for base e (nats), ln 2 for base 2 (bits)."""
    return 1.0 if log_base == "e" else math.log(float(log_base))


class SentenceScore(NamedTuple):
    """A sentence, the ids of its tokens (end included), and the log-probability of each in nats."""

    sentence: str
    ids: Any
    log_probabilities: Any

    @property
    def total(self) -> float:
        """Log-probability of the sentence in nats."""
        return float(np.sum(self.log_probabilities, dtype=np.float64))

    def without(self, id_: int) -> SentenceScore:
        """Returns the score without the tokens with this id."""
        kept = self.ids != id_
        return self._replace(ids=self.ids[kept], log_probabilities=self.log_probabilities[kept])


class Scorer(NamedTuple):
    """A model or a mixture that scores texts: its loss function, vocabulary and start id.

    `loss`, `initial_state`: as of a model. `start_id`: the id before the first token. `dtype`: of masks.
    """

    loss: LossFunction
    initial_state: StateFunction
    vocabulary: Vocabulary
    start_id: int
    dtype: str = "float32"

    def sentences(self, sentences: Iterable[str]) -> Iterator[SentenceScore]:
        """Tokenize and score each sentence, with a token for its end; see `score_sentences`."""
        vocabulary = self.vocabulary
        tokenize = model_tokenizer(vocabulary)
        has_end = vocabulary.text.has_sentences or "\n" in vocabulary
        end = [sentence_end(vocabulary)] if has_end else []
        texts = ((sentence, normalize(sentence, vocabulary.text)) for sentence in sentences)
        encoded = ((sentence, [*vocabulary.encode(tokenize(text)), *end]) for sentence, text in texts)
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
    """Score each ``(sentence, ids)`` from the zero state, in the order of the input.

    The ids include the end of the sentence. Memory does not grow with the number of sentences.
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
            losses = np.asarray(losses)  # from the engine's device
            for row, member in enumerate(members):
                count = int(batch.mask[:, row].sum())
                begin = batches.begins[member] + first
                scores[begin : begin + count] = -losses[:count, row]
        for (sentence, _), begin, length in zip(chunk, batches.begins, lengths):
            yield SentenceScore(sentence, ids[begin : begin + length], scores[begin : begin + length])


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield lists of `size` items; the last one may be shorter."""
    chunk = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
