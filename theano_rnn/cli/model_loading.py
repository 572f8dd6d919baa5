"""Trained models as the commands use them: opened while a display shows the wait, alone or mixed."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from theano_rnn.cli.console import compiling_progress
from theano_rnn.language_model import LanguageModel
from theano_rnn.learning.batching import text_batches
from theano_rnn.preprocessing import encode_file
from theano_rnn.scoring.interpolation import Mixture, fitted_weights, token_losses
from theano_rnn.scoring.sentences import Scorer
from theano_rnn.settings.base import UserError
from theano_rnn.settings.machine import MachineConfig
from theano_rnn.settings.use import MixtureConfig
from theano_rnn.tasks.trained_model import TrainedModel


def compile_showing(model: Any, name: str, machine: MachineConfig, **options: Any) -> Any:
    """Compile one of a model's functions as `machine` says, and show the wait."""
    progress, close = compiling_progress(machine.engine)
    try:
        num_devices = int(getattr(machine, "num_devices", 1)) if name in ("train", "loss") else 1
        functions = model.compile(
            name, engine=machine.engine, device=machine.device, num_devices=num_devices, progress=progress, **options
        )
        return getattr(functions, name)
    finally:
        close()


def open_model(path: str, machine: MachineConfig, *, task: str) -> TrainedModel:
    """The trained model of a task."""
    return TrainedModel(path, task=task, **loading_options(machine))


def open_language_model(path: str, machine: MachineConfig, *, sentences: str | None = None) -> LanguageModel:
    """A trained language model; with `sentences`, text is split into sentences otherwise than in training."""
    return LanguageModel(path, sentences=sentences, **loading_options(machine))


def loading_options(machine: MachineConfig) -> dict[str, Any]:
    """Engine and device, and a compiler that shows the wait."""

    def compiler(model: Any, name: str, *, engine: str, device: str, **options: Any) -> Any:
        return compile_showing(model, name, machine, **options)

    return {"engine": machine.engine, "device": machine.device, "compiler": compiler}


def mixed(model: LanguageModel, config: MixtureConfig, machine: MachineConfig) -> tuple[Scorer, list[float] | None]:
    """A scorer by `model` and the models that are interpolated with it, and their weights if there are any.

    Weights that were fitted are printed to standard error.
    """
    if not config.interpolate:
        return model.scorer(), None
    models = [model]
    for path in config.interpolate:
        other = open_language_model(path, machine, sentences=model.vocabulary.text.sentences)
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
        batches = text_batches(ids, model.vocabulary, model.training, dtype=members[0].dtype)
        weights = [float(w) for w in fitted_weights(np.array([token_losses(member, batches) for member in members]))]
        print(f"weights that fit {config.fit_weights}: {' '.join(f'{w:.4f}' for w in weights)}", file=sys.stderr)
    if len(weights) != len(models):
        raise UserError(f"--weights must be {len(models)} numbers, one for each checkpoint, got {len(weights)}")
    return Mixture(members, weights).scorer(), weights
