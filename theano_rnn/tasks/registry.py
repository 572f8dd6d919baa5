"""The table of all tasks. Add a new task here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from theano_rnn.settings.base import UserError
from theano_rnn.settings.training import from_checkpoint
from theano_rnn.tasks.fill import Fill
from theano_rnn.tasks.next_token import NextToken
from theano_rnn.tasks.task import Sections, Task

TASKS: dict[str, Task] = {task.name: task for task in (NextToken(), Fill())}


def task_of_kind(kind: str) -> Task:
    """Returns the task whose models have this `kind` in checkpoints.

    Raises
    ------
    UserError
        This version has no such task.
    """
    for task in TASKS.values():
        if task.kind == kind:
            return task
    raise UserError(f"this version of theano_rnn has no task for a {kind!r}: use the version that wrote the checkpoint")


def stored_sections(task: Task, settings: Mapping[str, Mapping[str, Any]]) -> Sections:
    """Returns a task's sections from a checkpoint. A setting that it lacks gets the value that was standard then."""
    return {name: from_checkpoint(section, settings.get(name, {})) for name, section in task.sections.items()}
