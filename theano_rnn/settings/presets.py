"""Settings that suit a text of a given size, chosen by ``--preset auto``.

A small text needs many passes, few parallel columns and strong dropout; a large one the opposite. The tables come from
measurements: `benchmarks/presets.py` trains on cuts of the novels with a grid of settings; BENCHMARKS.md has the
results. Sizes without a measurement of their own are between or beyond measured ones.

>>> chosen_settings(14_000, "word")["epochs"] > chosen_settings(800_000, "word")["epochs"] == 12
True
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

MIN_UPDATES = 2_000  # of a run, if its text is small
MAX_PATIENCE = 60  # epochs, of a text so small that an epoch is one update
LONG_EPOCH = 20_000  # updates; in longer epochs the model is validated in between
VALIDATION_INTERVAL = 5_000  # updates
DECIDE_OPTIMIZER = (
    "cell",
    "tie_weights",
    "optimizer",
    "learning_rate",
    "schedule",
    "clip_norm",
    "clip_value",
    "average_decay",
)  # settings that SGD's large learning rate depends on: if the user names one, the optimizer is the default one, Adam
STATE_RESET = {"char": 0.02}  # without it, 5 of 400 beginnings led a model of 300 kB into nonsense; with it, none did
TOO_FEW_TOKENS = {"word": 2_000, "char": 10_000, "subword": 2_000}  # to learn more than how frequent tokens are


class Row(NamedTuple):
    """The settings for texts of at most `num_tokens` tokens in the training part."""

    num_tokens: float
    batch_size: int
    bptt_steps: int
    embedding_size: int
    hidden_size: int
    dropout: float
    epochs: int  # at least; more if they are fewer than `MIN_UPDATES` updates
    sgd_rate: float = 0.0  # learning rate of SGD; 0: another optimizer
    weight_decay: float = 0.0  # of AdamW; 0: another optimizer


WORDS = (
    Row(2_000, 20, 35, 200, 200, 0.4, 12),
    Row(40_000, 10, 35, 300, 300, 0.4, 12, 10.0),
    Row(120_000, 10, 35, 300, 300, 0.4, 12, 10.0),
    Row(400_000, 20, 35, 300, 300, 0.4, 12, 20.0),
    Row(2_000_000, 20, 35, 200, 200, 0.4, 12, weight_decay=0.06),
    Row(10_000_000, 20, 35, 300, 300, 0.2, 6),
    Row(float("inf"), 32, 35, 400, 400, 0.1, 2),
)
CHARACTERS = (
    Row(20_000, 5, 50, 64, 128, 0.4, 12),
    Row(200_000, 10, 50, 64, 256, 0.4, 12),
    Row(2_000_000, 20, 50, 64, 256, 0.3, 12),
    Row(10_000_000, 32, 64, 64, 512, 0.2, 6),
    Row(float("inf"), 50, 64, 64, 512, 0.1, 2),
)


def chosen_settings(num_tokens: int, unit: str) -> dict[str, Any]:
    """Returns the settings for a text with `num_tokens` tokens in the training part, by name."""
    table = CHARACTERS if unit == "char" else WORDS
    row = next(row for row in table if num_tokens <= row.num_tokens)
    updates = max(1, num_tokens // (row.batch_size * row.bptt_steps))
    epochs = max(row.epochs, -(-MIN_UPDATES // updates))
    settings = row._asdict() | {"epochs": epochs, "patience": min(max(3, epochs // 6), MAX_PATIENCE)}
    del settings["num_tokens"], settings["sgd_rate"], settings["weight_decay"]
    if updates > LONG_EPOCH:
        settings["validate_every"] = VALIDATION_INTERVAL
    if unit in STATE_RESET:
        settings["state_reset"] = STATE_RESET[unit]
    if row.sgd_rate:
        settings |= {"optimizer": "sgd", "learning_rate": row.sgd_rate}
    if row.weight_decay:
        settings |= {"optimizer": "adamw", "weight_decay": row.weight_decay}
    return settings


def without_optimizer(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings without those of the optimizer, which suit no other network or update."""
    of_optimizer = ("optimizer", "learning_rate", "weight_decay")
    return {name: value for name, value in settings.items() if name not in of_optimizer}


def is_too_small(num_tokens: int, unit: str) -> bool:
    """Returns whether a model can learn little from a text of this size."""
    return num_tokens < TOO_FEW_TOKENS[unit]
