"""The log of a training run: one JSON record per line, written to disk at once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from theano_rnn.learning.atomic_files import write_atomically
from theano_rnn.settings.strict_json import to_json, without_infinities


def append(path: Path, record: dict[str, Any]) -> None:
    """Append a record to the log. The record is on disk when this returns."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(to_json(record) + "\n")
        file.flush()
        os.fsync(file.fileno())


def restore_log(path: Path, records: list[dict[str, Any]], target_name: str) -> bytes:
    """Returns the log's lines for `records`, as they are in the file. Missing lines get null for times and kernels."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    kept = []
    for number, record in enumerate(map(without_infinities, records)):
        try:
            written = json.loads(lines[number])
        except (IndexError, ValueError, RecursionError):
            written = None
        same = isinstance(written, dict) and all(written.get(name) == value for name, value in record.items())
        lost = dict.fromkeys((f"{target_name}_per_second", "seconds", "kernels")) if "epoch" in record else {}
        kept.append(written if same else record | lost)
    return "".join(to_json(record) + "\n" for record in kept).encode()


def complete_log(path: Path, records: list[dict[str, Any]], target_name: str) -> None:
    """Complete the log of a finished run whose process was killed after it wrote the last checkpoint."""
    lines = restore_log(path, records, target_name)
    if path.exists() and path.read_bytes() != lines:
        write_atomically(path, lines)
