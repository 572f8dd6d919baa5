"""Exports a language model to a safetensors file that PyTorch can read, and imports such files as checkpoints.

For the tensors see `pytorch_exchange`. The metadata has one entry (`KEY`), a JSON object with format version, settings,
vocabulary and `start_id`, the id before the first token of a text. So the file alone is enough to score texts and to be
imported. It contains the best parameters; the optimizer's state and the progress stay in the checkpoint.
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


def export_state_dict(model: LanguageModel) -> bytes:
    """Returns the file: tensors, with settings and vocabulary as metadata. Equal models give equal files."""
    config = model.model.config
    metadata = {
        "format_version": FORMAT_VERSION,
        "settings": {"model": to_mapping(config), "training": to_mapping(model.training)},
        "vocabulary": model.vocabulary.to_json(),
        "start_id": model.start_id,
    }
    arrays = to_pytorch(values_of(model.model.params), config)
    return safetensors.numpy.save(arrays, {KEY: json.dumps(metadata, sort_keys=True)})


def import_state_dict(path: str | os.PathLike[str], *, like: Checkpoint | None = None) -> Checkpoint:
    """Returns a checkpoint that can be used, or trained further with ``--init-from``, but not resumed.

    Parameters
    ----------
    path
        A safetensors file with a ``state_dict``.
    like
        The checkpoint that gives settings and vocabulary. By default they come from the file's metadata, as written by
        `export_state_dict`.

    Raises
    ------
    UserError
        As of `from_pytorch`; or the file is damaged, is not of this kind, or has no vocabulary.
    """
    arrays, stored = read(path)
    if like is not None:
        settings, vocabulary = like.settings, like.vocabulary
    elif stored is None:
        raise UserError(f"{path} does not contain its vocabulary and settings: give a checkpoint that has them with "
                        "--like")  # fmt: skip
    else:
        settings, vocabulary = stored
    training = from_checkpoint(TrainingConfig, settings["training"])
    config = resolved_head(from_checkpoint(ModelConfig, settings["model"]), training)
    if config.vocab_size != len(vocabulary):
        raise UserError(f"{path} is damaged: it has {len(vocabulary)} words, but vocab_size is {config.vocab_size}")
    try:
        params = from_pytorch(arrays, config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    sections = {"model": to_mapping(config), "text": to_mapping(vocabulary.text), "training": to_mapping(training)}
    progress = Progress(learning_rate=float(training.learning_rate or 0), is_finished=True)
    return Checkpoint(sections, {"vocabulary": vocabulary}, "", progress.to_json(), last=params, best=params)


def read(path: str | os.PathLike[str]) -> tuple[Arrays, tuple[dict[str, Any], Vocabulary] | None]:
    """Read a safetensors file. Returns its tensors, and settings and vocabulary if its metadata has them, else None."""
    with open(path, "rb"):  # raises a clearer OSError than safetensors does
        pass
    try:
        with safetensors.safe_open(os.fspath(path), "np") as file:
            metadata = file.metadata() or {}
            if CHECKPOINT_KEY in metadata:
                raise UserError(f"{path} is already a checkpoint of theano_rnn: use it as it is")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (safetensors.SafetensorError, TypeError) as error:  # a TypeError for dtypes that NumPy lacks
        raise UserError(f"{path} is damaged or not a safetensors file of float32 ({error}): write one in PyTorch with "
                        "safetensors.torch.save_model(model, path)") from None  # fmt: skip
    if KEY not in metadata:
        return arrays, None
    try:
        stored = json.loads(metadata[KEY])
        if stored["format_version"] > FORMAT_VERSION:
            raise UserError(f"{path} was written by a newer theano_rnn: update theano_rnn")
        settings = stored["settings"]
        return arrays, ({name: dict(settings[name]) for name in ("model", "training")},
                        Vocabulary.from_json(stored["vocabulary"]))  # fmt: skip
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is damaged: its settings cannot be read") from None
