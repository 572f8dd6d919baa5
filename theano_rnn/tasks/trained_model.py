"""A trained model of any task: its checkpoint, its settings, and its functions, compiled on first use."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from theano_rnn.engine.aesara_flags import resolve_engine
from theano_rnn.learning.checkpoint import assign, load
from theano_rnn.settings.base import UserError
from theano_rnn.tasks.registry import TASKS, stored_sections, task_of_checkpoint


class TrainedModel:
    """A model with the best parameters of a checkpoint, and the facts and settings stored with them.

    Parameters
    ----------
    path
        The checkpoint.
    task
        The name of the task that the model must have been trained for.
    engine, device
        As in the flags of those names.
    compiler : optional
        Replaces `compile_function` and takes the same arguments. It can show a progress display.

    Attributes
    ----------
    model : the task's model, a `Trainable`
    checkpoint : Checkpoint
    sections : mapping
        Settings by section. The section of training is also the attribute `training`.

    Raises
    ------
    UserError
        The checkpoint was trained for another task, or is not a checkpoint.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        task: str,
        engine: str = "auto",
        device: str = "auto",
        compiler: Callable[..., Any] | None = None,
    ) -> None:
        self.engine, self.device = resolve_engine(engine), device
        self.checkpoint = load(path)
        self.task, needed = task_of_checkpoint(self.checkpoint), TASKS[task]
        if self.task is not needed:
            *others, last = self.task.commands or ("",)
            use = f"use it with {', '.join(others)}{' or ' if others else ''}{last}, or " if last else ""
            raise UserError(f"{path} is a {self.task.kind}, but a {needed.kind} is needed: {use}train one with "
                            f"--task {task}")  # fmt: skip
        self.sections = stored_sections(self.task, self.checkpoint.settings)
        self.training = self.sections["training"]
        self.model = self.task.make_model(self.sections, self.checkpoint.facts, rng=np.random.default_rng(0))
        assign(self.model.params, self.checkpoint.best)
        self.compiler = compiler or compile_function
        self.functions: dict[str, Any] = {}

    def function(self, name: str) -> Any:
        """Returns one of the model's functions, compiled on first use."""
        if name not in self.functions:
            self.functions[name] = self.compile(name)
        return self.functions[name]

    def compile(self, name: str, **options: Any) -> Any:
        """Compile one of the model's functions. `options` are those of `Trainable.compile`."""
        return self.compiler(self.model, name, engine=self.engine, device=self.device, **options)


def compile_function(model: Any, name: str, *, engine: str, device: str, **options: Any) -> Any:
    """Compile one of a model's functions, without a progress display."""
    return getattr(model.compile(name, engine=engine, device=device, **options), name)
