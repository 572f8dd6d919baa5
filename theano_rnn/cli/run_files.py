"""The files that a training run writes: checkpoint, log, picture of the learning curves, event files.

A new run never overwrites the model of an older run of that name: it first renames the older files, each with the same
number, such as ``model.1.safetensors`` and ``model.1.jsonl``. Higher numbers are newer.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from theano_rnn.cli.files import CHECKPOINT_ENDING, base_name, sibling_path
from theano_rnn.cli.records import append, restore_log
from theano_rnn.cli.run_settings import CURVES_ENDING, LOG_ENDING, curves_path, events_folder, log_path
from theano_rnn.learning.atomic_files import remove_unfinished, target_of, write_atomically
from theano_rnn.learning.checkpoint import Checkpoint, holds_trained_model, save
from theano_rnn.settings.training import RunConfig
from theano_rnn.view.events import event_files


class RunFiles:
    """The files of a run with the settings `run`. `say` prints a line."""

    def __init__(self, run: RunConfig, say: Callable[[str], None]) -> None:
        self.checkpoint, self.log, self.curves = Path(run.checkpoint), log_path(run), curves_path(run.checkpoint)
        self.is_drawn, self.say = run.curves, say
        self.events = events_folder(run) if run.tensorboard is not None else None
        self.places = {path: Path(os.path.realpath(path)) for path in (self.checkpoint, self.log)}  # see `restored`

    def prepare(self) -> None:
        """Create the folders, and remove temporary files that a killed process left."""
        for path in (self.checkpoint, self.log, self.curves):
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_unfinished(path)

    def keep_previous(self) -> None:
        """Rename the files of an older run of this name. The checkpoint of a run without any step is not kept."""
        checkpoint, log, curves = (target_of(path) for path in (self.checkpoint, self.log, self.curves))
        ending = CHECKPOINT_ENDING if checkpoint.name != base_name(checkpoint) else ""
        is_kept = checkpoint.exists() and holds_trained_model(checkpoint)
        older = [(log, log.suffix)] if log.exists() and log.stat().st_size else []
        if curves.is_file() and (self.is_drawn or is_kept):
            older.append((curves, CURVES_ENDING))
        if is_kept:
            older.append((checkpoint, ending))  # the last one: until then, the run can be resumed
        names = [(checkpoint, ending), (log, log.suffix), (curves, CURVES_ENDING)]
        names.append((sibling_path(str(checkpoint), LOG_ENDING), LOG_ENDING))  # also with --log
        if self.events is not None:
            names.append((self.events, ""))
        number = 1 + max(highest_number(path, ending) for path, ending in names)
        for path, ending in older:
            kept = numbered_path(path, ending, number)
            os.replace(path, kept)
        if self.events is not None and (events := event_files(self.events)):
            folder = numbered_path(self.events, "", number)
            folder.mkdir()
            for file in events:
                os.replace(file, folder / file.name)
            self.say(f"kept the older event files in {folder}")
        if is_kept:
            self.say(f"kept the older checkpoint as {numbered_path(checkpoint, ending, number)}")

    def save(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint. If its folder has been removed, create it again."""
        try:
            save(self.checkpoint, checkpoint)
        except FileNotFoundError:
            self.checkpoint = self.restored(self.checkpoint)
            save(self.checkpoint, checkpoint)

    def append(self, record: dict[str, Any], records: Sequence[dict[str, Any]], target_name: str) -> None:
        """Append a record to the log. If the log has been removed, write it again with the known `records`."""
        if not self.log.exists():
            is_known = bool(records) and records[-1].items() <= record.items()
            earlier = restore_log(self.log, list(records)[: -1 if is_known else None], target_name)
            try:
                write_atomically(self.log, earlier)
            except FileNotFoundError:
                self.log = self.restored(self.log)
                write_atomically(self.log, earlier)
        append(self.log, record)

    def restored(self, path: Path) -> Path:
        """Create the folder of `path` again. Returns the absolute path: the current folder may have been removed."""
        place = self.places.get(path, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        self.say(f"the folder of {path} was removed: created it again as {place.parent}")
        self.places[place] = place
        return place


def numbered_path(path: Path, ending: str, number: int) -> Path:
    """Returns `path` with a number before its ending.

    >>> numbered_path(Path("runs/model.safetensors"), ".safetensors", 2).name
    'model.2.safetensors'
    """
    return path.with_name(f"{path.name.removesuffix(ending)}.{number}{ending}")


def highest_number(path: Path, ending: str) -> int:
    """Returns the highest number of the older files that belong to `path`, 0 if there are none."""
    pattern = re.compile(re.escape(path.name.removesuffix(ending)) + r"\.([1-9]\d{0,5})" + re.escape(ending))
    found = (pattern.fullmatch(name) for name in (os.listdir(path.parent) if path.parent.exists() else ()))
    return max((int(match[1]) for match in found if match), default=0)
