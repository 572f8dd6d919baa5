"""A language model in a safetensors file that PyTorch can read, and checkpoints from such files.

The tensors are those of `pytorch_exchange`. The metadata has one entry (`KEY`), a JSON object with format version,
settings, vocabulary and `start_id`, the id that stands before the first token of a text: the file alone is enough to
score texts and to be imported. It has the best parameters; optimizer and counters stay in the checkpoint.
"""

from __future__ import annotations

import json
import os
from typing import Any

import safetensors
import safetensors.numpy

from theano_rnn.exchange.pytorch_exchange import from_pytorch, to_pytorch
from theano_rnn.language_model import LanguageModel
from theano_rnn.learning.checkpoint import KEY as CHECKPOINT_KEY
from theano_rnn.learning.checkpoint import Arrays, Checkpoint, values_of
from theano_rnn.settings.base import UserError, to_mapping
from theano_rnn.settings.network import ModelConfig
from theano_rnn.settings.training import TrainingConfig, from_checkpoint, resolved_head
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.training import Progress

FORMAT_VERSION = 1
KEY = "theano_rnn_export"


def exported(model: LanguageModel) -> bytes:
    """The file: tensors, and settings and vocabulary in its metadata; the same for the same model."""
    config = model.model.config
    facts = {
        "format_version": FORMAT_VERSION,
        "settings": {"model": to_mapping(config), "training": to_mapping(model.training)},
        "vocabulary": model.vocabulary.to_json(),
        "start_id": model.start_id,
    }
    arrays = to_pytorch(values_of(model.model.params), config)
    return safetensors.numpy.save(arrays, {KEY: json.dumps(facts, sort_keys=True)})


def imported(path: str | os.PathLike[str], *, like: Checkpoint | None = None) -> Checkpoint:
    """A checkpoint that can be used, or trained on from with ``--init-from``, but not resumed.

    Parameters
    ----------
    path
        A safetensors file with a ``state_dict``.
    like
        Where settings and vocabulary are taken from; by default the file's metadata, as `exported` writes them.

    Raises
    ------
    UserError
        As of `from_pytorch`, or the file is damaged or of another kind, or says nothing of its vocabulary.
    """
    arrays, facts = read(path)
    if like is not None:
        settings, vocabulary = like.settings, like.vocabulary
    elif facts is None:
        raise UserError(f"{path} does not say which words its rows are: name with --like a checkpoint with the same "
                        "vocabulary and settings")  # fmt: skip
    else:
        settings, vocabulary = facts
    training = from_checkpoint(TrainingConfig, settings["training"])
    config = resolved_head(from_checkpoint(ModelConfig, settings["model"]), training)
    if config.vocab_size != len(vocabulary):
        raise UserError(f"{path} is damaged: {len(vocabulary)} words for {config.vocab_size} columns")
    try:
        params = from_pytorch(arrays, config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    stored = {"model": to_mapping(config), "text": to_mapping(vocabulary.text), "training": to_mapping(training)}
    progress = Progress(learning_rate=float(training.learning_rate or 0), is_finished=True)
    return Checkpoint(stored, {"vocabulary": vocabulary}, "", progress.to_json(), last=params, best=params)


def read(path: str | os.PathLike[str]) -> tuple[Arrays, tuple[dict[str, Any], Vocabulary] | None]:
    """The tensors of a safetensors file, and the settings and vocabulary that its metadata has, if any."""
    with open(path, "rb"):  # a clear OSError before safetensors sees the name
        pass
    try:
        with safetensors.safe_open(os.fspath(path), "np") as file:
            metadata = file.metadata() or {}
            if CHECKPOINT_KEY in metadata:
                raise UserError(f"{path} is a checkpoint of theano_rnn already")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (safetensors.SafetensorError, TypeError) as error:  # a TypeError for what NumPy has no dtype of
        raise UserError(f"{path} is damaged or no safetensors file of float32 ({error}): PyTorch writes one with "
                        "safetensors.torch.save_model(model, path)") from None  # fmt: skip
    if KEY not in metadata:
        return arrays, None
    try:
        facts = json.loads(metadata[KEY])
        if facts["format_version"] > FORMAT_VERSION:
            raise UserError(f"{path} was written by a newer theano_rnn: update theano_rnn")
        settings = facts["settings"]
        return arrays, ({name: dict(settings[name]) for name in ("model", "training")},
                        Vocabulary.from_json(facts["vocabulary"]))  # fmt: skip
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is damaged: its settings cannot be read") from None
