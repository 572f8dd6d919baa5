"""The table of all tasks; a new one is added here."""

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
    """The task whose models are called `kind` in checkpoints.

    Raises
    ------
    UserError
        No task of this version does.
    """
    for task in TASKS.values():
        if task.kind == kind:
            return task
    raise UserError(f"this version of theano_rnn has no task for a {kind!r}")


def stored_sections(task: Task, settings: Mapping[str, Mapping[str, Any]]) -> Sections:
    """The sections of a task as a checkpoint has them; a setting that it does not name is as it was then."""
    return {name: from_checkpoint(section, settings.get(name, {})) for name, section in task.sections.items()}
