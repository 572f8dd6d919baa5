"""The settings of one training run, and where its files are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from theano_rnn.cli.files import beside
from theano_rnn.cli.options import flag, naming_flag, sections_from, settings_of
from theano_rnn.settings.base import Section, UserError, to_mapping
from theano_rnn.settings.machine import TrainingMachineConfig
from theano_rnn.settings.training import RunConfig, TrainingConfig
from theano_rnn.tasks.registry import TASKS, stored_sections
from theano_rnn.tasks.task import Sections, Task

OF_EVERY_RUN: dict[str, type[Section]] = {"run": RunConfig, "machine": TrainingMachineConfig}


@dataclass(frozen=True)
class Settings:
    """All settings of a run, and those that the user named. `sections` are those of the task, by name."""

    task: Task
    sections: Sections
    run: RunConfig
    machine: TrainingMachineConfig
    given: Mapping[str, Any]

    @property
    def training(self) -> TrainingConfig:
        config: TrainingConfig = self.sections["training"]
        return config


def all_sections() -> list[tuple[str, type[Section]]]:
    """The sections of all tasks and of every run, each once."""
    named = [item for task in TASKS.values() for item in task.sections.items()]
    return list(dict.fromkeys([*named, *OF_EVERY_RUN.items()]))


def task_of(given: Mapping[str, Any]) -> Task:
    """The task of a new run.

    Raises
    ------
    UserError
        There is no task of that name, or a setting is for another one.
    """
    name = given.get("task", "next")
    if name not in TASKS:
        raise UserError(f"--task must be one of {', '.join(TASKS)}, got {name!r}")
    check_names(TASKS[name], given)
    return TASKS[name]


def check_names(task: Task, given: Mapping[str, Any]) -> None:
    """Raise `UserError` if a setting that the user named is not one of the task's."""
    sections = [*task.sections.values(), *OF_EVERY_RUN.values()]
    known = {"task", *(item.name for section in sections for item in settings_of(section))}
    for name in given:
        if name not in known:
            others = [other.name for other in TASKS.values() for section in other.sections.values()
                      if name in {item.name for item in settings_of(section)}]  # fmt: skip
            raise UserError(f"{flag(name)} is for --task {' or '.join(dict.fromkeys(others))}, not --task {task.name}")


def resumed_values(task: Task, checkpoint: Any, given: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The stored settings by name. A flag that contradicts one is an error, but files are compared by content later.

    A setting that an older checkpoint does not name is as it was then.
    """
    if given.get("task", task.name) != task.name:
        raise UserError(f"--task {given['task']} conflicts with {path}, which has {task.name}: leave the flag out")
    check_names(task, given)
    stored = flat_values(task, checkpoint)
    check_agreement(given, stored, [item for section in task.sections.values() for item in settings_of(section)], path)
    return stored


def initial_values(task: Task, initial: Any, origin: Task, given: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Settings of the model that a run begins with: how it takes text, and its network unless flags say otherwise."""
    for name in given.keys() & {"vocab_size", "min_count"}:
        raise UserError(f"{flag(name)} cannot be used with --init-from: the model's vocabulary is kept, and "
                        "--add-words makes it larger")  # fmt: skip
    sections = stored_sections(origin, initial.settings)
    shared = [name for name in ("model", "text") if origin.sections.get(name) is task.sections.get(name)]
    stored = {name: value for section in shared for name, value in to_mapping(sections[section]).items()}
    if "text" in shared:
        check_agreement(given, stored, settings_of(task.sections["text"]), path)
    return stored


def flat_values(task: Task, checkpoint: Any) -> dict[str, Any]:
    """The settings of all sections by name; ``corpus`` has the last word on ``vocab_size``."""
    sections = stored_sections(task, checkpoint.settings)
    names = sorted(sections, key=lambda name: name == "corpus")
    return {name: value for section in names for name, value in to_mapping(sections[section]).items()}


def check_agreement(given: Mapping[str, Any], stored: Mapping[str, Any], items: Any, path: str) -> None:
    """Raise `UserError` if a flag contradicts a stored setting."""
    for item in items:
        name = item.name
        if name in given and item.metadata["metavar"] != "FILE" and stored.get(name, given[name]) != given[name]:
            raise UserError(f"{flag(name)} {given[name]} conflicts with {path}, which has {stored[name]}: leave the "
                            "flag out")  # fmt: skip


def settled(task: Task, values: Mapping[str, Any], given: Mapping[str, Any], machine: Any) -> Settings:
    """All settings of a run, checked, with those that depend on others filled in."""
    sections = task.settled(sections_from(values, task.sections), given)
    run = sections_from(values, {"run": RunConfig})["run"]
    return Settings(task, sections, run, machine, given)


def check_devices(settings: Settings) -> None:
    """Raise `UserError` if the devices, or the processes, cannot share the work."""
    count, batch_size = int(settings.machine.num_devices), settings.training.batch_size
    try:
        settings.task.check_devices(settings.sections, count)
    except UserError as error:
        raise naming_flag(error) from None
    if batch_size % count:
        raise UserError(f"--batch-size must be a multiple of the {count} devices, got {batch_size}")
    if settings.machine.num_processes not in (None, 1) and settings.run.max_seconds is not None:
        raise UserError("--max-seconds is for one process: the clocks of several differ")


def log_path(run_settings: RunConfig) -> Path:
    """Where the log goes."""
    return Path(run_settings.log) if run_settings.log else beside(run_settings.checkpoint, ".jsonl")


def curves_path(checkpoint: str) -> Path:
    """Where the picture of the learning curves goes."""
    return beside(checkpoint, ".curves.png")


def events_folder(run_settings: RunConfig) -> Path:
    """Where a run's event files go: TensorBoard shows each folder below ``--tensorboard`` as a run of its name."""
    return Path(str(run_settings.tensorboard)) / Path(run_settings.checkpoint).stem


def check_distinct(run_settings: RunConfig, corpus: Section) -> None:
    """Raise `UserError` if the checkpoint, the log or the curves would replace another of these files, or an input."""
    seen: dict[str, str] = {}
    for item in settings_of(type(corpus)):
        if item.metadata["metavar"] == "FILE":
            value = getattr(corpus, item.name)
            paths = value if isinstance(value, tuple) else (value,)
            seen |= {os.path.realpath(path): item.name for path in paths if path not in (None, "-")}
    written = [("checkpoint", Path(run_settings.checkpoint)), ("log", log_path(run_settings))]
    if run_settings.curves:
        written.append(("curves", curves_path(run_settings.checkpoint)))
    for name, path in written:
        other = seen.setdefault(os.path.realpath(path), name)
        if other != name:
            raise UserError(f"{flag(name)} and {flag(other)} are the same file, {path}: give another name")
