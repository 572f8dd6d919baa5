"""A checkpoint to share: without what only training needs, and without names of folders."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from theano_rnn.learning.checkpoint import Checkpoint
from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import CorpusConfig

FILE_SETTINGS = {item.name for item in fields(CorpusConfig) if item.metadata["metavar"] == "FILE"}


def without_training_state(checkpoint: Checkpoint, dtype: str | None = None) -> Checkpoint:
    """Returns a checkpoint with the best parameters alone, which can be used but not resumed.

    Parameters
    ----------
    checkpoint
    dtype
        The dtype of the stored parameters, "float16" or "float32"; None: as they are. `load` gives them the dtype of
        the model's settings.

    Raises
    ------
    UserError
        A parameter is too large for the dtype.
    """
    with np.errstate(over="ignore"):  # found below
        params = {name: value if dtype is None else value.astype(dtype) for name, value in checkpoint.best.items()}
    for name, value in params.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise UserError(f"{name} has values that are too large for {dtype}: leave out --dtype")
    settings = {**checkpoint.settings, "corpus": base_names(checkpoint.settings.get("corpus", {}))}
    return replace(checkpoint, settings=settings, fingerprint="", last=params, best=params, optimizer={}, carried=[])


def base_names(corpus: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of files without the folders of this machine."""

    def shortened(value: Any) -> Any:
        if isinstance(value, list):
            return list(map(shortened, value))
        return os.path.basename(value) if isinstance(value, str) else value

    return {name: shortened(value) if name in FILE_SETTINGS else value for name, value in corpus.items()}
