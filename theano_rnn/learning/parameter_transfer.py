"""Parameters of one model as the beginning of another: those whose names and shapes fit.

A recurrent layer has another name in each kind of network; what fits is found by direction, level and role:

    language model   layer0.W_xh                          forward, level 0
    fill-in model    forward.layer0.W_xh, backward.layer0.W_xh
    encoder          forward0.W_xh, backward0.W_xh
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

INPUT_ONLY = 2  # rows at the end of an embedding, for padding and the start of a sentence, which are no words
RAREST = 10  # a new word begins as likely as the last tenth of the old ones on average
STACK = re.compile(r"(?:(?P<direction>forward|backward)\.)?layer(?P<level>\d+)\.(?P<role>.+)")
ENCODER = re.compile(r"(?P<direction>forward|backward)(?P<level>\d+)\.(?P<role>.+)")


class Transfer(NamedTuple):
    """Values for all parameters of a model by name, and which were taken and which are as they were."""

    values: dict[str, Any]
    taken: list[str]
    new: list[str]


def transferred(old: Mapping[str, Any], fresh: Mapping[str, Any], *, num_new_words: int = 0) -> Transfer:
    """The parameters `fresh` of a new model, those of `old` in their place if they fit.

    With `num_new_words`, an array that lacks so many rows or columns for words fits too: it is `extended`.

    >>> old = {"layer0.W_hh": np.ones((1, 1)), "b_y": np.ones(3)}
    >>> fresh = {"forward0.W_hh": np.zeros((1, 1)), "backward0.W_hh": np.zeros((1, 1)), "b_y": np.zeros(2)}
    >>> transferred(old, fresh)[1:]
    (['forward0.W_hh'], ['backward0.W_hh', 'b_y'])
    """
    by_place = {place_of(name): value for name, value in old.items()}
    values: dict[str, Any] = {}
    taken: list[str] = []
    new: list[str] = []
    for name, array in fresh.items():
        before = by_place.get(place_of(name))
        value = None if before is None else fitted(name, before, array, num_new_words)
        values[name] = array if value is None else value
        (new if value is None else taken).append(name)
    return Transfer(values, taken, new)


def place_of(name: str) -> tuple[str, ...]:
    """Direction, level and role of a recurrent layer's parameter; of any other, its name.

    >>> place_of("layer1.W_hh") == place_of("forward1.W_hh") == place_of("forward.layer1.W_hh")
    True
    """
    found = STACK.fullmatch(name) or ENCODER.fullmatch(name)
    return (found["direction"] or "forward", found["level"], found["role"]) if found else (name,)


def fitted(name: str, before: Any, fresh: Any, num_new_words: int) -> Any:
    """`before` if its shape is that of `fresh`, or lacks the new words; else None."""
    if before.shape == fresh.shape:
        return before
    axis = 0 if name == "embedding" else before.ndim - 1
    larger = tuple(size + num_new_words * (i == axis) for i, size in enumerate(before.shape))
    return extended(name, before, fresh) if larger == fresh.shape else None


def extended(name: str, before: Any, fresh: Any) -> Any:
    """An array with room for new words.

    Their rows or columns are those of `fresh`, but a bias is the mean of those of the rarest words.
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


def summary(names: Sequence[str]) -> str:
    """Parameters by layer, each once: ``embedding, layer0``."""
    return ", ".join(dict.fromkeys(name.rpartition(".")[0] or name for name in names))
