"""The log of a training run: JSON lines, each a record, on disk as soon as it is known."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from theano_rnn.learning.checkpoint import write_atomically

CLOCK_FIELDS = ("tokens_per_second", "seconds")


def append(path: Path, record: dict[str, Any]) -> None:
    """A line of the log, on disk when this returns."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
        file.flush()
        os.fsync(file.fileno())


def continued_log(path: Path, records: list[dict[str, Any]]) -> str:
    """The log's lines for `records`: as they stand in the file, else without what the clock said."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    kept = []
    for number, record in enumerate(records):
        try:
            written = json.loads(lines[number])
        except (IndexError, ValueError):
            written = None
        same = isinstance(written, dict) and all(written.get(name) == value for name, value in record.items())
        clock = dict.fromkeys(CLOCK_FIELDS) if "epoch" in record else {}  # the last record has no such fields
        kept.append(written if same else record | clock)
    return "".join(json.dumps(record) + "\n" for record in kept)


def complete_log(path: Path, records: list[dict[str, Any]]) -> None:
    """Add to the log of a finished run what a process that was killed after its last checkpoint did not write."""
    lines = continued_log(path, records).encode()
    if path.exists() and path.read_bytes() != lines:
        write_atomically(path, lines)
