"""Check what a checkpoint says before anything is built from it.

A checkpoint may be damaged, or made to do harm. So values must be of the kinds that the code expects, and the sizes of
the network must fit the tensors: settings of a few bytes must not fill the memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from theano_rnn.settings.base import UserError
from theano_rnn.settings.network import ModelConfig

COUNTERS = ("epoch", "batch", "step", "target_count", "token_count", "best_step")
NUMBERS = {"learning_rate": 3e38, "loss_sum": math.inf}  # the rate is a number of single precision
LOSSES = ("valid_loss", "best_value", "best_loss")  # may be missing, or infinite before the first validation
FLAGS = ("is_finished", "use_last")
NEEDED = ("learning_rate", "epoch", "step", "best_step", "is_finished", "records")


def check_stored_values(facts: Mapping[str, Any]) -> None:
    """Raises `UserError` if a value that every checkpoint has is missing or of the wrong kind."""
    for name in ("kind", "fingerprint"):
        expect(isinstance(facts.get(name), str), name, "text", facts.get(name))
    for name in ("settings", "progress"):
        expect(isinstance(facts.get(name), dict), name, "an object", facts.get(name))
    for section, values in facts["settings"].items():
        expect(isinstance(values, dict), f"settings.{section}", "an object", values)
    progress = facts["progress"]
    for name in NEEDED:
        if name not in progress:
            raise UserError(f"progress.{name} is missing")
    for name in progress.keys() & {*COUNTERS}:
        expect(is_count(progress[name]), f"progress.{name}", "a whole number from 0", progress[name])
    for name in progress.keys() & {*NUMBERS}:
        value = progress[name]
        is_right = is_number(value) and abs(value) < NUMBERS[name]
        expect(is_right, f"progress.{name}", f"a number below {NUMBERS[name]:g}", value)
    for name in progress.keys() & {*LOSSES}:
        value = progress[name]
        expect(value is None or is_number(value), f"progress.{name}", "a number or null", value)
    for name in progress.keys() & {*FLAGS}:
        expect(isinstance(progress[name], bool), f"progress.{name}", "true or false", progress[name])
    found = progress.get("best_facts", {})
    expect(isinstance(found, dict), "progress.best_facts", "an object", found)
    check_records(progress["records"])


def check_records(records: Any) -> None:
    """Raises `UserError` if the records of a run are not objects with plain values and the step."""
    expect(isinstance(records, list), "progress.records", "a list", records)
    for number, record in enumerate(records):
        name = f"progress.records.{number}"
        expect(isinstance(record, dict), name, "an object", record)
        for key, value in record.items():
            plain = value is None or isinstance(value, str) or is_number(value)
            expect(plain, f"{name}.{key}", "a number, a text or null", value)
            expect(plain and (is_number(value) or not key.startswith("valid_")), f"{name}.{key}", "a number", value)
        expect("epoch" not in record or is_count(record.get("step")), f"{name}.step", "a whole number from 0",
               record.get("step"))  # fmt: skip
        if "epoch" in record and "valid_loss" not in record:
            raise UserError(f"{name}.valid_loss is missing")


def check_sizes(model: ModelConfig, vocab_size: int, tensors: Mapping[str, Any]) -> None:
    """Raises `UserError` if the network of these settings needs more numbers than the tensors have.

    Every recurrent network has a matrix of hidden units by hidden units, one of embedding by hidden units, and one of
    words by embedding.
    """
    available = sum(int(array.size) for array in tensors.values())
    hidden, embedding = model.hidden_size, model.embedding_size
    needed = max(hidden * hidden, hidden * embedding, vocab_size * embedding)
    if needed > available or model.num_layers > len(tensors):
        raise UserError(
            f"the checkpoint is damaged: {model.num_layers} x {hidden:,} hidden units, embeddings of {embedding:,} and "
            f"{vocab_size:,} words do not fit its {available:,} parameters"
        )


def check_carried_state(carried: list[Any], expected: tuple[Any, ...]) -> None:
    """Raises `UserError` if a stored hidden state, if there is one, has not the shapes and dtypes of `expected`."""
    if carried and [(a.shape, a.dtype) for a in carried] != [(a.shape, a.dtype) for a in expected]:
        raise UserError("the checkpoint is damaged: its hidden state does not fit its network")


def is_number(value: Any) -> bool:
    """Returns whether a JSON value is a number. In Python, true and false are numbers too."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return isinstance(value, float) or abs(value) < 2**63


def is_count(value: Any) -> bool:
    """Returns whether a JSON value is a whole number from 0 that a counter can have."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def expect(is_right: bool, name: str, kind: str, value: Any) -> None:
    """Raises `UserError` if a value is wrong."""
    if not is_right:
        raise UserError(f"{name} must be {kind}, got {str(value)[:40]!r}")
