"""Scoring a whole text as one stream, with a fixed model or one that adapts to the text."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from theano_rnn.learning.batching import Batch, text_batches
from theano_rnn.learning.checkpoint import assign
from theano_rnn.learning.evaluation import evaluate
from theano_rnn.preprocessing import encode_file, encode_source
from theano_rnn.scoring.dynamic_evaluation import DynamicRule, SquaresRule
from theano_rnn.scoring.neural_cache import NeuralCache
from theano_rnn.scoring.sentences import Scorer, Totals
from theano_rnn.settings.use import AdaptationConfig
from theano_rnn.text.sources import Source
from theano_rnn.text.tokenizing import Progress

STATISTICS_BATCH_SIZE = 100
MIN_COLUMN_TOKENS = 2000  # the first tokens of a column lack the text before them; of so many, they hardly count
NO_ADAPTATION = AdaptationConfig()


def stream_totals(
    path: str | os.PathLike[str],
    model: Any,
    *,
    column: str | None = None,
    scorer: Callable[[], Scorer] | None = None,
    adaptation: AdaptationConfig = NO_ADAPTATION,
    exclude_unknown: bool = False,
    columns: int | None = None,
    progress: Progress | None = None,
    on_batch: Callable[[int, int], None] | None = None,
) -> Totals:
    """Score a text as one stream. Returns its totals.

    Parameters
    ----------
    path
        As of `corpus.encode_file`.
    model
        The model; its vocabulary and settings tokenize the text.
    column
        The column of a table with the text, as of `text.sources.Source`; also of `adaptation.statistics_from`.
    scorer
        Returns a scorer to use instead of the model, such as a mixture. It is called after the text has been read, so
        that a bad file is reported before anything is compiled.
    adaptation
        How the model adapts. Its parameters are restored at the end.
    exclude_unknown
        Leave tokens that are not in the vocabulary out of the sums.
    columns
        The number of parts that are scored side by side, each from the initial state. By default that of the training,
        but with at least 2,000 tokens in each. A model that adapts has one.
    progress
        As of `corpus.encode_file`.
    on_batch
        Called after each batch with the number of tokens scored so far and the number of all tokens.
    """
    vocabulary = model.vocabulary
    with Source(path, column) as source:
        ids = encode_source(source, vocabulary, progress=progress)
        totals = Totals(read=len(ids), unknown=int(np.count_nonzero(ids == vocabulary.unk_id)))
        totals.words, totals.characters = source.count(vocabulary.text)
    totals.sentences = int(np.count_nonzero(ids == model.end_id))
    totals.columns = 1 if adaptation.is_adaptive else columns or default_columns(len(ids), model.training.batch_size)
    config = dataclasses.replace(model.training, batching="stream", batch_size=totals.columns)
    if adaptation.dynamic != "no":
        config = dataclasses.replace(config, bptt_steps=adaptation.dynamic_steps)
    dtype = model.model.config.dtype
    try:
        text_scorer = (
            (scorer or model.scorer)() if not adaptation.is_adaptive else adaptive_scorer(model, adaptation, column)
        )
        evaluation = evaluate(
            text_scorer.loss,
            text_batches(ids, vocabulary, config, dtype=dtype, start=model.start_id),
            text_scorer.initial_state,
            on_batch=None if on_batch is None else lambda tokens: on_batch(tokens, len(ids)),
            is_counted=(lambda batch: is_known(batch, vocabulary.unk_id)) if exclude_unknown else None,
        )
    finally:
        if adaptation.dynamic != "no":
            assign(model.model.params, model.checkpoint.best)
    assert evaluation is not None
    totals.nats, totals.tokens = evaluation.total, evaluation.num_targets
    return totals


def default_columns(num_tokens: int, batch_size: int) -> int:
    """Returns the number of columns for a text: `batch_size`, or fewer for a short text.

    >>> default_columns(205, 20), default_columns(10_000, 20), default_columns(10**6, 20)
    (1, 5, 20)
    """
    return max(1, min(batch_size, num_tokens // MIN_COLUMN_TOKENS))


def is_known(batch: Batch, unk_id: int) -> Any:
    """Returns which targets of a batch are real and words of the vocabulary: bool (time, batch)."""
    return (batch.mask > 0) & (batch.targets != unk_id)


def adaptive_scorer(model: Any, config: AdaptationConfig, column: str | None) -> Scorer:
    """Returns a scorer that adapts the model to each window after scoring it."""
    loss = neural_cache_loss(model, config) if config.cache_size else dynamic_evaluation_loss(model, config, column)
    return Scorer(loss, model.model.initial_state, model.vocabulary, model.start_id, model.model.config.dtype)


def neural_cache_loss(model: Any, config: AdaptationConfig) -> Callable[..., list[Any]]:
    """Returns a replacement for the model's ``loss`` that adds a neural cache."""
    cache, features = (
        NeuralCache(config.cache_size, config.cache_theta, config.cache_weight),
        model.function("features"),
    )

    def loss(tokens: Any, targets: Any, mask: Any, *state: Any) -> list[Any]:
        losses, h, *final = features(tokens, targets, mask, *state)
        return [cache.losses(losses, h, targets, mask), *final]

    return loss


def dynamic_evaluation_loss(model: Any, config: AdaptationConfig, column: str | None) -> Callable[..., list[Any]]:
    """Returns a replacement for the model's ``loss`` that trains the model on each window after scoring it."""
    dtype = model.model.config.dtype
    statistics = mean_squared_gradients(model, config, column) if config.dynamic == "rms" else None
    train = model.compile("train", update=DynamicRule(config.dynamic_decay, statistics))
    rate = np.asarray(config.dynamic_rate, dtype)

    def loss(tokens: Any, targets: Any, mask: Any, *state: Any) -> list[Any]:
        mean, *final = train(tokens, targets, mask, *state, rate)
        return [float(mean) * np.asarray(mask, np.float64), *final]  # the sum equals that of the tokens' own losses

    return loss


def mean_squared_gradients(model: Any, config: AdaptationConfig, column: str | None) -> dict[str, Any]:
    """Returns the mean square of each parameter's gradient over the windows of a text, by parameter name."""
    assert config.statistics_from is not None
    rule = SquaresRule()
    train = model.compile("train", update=rule)
    training = dataclasses.replace(model.training, batching="stream", batch_size=STATISTICS_BATCH_SIZE,
                                   bptt_steps=config.dynamic_steps)  # fmt: skip
    dtype = model.model.config.dtype
    ids = encode_file(config.statistics_from, model.vocabulary, column=column)
    batches = text_batches(ids, model.vocabulary, training, dtype=dtype)
    state: Any = ()
    for batch in batches:
        state = model.model.initial_state(STATISTICS_BATCH_SIZE) if batch.is_start else state
        _, *state = train(*batch.arrays, *state, np.asarray(1 / len(batches), dtype))
    return {name: total.get_value() for name, total in rule.sums.items()}
