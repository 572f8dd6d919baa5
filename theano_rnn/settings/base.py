"""Settings: frozen dataclasses, every default of the package, and the one kind of error a user can mend.

A setting is a field; its metadata holds the sentence that `--help` prints and what is allowed. The command line, a
TOML file and a checkpoint all make the same objects, so a default, a range or a choice is written once, here.

>>> from theano_rnn.settings.text import TextConfig
>>> TextConfig(unit="char").unit
'char'
>>> TextConfig(unit="syllable")
Traceback (most recent call last):
theano_rnn.settings.base.UserError: unit must be one of word, char, got 'syllable'
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar


class UserError(ValueError):
    """A mistake that the user can mend: the commands print it as one line and end with status 2."""


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
    """A dataclass field that knows its own help text and limits; a tuple holds values `of` one kind."""
    metadata = {"help": help, "kind": kind, "of": of, "choices": choices, "at_least": at_least, "above": above,
                "below": below, "at_most": at_most, "metavar": metavar}  # fmt: skip
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Section:
    """Settings that belong together; values are checked when an object is made.

    Raises
    ------
    UserError
        A value is of the wrong kind or outside what the field allows; the message names field, limit and value.
    """

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            if item.metadata:
                check(item.name, getattr(self, item.name), item.metadata, optional=item.default is None)


def check(name: str, value: Any, rules: Mapping[str, Any], *, optional: bool) -> None:
    """Raise `UserError` unless `value` keeps the rules that `setting` recorded."""
    if value is None and optional:
        return
    kind = rules["kind"]
    if kind is tuple:
        if not isinstance(value, tuple) or not all(type(item) is rules["of"] for item in value):
            texts = "file names" if rules["metavar"] == "FILE" else "texts"
            expected = {str: texts, int: "whole numbers", float: "numbers"}[rules["of"]]
            raise UserError(f"{name} must be a list of {expected}, got {value!r}")
        return
    numeric = kind is float and isinstance(value, int) and not isinstance(value, bool)
    if not (isinstance(value, kind) or numeric) or (kind is int and isinstance(value, bool)):
        expected = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[kind]
        raise UserError(f"{name} must be {expected}, got {value!r}")
    if rules["choices"] and value not in rules["choices"]:
        raise UserError(f"{name} must be one of {', '.join(rules['choices'])}, got {value!r}")
    if kind is float and not math.isfinite(value):
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


def from_mapping(section: type[S], values: Mapping[str, Any]) -> S:
    """The section made of those of `values` that it knows; lists, as TOML and JSON have them, become tuples."""
    names = {item.name for item in dataclasses.fields(section)}
    return section(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in names})


def to_mapping(section: Section) -> dict[str, Any]:
    """Plain values by field name, ready for JSON."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(section).items()}
