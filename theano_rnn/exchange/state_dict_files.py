"""Exports a language model to a safetensors file that PyTorch can read, and imports such files as checkpoints.

For the tensors see `pytorch_exchange`. The metadata has one entry (`KEY`), a JSON object with format version, settings,
vocabulary and `start_id`, the id before the first token of a text. So the file alone is enough to score texts and to be
imported. It contains the best parameters; the optimizer's state and the progress stay in the checkpoint.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from theano_rnn.exchange.adaptive_decoder import HEAD, tail_names
from theano_rnn.exchange.pytorch_exchange import DECODER, ENCODER, OUR_GATES, from_pytorch, to_pytorch
from theano_rnn.exchange.word_lists import with_our_order
from theano_rnn.language_model import LanguageModel
from theano_rnn.learning.checkpoint import KEY as CHECKPOINT_KEY
from theano_rnn.learning.checkpoint import Arrays, Checkpoint, values_of
from theano_rnn.settings.base import UserError, to_mapping
from theano_rnn.settings.network import ModelConfig
from theano_rnn.settings.text import TEXT_RULES
from theano_rnn.settings.training import TrainingConfig, from_checkpoint, resolved_head
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.training import Progress

FORMAT_VERSION = 1
INFERRED = frozenset(["cell", "hidden_size", "embedding_size", "num_layers", "tie_weights"])  # shapes tell these
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


class Imported(NamedTuple):
    """Facts about a ``state_dict`` that its tensors do not contain: some or all settings, and the words."""

    model: Mapping[str, Any]
    training: Mapping[str, Any]
    vocabulary: Vocabulary


def import_state_dict(
    path: str | os.PathLike[str],
    *,
    like: Checkpoint | None = None,
    words: Sequence[str] | None = None,
    cell: str | None = None,
) -> Checkpoint:
    """Returns a checkpoint that can be used, or trained further with ``--init-from``, but not resumed.

    Parameters
    ----------
    path
        A safetensors file with a ``state_dict``.
    like
        The checkpoint that gives settings and vocabulary. By default they come from the file's metadata, as written by
        `export_state_dict` or by hand.
    words
        The words of a model of PyTorch's example, in the order of its rows (`word_lists.read_words`).
    cell
        "tanh" or "relu", if nothing else says which: their tensors have the same shapes.

    Raises
    ------
    UserError
        As of `from_pytorch`; or the file is damaged, is not of this kind, or has no vocabulary.
    """
    arrays, stored = read(path)
    try:
        if words is not None:
            arrays, vocabulary = with_our_order(arrays, words)
            stored = Imported({}, {}, vocabulary)
        elif like is not None:
            if stored is not None and stored.vocabulary.words != like.vocabulary.words:
                raise UserError("its words are not those of the checkpoint that --like names: leave out --like")
            stored = Imported(like.settings["model"], like.settings["training"], like.vocabulary)
        if stored is None:
            raise UserError("the file does not contain its words: give them with --words, or with --like a checkpoint "
                            "that has them")  # fmt: skip
        model = {"vocab_size": len(stored.vocabulary), **stored.model}
        if cell not in (None, model.get("cell", cell)):
            raise UserError(f"its cell is {model['cell']}, not {cell}: leave out --cell")
        if not model.keys() >= INFERRED:
            model = inferred_sizes(arrays, cell or model.get("cell")) | model
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    vocabulary = stored.vocabulary
    training = from_checkpoint(TrainingConfig, stored.training)
    config = resolved_head(from_checkpoint(ModelConfig, model), training)
    if config.vocab_size != len(vocabulary):
        raise UserError(f"{path} is damaged: it has {len(vocabulary)} words, but vocab_size is {config.vocab_size}")
    try:
        params = from_pytorch(arrays, config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    sections = {"model": to_mapping(config), "text": to_mapping(vocabulary.text), "training": to_mapping(training)}
    progress = Progress(learning_rate=float(training.learning_rate or 0), is_finished=True)
    return Checkpoint(sections, {"vocabulary": vocabulary}, "", progress.to_json(), last=params, best=params)


def inferred_sizes(arrays: Mapping[str, Any], cell: str | None) -> dict[str, Any]:
    """Returns the settings of a network that the shapes of PyTorch's tensors tell.

    Raises
    ------
    UserError
        There is no recurrent layer with an embedding, or the shapes do not show which cell it has.
    """
    try:
        rows, hidden_size = arrays["rnn.weight_hh_l0"].shape
        embedding_size = arrays["rnn.weight_ih_l0"].shape[1]
    except (KeyError, ValueError, IndexError):
        raise UserError("it has no rnn.weight_ih_l0 and rnn.weight_hh_l0, so it is no RNNModel of PyTorch's example "
                        "word_language_model") from None  # fmt: skip
    num_gates = rows // max(hidden_size, 1)
    possible = [name for name, gates in OUR_GATES.items() if len(gates) == num_gates]
    found = possible[0] if len(possible) == 1 else cell
    if found is None:
        raise UserError("the shapes do not show whether the cell is tanh or relu: name it with --cell")
    if found not in possible or cell not in (None, found):
        raise UserError(f"rnn.weight_hh_l0 has the shape ({rows}, {hidden_size}), which is not that of --cell {cell}")
    is_tied = (
        tail_names(0)[2] not in arrays if HEAD in arrays
        else not {ENCODER, DECODER} <= arrays.keys() or np.array_equal(arrays[ENCODER], arrays[DECODER])
    )  # fmt: skip
    return {
        "cell": found, "hidden_size": hidden_size, "embedding_size": embedding_size, "head": "softmax",
        "num_layers": sum(name.startswith("rnn.weight_hh_l") for name in arrays), "tie_weights": is_tied,
        "dtype": str(arrays["rnn.weight_hh_l0"].dtype),
    }  # fmt: skip


def has_words(path: str | os.PathLike[str]) -> bool:
    """Returns whether a safetensors file, which `read` accepts, contains the words of its rows."""
    with safetensors.safe_open(os.fspath(path), "np") as file:
        return KEY in (file.metadata() or {})


def read(path: str | os.PathLike[str]) -> tuple[Arrays, Imported | None]:
    """Read a safetensors file. Returns its tensors, and what its metadata says, if that has a vocabulary."""
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
        if stored.get("format_version", FORMAT_VERSION) > FORMAT_VERSION:
            raise UserError(f"{path} was written by a newer theano_rnn: update theano_rnn")
        settings = stored.get("settings", {})
        model, training = (dict(settings.get(name, {})) for name in ("model", "training"))
        return arrays, Imported(
            model, training, Vocabulary.from_json({"text": {"rules": TEXT_RULES}, **stored["vocabulary"]})
        )
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is damaged: its settings cannot be read") from None
