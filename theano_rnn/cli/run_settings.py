"""The settings of one training run, and the paths of its files."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from theano_rnn.cli.files import base_name, check_file_name, sibling_path
from theano_rnn.cli.options import flag, sections_from, settings_of, with_flag_name
from theano_rnn.cli.resuming import check_more_epochs
from theano_rnn.engine.kernels import resolve_kernels
from theano_rnn.settings.base import Section, UserError, to_mapping
from theano_rnn.settings.machine import TrainingMachineConfig
from theano_rnn.settings.presets import DECIDE_OPTIMIZER, without_optimizer
from theano_rnn.settings.training import RunConfig, TrainingConfig
from theano_rnn.tasks.registry import TASKS, stored_sections
from theano_rnn.tasks.task import Data, Sections, Task

LOG_ENDING, CURVES_ENDING = ".jsonl", ".curves.png"
COMMON_SECTIONS: dict[str, type[Section]] = {"run": RunConfig, "machine": TrainingMachineConfig}


@dataclass(frozen=True)
class Settings:
    """All settings of a run. `sections`: those of the task, by name; `given`: only what the user set, by name."""

    task: Task
    sections: Sections
    run: RunConfig
    machine: TrainingMachineConfig
    given: Mapping[str, Any]
    fixed: Collection[str] = ()  # the names of settings that are not chosen by the size of the text

    @property
    def training(self) -> TrainingConfig:
        config: TrainingConfig = self.sections["training"]
        return config


def all_sections() -> list[tuple[str, type[Section]]]:
    """Returns the sections of all tasks, and those common to all runs, each once."""
    named = [item for task in TASKS.values() for item in task.sections.items()]
    return list(dict.fromkeys([*named, *COMMON_SECTIONS.items()]))


def defaults_of_other_tasks() -> dict[str, str]:
    """Returns the defaults that differ from those of the first task that has the setting, as text, by name."""
    first: dict[str, Any] = {}
    differing: dict[str, list[str]] = {}
    for task in TASKS.values():
        for section in task.sections.values():
            for item in settings_of(section):
                if first.setdefault(item.name, item.default) != item.default:
                    shown = "chosen for the data" if item.default is None else item.default
                    differing.setdefault(item.name, []).append(f"{task.name}: {shown}")
    return {name: "; ".join(found) for name, found in differing.items()}


def task_of(given: Mapping[str, Any]) -> Task:
    """Returns the task of a new run.

    Raises
    ------
    UserError
        There is no task of that name, or a setting belongs to another task.
    """
    name = given.get("task", "next")
    if name not in TASKS:
        raise UserError(f"--task must be one of {', '.join(TASKS)}, got {name!r}")
    check_names(TASKS[name], given)
    return TASKS[name]


def check_names(task: Task, given: Mapping[str, Any]) -> None:
    """Raises `UserError` if the user gave a setting that the task does not have."""
    sections = [*task.sections.values(), *COMMON_SECTIONS.values()]
    known = {"task", *(item.name for section in sections for item in settings_of(section))}
    for name in given:
        if name not in known:
            others = [other.name for other in TASKS.values() for section in other.sections.values()
                      if name in {item.name for item in settings_of(section)}]  # fmt: skip
            raise UserError(f"{flag(name)} is for --task {' or '.join(dict.fromkeys(others))}, not --task {task.name}")


def resumed_values(task: Task, checkpoint: Any, given: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Returns the stored settings, by name. A flag that contradicts one is an error.

    Names of files may differ, because their content is compared later; `epochs` may be larger, if that only adds to
    the run. A setting that an older checkpoint lacks gets
    the value that was standard then.
    """
    if given.get("task", task.name) != task.name:
        raise UserError(f"--task {given['task']} conflicts with {path}, which has {task.name}: leave the flag out")
    check_names(task, given)
    stored = settings_by_name(task, checkpoint)
    if given.get("epochs", 0) > stored["epochs"]:
        check_more_epochs(task, checkpoint, given["epochs"], path)
        stored["epochs"] = given["epochs"]
    check_agreement(given, stored, [item for section in task.sections.values() for item in settings_of(section)], path)
    return stored


def initial_values(task: Task, initial: Any, origin: Task, given: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Returns the settings to take from the initial model: tokenization, and the network, which flags may change."""
    for name in given.keys() & {"vocab_size", "min_count"}:
        raise UserError(f"{flag(name)} cannot be used with --init-from, which keeps the model's vocabulary: use "
                        "--add-words to extend it")  # fmt: skip
    sections = stored_sections(origin, initial.settings)
    shared = [name for name in ("model", "text") if name in origin.sections and name in task.sections]
    stored = {name: value for section in shared for name, value in to_mapping(sections[section]).items()
              if name in {item.name for item in dataclasses.fields(task.sections[section])}}  # fmt: skip
    stored |= {name: value for name, value in task.initial_settings(origin).items() if name not in stored}
    if "text" in shared:
        check_agreement(given, stored, settings_of(task.sections["text"]), path)
    return stored


def settings_by_name(task: Task, checkpoint: Any) -> dict[str, Any]:
    """Returns the settings of all sections, by name. ``vocab_size``, which two sections have, is that of ``corpus``."""
    sections = stored_sections(task, checkpoint.settings)
    names = sorted(sections, key=lambda name: name == "corpus")
    return {name: value for section in names for name, value in to_mapping(sections[section]).items()}


def check_agreement(given: Mapping[str, Any], stored: Mapping[str, Any], items: Any, path: str) -> None:
    """Raises `UserError` if a flag contradicts a stored setting."""
    for item in items:
        name = item.name
        if name in given and item.metadata["metavar"] != "FILE" and stored.get(name, given[name]) != given[name]:
            raise UserError(f"{flag(name)} {given[name]} conflicts with {path}, which has {stored[name]}: leave the "
                            "flag out")  # fmt: skip


def complete_settings(task: Task, values: Mapping[str, Any], given: Mapping[str, Any], machine: Any) -> Settings:
    """Check the settings of a run, and fill in those that depend on others."""
    sections = task.settled(sections_from(values, task.sections), given)
    run = sections_from(values, {"run": RunConfig})["run"]
    settings = Settings(task, sections, run, machine, given, fixed=set(values))
    precision = settings.training.precision
    if precision in ("auto", "float32"):
        return settings
    if machine.engine != "jax":
        raise UserError(f"--precision {precision} needs --engine jax: add --engine jax, or leave out --precision")
    kernels = resolve_kernels(machine.kernels, precision)  # they multiply in few precisions
    return dataclasses.replace(settings, machine=dataclasses.replace(machine, kernels=kernels))


def choose_settings(settings: Settings, data: Data) -> tuple[Settings, list[str]]:
    """Choose the settings that the user did not name by the size of the text. Returns them, and lines to print.

    Several devices keep the batch size, which they must be able to divide.
    """
    if settings.run.preset != "auto":
        return settings, []
    chosen = settings.task.chosen(settings.sections, data)
    if int(settings.machine.num_devices) > 1:
        chosen.pop("batch_size", None)
    if any(name in settings.fixed for name in DECIDE_OPTIMIZER):
        chosen = without_optimizer(chosen)
    chosen = {name: value for name, value in chosen.items() if name not in settings.fixed}
    sections = {
        key: dataclasses.replace(section, **{item.name: chosen[item.name] for item in dataclasses.fields(section)
                                             if item.name in chosen})
        for key, section in settings.sections.items()
    }  # fmt: skip
    before = {item.name: item.default for section in settings.task.sections.values() for item in settings_of(section)}
    flags = [f"{flag(name)} {value}" for name, value in chosen.items() if value != before[name]]
    told = [f"chosen for the size of the text: {' '.join(flags)}"] if flags else []
    return dataclasses.replace(settings, sections=sections), told + settings.task.warnings(settings.sections, data)


def check_devices(settings: Settings) -> None:
    """Raises `UserError` if several devices or processes cannot share the work."""
    count, batch_size = int(settings.machine.num_devices), settings.training.batch_size
    try:
        settings.task.check_devices(settings.sections, count)
    except UserError as error:
        raise with_flag_name(error) from None
    if batch_size % count:
        raise UserError(f"--batch-size must be a multiple of the {count} devices, got {batch_size}")
    if settings.machine.num_processes not in (None, 1) and settings.run.max_seconds is not None:
        raise UserError(
            "--max-seconds cannot be used with several processes, because their clocks differ: leave it out"
        )


def log_path(run_settings: RunConfig) -> Path:
    """Returns the path of the log."""
    default = sibling_path(run_settings.checkpoint, LOG_ENDING)
    if run_settings.log is None:
        return default
    check_file_name(run_settings.log, "log")
    return Path(run_settings.log)


def curves_path(checkpoint: str) -> Path:
    """Returns the path of the picture of the learning curves."""
    return sibling_path(checkpoint, CURVES_ENDING)


def events_folder(run_settings: RunConfig) -> Path:
    """Returns the folder of a run's event files. TensorBoard shows each subfolder of ``--tensorboard`` as a run."""
    return Path(str(run_settings.tensorboard)) / base_name(Path(run_settings.checkpoint))


def check_distinct(run_settings: RunConfig, corpus: Section) -> None:
    """Raises `UserError` if the checkpoint, log or picture would replace an input or another of these files."""
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
