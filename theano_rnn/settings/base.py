"""The base of all settings: dataclasses that know their help texts and limits, and the error for a user's mistake.

A setting is a field of a dataclass. Its metadata contains the text that `--help` prints and the allowed values. The
command line, a TOML file and a checkpoint all create the same objects, so each default and limit is written only once.

>>> from theano_rnn.settings.text import TextConfig
>>> TextConfig(unit="char").unit
'char'
>>> TextConfig(unit="syllable")
Traceback (most recent call last):
theano_rnn.settings.base.UserError: unit must be one of word, char, subword, got 'syllable'
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar


class UserError(ValueError):
    """A mistake that the user can correct. The commands print it as one line and exit with status 2."""


class RunError(RuntimeError):
    """A failure while a command runs that is not the user's mistake. Printed as one line, with exit status 1."""


def setting(
    default: Any,
    help: str,
    *,
    kind: type = str,
    of: type = str,
    choices: tuple[str, ...] = (),
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    metavar: str | None = None,
) -> Any:
    """Returns a dataclass field with a help text, the kind of its value and its limits.

    `of` is the kind of the elements if `kind` is tuple.
    """
    metadata = {"help": help, "kind": kind, "of": of, "choices": choices, "at_least": at_least, "above": above,
                "below": below, "at_most": at_most, "metavar": metavar}  # fmt: skip
    return field(default=default, metadata=metadata)


def with_default(section: type[Any], name: str, default: Any) -> Any:
    """Returns a field like the setting `name` of a section, with another default, for a subclass of the section."""
    return field(default=default, metadata=section.__dataclass_fields__[name].metadata)


@dataclass(frozen=True)
class Section:
    """A group of settings; values are checked when an object is created.

    Raises
    ------
    UserError
        If a value has the wrong kind or is outside its limits. The message names the field, the limit and the value.
    """

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            if item.metadata:
                if item.metadata["kind"] is tuple and (value := getattr(self, item.name)) != ():
                    object.__setattr__(self, item.name, as_tuple(value))
                check(item.name, getattr(self, item.name), item.metadata, optional=item.default is None)


def as_tuple(value: Any) -> Any:
    """Returns the value of a setting that is a list: a single text becomes a list of one, None an empty one.

    Settings that are lists now had one value in older checkpoints.
    """
    return () if value is None else (value,) if isinstance(value, str) else value


def check(name: str, value: Any, rules: Mapping[str, Any], *, optional: bool) -> None:
    """Raises `UserError` if `value` breaks the rules, the metadata that `setting` recorded."""
    if value is None and optional:
        return
    kind = rules["kind"]
    if kind is tuple:
        if not isinstance(value, tuple) or not all(type(item) is rules["of"] for item in value):
            texts = "file names" if rules["metavar"] == "FILE" else "strings"
            expected = {str: texts, int: "whole numbers", float: "numbers"}[rules["of"]]
            raise UserError(f"{name} must be a list of {expected}, got {value!r}")
        return
    numeric = kind is float and isinstance(value, int) and not isinstance(value, bool)
    if not (isinstance(value, kind) or numeric) or (kind is int and isinstance(value, bool)):
        expected = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[kind]
        raise UserError(f"{name} must be {expected}, got {value!r}")
    if rules["choices"] and value not in rules["choices"]:
        raise UserError(f"{name} must be one of {', '.join(rules['choices'])}, got {value!r}")
    if kind is float and not is_finite(value):
        raise UserError(f"{name} must be a finite number, got {value!r}")
    if rules["at_least"] is not None and value < rules["at_least"]:
        raise UserError(f"{name} must be at least {rules['at_least']}, got {value}")
    if rules["above"] is not None and value <= rules["above"]:
        raise UserError(f"{name} must be greater than {rules['above']}, got {value}")
    if rules["below"] is not None and value >= rules["below"]:
        raise UserError(f"{name} must be less than {rules['below']}, got {value}")
    if rules["at_most"] is not None and value > rules["at_most"]:
        raise UserError(f"{name} must be at most {rules['at_most']}, got {value}")


S = TypeVar("S", bound=Section)


def is_finite(value: float) -> bool:
    """Returns whether a number is finite as a float; huge ints are not."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def from_mapping(section: type[S], values: Mapping[str, Any]) -> S:
    """Returns a section made from `values`, ignoring names that it does not have; lists become tuples."""
    names = {item.name for item in dataclasses.fields(section)}
    return section(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in names})


def to_mapping(section: Section) -> dict[str, Any]:
    """Returns the settings as plain values by field name, ready for JSON."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(section).items()}
