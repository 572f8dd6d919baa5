"""Trained models as the commands use them: opened with the wait shown, alone or mixed."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from theano_rnn.cli.console import compiling_progress
from theano_rnn.language_model import LanguageModel, batches_of
from theano_rnn.preprocessing import encode_file
from theano_rnn.scoring.interpolation import Mixture, fitted_weights, token_losses
from theano_rnn.scoring.sentences import Scorer
from theano_rnn.settings.base import UserError
from theano_rnn.settings.machine import MachineConfig
from theano_rnn.settings.text import TextConfig
from theano_rnn.settings.use import MixtureConfig
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import detokenize


def compile_showing(model: Any, name: str, machine: MachineConfig, **options: Any) -> Any:
    """One of a model's functions, compiled as `machine` says; the wait is shown."""
    progress, close = compiling_progress(machine.engine)
    try:
        num_devices = int(getattr(machine, "num_devices", 1)) if name in ("train", "loss") else 1
        functions = model.compile(
            name, engine=machine.engine, device=machine.device, num_devices=num_devices, progress=progress, **options
        )
        return getattr(functions, name)
    finally:
        close()


def opened(path: str, machine: MachineConfig, *, task: str = "next", sentences: str | None = None) -> LanguageModel:
    """The model of a checkpoint; with `sentences`, text is split otherwise than in training."""

    def compiled(model: Any, name: str, *, engine: str, device: str, **options: Any) -> Any:
        return compile_showing(model, name, machine, **options)

    model = LanguageModel(path, task=task, engine=machine.engine, device=machine.device, compiled=compiled)
    if sentences:
        text: TextConfig = dataclasses.replace(model.vocabulary.text, sentences=sentences)
        model.vocabulary = dataclasses.replace(model.vocabulary, text=text)
    return model


def mixed(model: LanguageModel, config: MixtureConfig, machine: MachineConfig) -> tuple[Scorer, list[float] | None]:
    """What measures texts with `model` and those that are interpolated with it, and their weights if there are any.

    Weights that were fitted are said on standard error.
    """
    if not config.interpolate:
        return model.scorer(), None
    models = [model]
    for path in config.interpolate:
        other = opened(path, machine, sentences=model.vocabulary.text.sentences)
        if other.vocabulary != model.vocabulary:
            raise UserError(f"{path} has another vocabulary, or takes text otherwise: models can be interpolated "
                            "where their vocabularies are the same")  # fmt: skip
        if other.start_id != model.start_id:
            raise UserError(f"{path} was trained with another --batching: models can be interpolated where texts "
                            "start alike")  # fmt: skip
        models.append(other)
    members = [each.scorer() for each in models]
    weights = list(config.weights)
    if config.fit_weights is not None:
        ids = encode_file(config.fit_weights, model.vocabulary)
        batches = batches_of(ids, model.vocabulary, model.training, dtype=members[0].dtype)
        weights = [float(w) for w in fitted_weights(np.array([token_losses(member, batches) for member in members]))]
        print(f"weights that fit {config.fit_weights}: {' '.join(f'{w:.4f}' for w in weights)}", file=sys.stderr)
    if len(weights) != len(models):
        raise UserError(f"--weights must be {len(models)} numbers, one for each checkpoint, got {len(weights)}")
    return Mixture(members, weights).scorer(), weights


def filled(
    predict: Any, model: Any, vocabulary: Vocabulary, ids: Any, *, num_sentences: int, seed: Sequence[int]
) -> list[str]:
    """Sentences of a text, one word of each left out, and what the model would fill in; which ones is random."""
    from theano_rnn.tasks.fill import examples

    found = examples(predict, model.initial_state, vocabulary, ids, rng=np.random.default_rng(seed), num_words=3,
                     dtype=model.config.dtype)  # fmt: skip
    return [
        f"{detokenize(tokens, vocabulary.text)}   ({word}: {', '.join(f'{guess} {p:.2f}' for guess, p in guesses)})"
        for tokens, word, guesses in itertools.islice(found, num_sentences)
    ]
