"""Initialize a model with the parameters of another model, as far as their names and shapes match.

The kinds of network name their recurrent layers differently, so parameters match by direction, level and role:

    language model   layer0.W_xh                          forward, level 0
    fill-in model    forward.layer0.W_xh, backward.layer0.W_xh
    encoder          forward0.W_xh, backward0.W_xh
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

INPUT_ONLY = 2  # rows at the end of an embedding, for padding and the start of a sentence, which are not words
RAREST = 10  # a new word starts with the mean bias of the rarest tenth of the old words
STACK = re.compile(r"(?:(?P<direction>forward|backward)\.)?layer(?P<level>\d+)\.(?P<role>.+)")
ENCODER = re.compile(r"(?P<direction>forward|backward)(?P<level>\d+)\.(?P<role>.+)")


class Transfer(NamedTuple):
    """Values for all parameters of a model, and the names of those taken from the other model and of the new ones."""

    values: dict[str, Any]
    taken: list[str]
    new: list[str]


def transfer_parameters(old: Mapping[str, Any], fresh: Mapping[str, Any], *, num_new_words: int = 0) -> Transfer:
    """Replace the parameters `fresh` of a new model by those of `old` that match.

    An array that has `num_new_words` too few rows or columns for words matches too; `extend_for_new_words` adds them.

    >>> old = {"layer0.W_hh": np.ones((1, 1)), "b_y": np.ones(3)}
    >>> fresh = {"forward0.W_hh": np.zeros((1, 1)), "backward0.W_hh": np.zeros((1, 1)), "b_y": np.zeros(2)}
    >>> transfer_parameters(old, fresh)[1:]
    (['forward0.W_hh'], ['backward0.W_hh', 'b_y'])
    """
    by_key = {layer_key(name): value for name, value in old.items()}
    values: dict[str, Any] = {}
    taken: list[str] = []
    new: list[str] = []
    for name, array in fresh.items():
        before = by_key.get(layer_key(name))
        value = None if before is None else value_that_fits(name, before, array, num_new_words)
        values[name] = array if value is None else value
        (new if value is None else taken).append(name)
    return Transfer(values, taken, new)


def layer_key(name: str) -> tuple[str, ...]:
    """Returns the direction, level and role of a recurrent layer's parameter, or the name of any other parameter.

    >>> layer_key("layer1.W_hh") == layer_key("forward1.W_hh") == layer_key("forward.layer1.W_hh")
    True
    """
    found = STACK.fullmatch(name) or ENCODER.fullmatch(name)
    return (found["direction"] or "forward", found["level"], found["role"]) if found else (name,)


def value_that_fits(name: str, before: Any, fresh: Any, num_new_words: int) -> Any:
    """Returns `before`, extended if it lacks the new words, or None if its shape does not match that of `fresh`."""
    if before.shape == fresh.shape:
        return before
    axis = 0 if name == "embedding" else before.ndim - 1
    larger = tuple(size + num_new_words * (i == axis) for i, size in enumerate(before.shape))
    return extend_for_new_words(name, before, fresh) if larger == fresh.shape else None


def extend_for_new_words(name: str, before: Any, fresh: Any) -> Any:
    """Returns `before` with rows or columns for the new words, as long as `fresh`.

    New rows and columns come from `fresh`. A new bias is the mean bias of the rarest words.
    """
    value = np.array(fresh)
    if name == "embedding":
        value[: len(before) - INPUT_ONLY] = before[:-INPUT_ONLY]
        value[-INPUT_ONLY:] = before[-INPUT_ONLY:]
        return value
    value[..., : before.shape[-1]] = before
    if value.ndim == 1:
        value[len(before) :] = before[-max(len(before) // RAREST, 1) :].mean()
    return value


def list_layers(names: Sequence[str]) -> str:
    """Returns the layers of the named parameters, each once: ``embedding, layer0``."""
    return ", ".join(dict.fromkeys(name.rpartition(".")[0] or name for name in names))
