"""The table of all tasks. Add a new task here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from theano_rnn.settings.base import UserError
from theano_rnn.settings.training import from_checkpoint
from theano_rnn.tasks.classify import Classify
from theano_rnn.tasks.describe import Describe
from theano_rnn.tasks.fill import Fill
from theano_rnn.tasks.next_token import NextToken
from theano_rnn.tasks.recognize import Recognize
from theano_rnn.tasks.task import Sections, Task
from theano_rnn.tasks.translate import Translate

if TYPE_CHECKING:
    from theano_rnn.learning.checkpoint import Checkpoint

TASKS: dict[str, Task] = {
    task.name: task for task in (NextToken(), Fill(), Classify(), Translate(), Recognize(), Describe())
}


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


def task_of_checkpoint(checkpoint: Checkpoint) -> Task:
    """Returns the task of a checkpoint, after checking that its settings, facts and tensors fit together.

    Raises
    ------
    UserError
        They do not fit together, or this version has no such task.
    """
    task = task_of_kind(checkpoint.kind)
    task.check_stored(stored_sections(task, checkpoint.settings), checkpoint.facts, checkpoint.best)
    return task


def stored_sections(task: Task, settings: Mapping[str, Mapping[str, Any]]) -> Sections:
    """Returns a task's sections from a checkpoint. Settings that it lacks get the defaults of its version."""
    return {name: from_checkpoint(section, settings.get(name, {})) for name, section in task.sections.items()}
