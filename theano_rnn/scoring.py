"""Scoring: log-probabilities in nats of tokens, sentences and whole texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.batching import Batch, Sentences
from theano_rnn.preprocessing import Vocabulary

LossFunction = Callable[..., list[Any]]
StateFunction = Callable[[int], tuple[Any, ...]]
CHUNK = 1024  # sentences read ahead, so that those of similar length share a batch


def perplexity(loss: float) -> float:
    """Perplexity, exp of a mean `loss` in nats per token; infinite where that overflows.

    >>> round(perplexity(math.log(8000)), 6)
    8000.0
    """
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


class Evaluation(NamedTuple):
    """Sum of negative log-likelihoods in nats, and over how many tokens."""

    total: float
    tokens: int

    @property
    def loss(self) -> float:
        """Mean in nats per token; nan over no tokens."""
        return self.total / self.tokens if self.tokens else math.nan


def evaluate(
    loss: LossFunction,
    batches: Iterable[Batch],
    initial_state: StateFunction,
    *,
    on_batch: Callable[[int], bool | None] | None = None,
) -> Evaluation | None:
    """Negative log-likelihood of every target of `batches`, the state carried where they say so.

    `on_batch` is called with the tokens so far after every batch; where it returns True, evaluation ends with None.
    """
    total, tokens = 0.0, 0
    state: Any = ()
    for batch in batches:
        state = initial_state(batch.tokens.shape[1]) if batch.is_start else state
        losses, *state = loss(batch.tokens, batch.targets, batch.mask, *state)
        total += float(np.sum(np.asarray(losses), dtype=np.float64))
        tokens += int(batch.mask.sum())
        if on_batch is not None and on_batch(tokens):
            return None
    return Evaluation(total, tokens)


class SentenceScore(NamedTuple):
    """A sentence as read, its tokens (the end included) and the log-probability of each in nats."""

    sentence: str
    ids: Any
    log_probabilities: Any

    @property
    def total(self) -> float:
        """Log-probability of the whole sentence in nats."""
        return float(np.sum(self.log_probabilities, dtype=np.float64))


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
