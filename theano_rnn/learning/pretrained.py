"""Trained models that come with the package, by name: ``theano-rnn generate austen``."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "pretrained"
DEFAULT_MODEL = "austen"  # six novels by Jane Austen; theano_rnn/pretrained/austen.md describes it


def pretrained_models() -> dict[str, Path]:
    """Returns the file of each model in the package, by the model's name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.safetensors"))}


def find_checkpoint(name: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Returns `name` if there is such a file, else the model of the package that has this name, else `name`.

    A folder does not hide a model of the package.
    """
    if os.path.isfile(name):
        return name
    return pretrained_models().get(os.fspath(name), name)
