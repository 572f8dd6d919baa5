"""Read the file of a search, and write recipes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.cli.options import flag, given_settings, read_tables, sections_from, settings_of
from theano_rnn.cli.run_settings import all_sections, check_names, task_of
from theano_rnn.learning.measures import LOSS, Measure
from theano_rnn.search.space import Space, read_space
from theano_rnn.settings.base import UserError, as_tuple, check
from theano_rnn.settings.machine import TrainingMachineConfig
from theano_rnn.settings.training import RunConfig
from theano_rnn.settings.trials import TrialsConfig
from theano_rnn.tasks.task import Task

TABLES = ("vary", "search")
OWN = ("checkpoint", "log", "resume", "testing", "coordinator", "num_processes", "process_id")  # each trial has its own
FIXED = ("task", "valid", "valid_fraction", "test", "test_fraction", "select")  # else trials cannot be compared
TOKENS = ("unit", "tokens", "sentences", "lowercase", "vocab_size", "min_count", "vocab_from", "subword_model")
NUM_ATTEMPTS = 20


class SpaceFile(NamedTuple):
    """What is searched.

    Parameters
    ----------
    task : Task
    shared : dict
        The settings of all trials, by name.
    space : Space
        The settings that vary.
    search : dict
        Settings of the search itself, by name.
    selected, shown : Measure
        The measure that decides, and the one to show for it: of a loss the perplexity, if the task shows that.
    notes : list of str
        Lines of advice.
    """

    task: Task
    shared: dict[str, Any]
    space: Space
    search: dict[str, Any]
    selected: Measure
    shown: Measure
    notes: list[str]

    def described(self) -> str:
        """Returns a text that differs if results would differ: without the settings of machine and files of a run."""
        own = {item.name for section in (TrainingMachineConfig, RunConfig) for item in settings_of(section)}
        own -= {"preset", "max_seconds"}
        shared = {name: value for name, value in self.shared.items() if name not in own}
        varied = [[each.name, each.kind, list(each.examples), len(each.values)] for each in self.space.dimensions]
        return json.dumps({"shared": shared, "varied": varied}, sort_keys=True)


def read_space_file(path: str) -> SpaceFile:
    """Read the file of a search: settings that all trials share, a table ``vary``, and perhaps a table ``search``.

    Raises
    ------
    FileNotFoundError, UserError
        The file is missing, is not TOML, or has a setting that does not exist or a value that is not allowed.
    """
    tables = {name.replace("-", "_"): value for name, value in read_tables(path).items()}
    vary, search = (with_underscores(tables.pop(name, {}), f"[{name}]", path) for name in TABLES)
    shared: dict[str, Any] = {}
    for name, value in tables.items():
        shared |= with_underscores(value, name, path) if isinstance(value, dict) else {name: value}
    known = {"task", *(item.name for _, section in all_sections() for item in settings_of(section))}
    check_known(shared, known | {"config"}, path)
    check_known(vary, known, f"{path} [vary]")
    check_known(search, {item.name for item in settings_of(TrialsConfig)}, f"{path} [search]")
    for name in OWN:
        if name in shared or name in vary:
            raise UserError(f"{path}: {name} is set by the search, for each trial: leave it out")
    for name in FIXED:
        if name in vary:
            raise UserError(f"{path}: {name} must be the same for all trials, so that their results can be compared: "
                            "move it out of [vary]")  # fmt: skip
    shared = given_settings(
        argparse.Namespace(**shared), [section for _, section in all_sections()], others=("task",)
    )  # with those of the recipe that `config` names
    if "-" in as_tuple(shared.get("train", ())):
        raise UserError(f"{path}: standard input can be read only once: give a file as train")
    space = read_space(vary)
    shared = {name: value for name, value in shared.items() if name not in vary}
    task = task_of(shared)
    check_names(task, vary)
    check_values(task, space, path)
    sections = possible_sections(task, shared, space)
    selected, drawn = task.select(sections), task.drawn(sections)
    shown = drawn if selected.name == LOSS.name and (drawn.of_loss or drawn.name == LOSS.name) else selected
    changed = [name for name in TOKENS if name in vary]
    notes = []
    if changed and selected.name == LOSS.name:
        notes.append(f"{' and '.join(changed)} change what is predicted, so losses of different values cannot be "
                     "compared")  # fmt: skip
    return SpaceFile(task, shared, space, search, selected, shown, notes)


def with_underscores(table: Any, name: str, path: str) -> dict[str, Any]:
    """Returns a table with the names of settings as in Python. Raises `UserError` if it is no table."""
    if not isinstance(table, dict):
        raise UserError(f"{path}: {name} must be a table, got {table!r}")
    return {key.replace("-", "_"): value for key, value in table.items()}


def check_known(values: Mapping[str, Any], known: set[str], where: str) -> None:
    """Raises `UserError` if a name is not known."""
    for name in values:
        if name not in known:
            raise UserError(f"{where}: {name!r} is not a setting: use the names of the flags (see train --help-all, "
                            "and for [search] search --help)")  # fmt: skip


def check_values(task: Task, space: Space, path: str) -> None:
    """Raises `UserError` if a value in the space is outside the limits of its setting, or another task's."""
    rules = {item.name: item for section in task.sections.values() for item in settings_of(section)}
    for dimension in space.dimensions:
        if dimension.name not in rules:
            raise UserError(f"{path}: {dimension.name} does not change the result: move it out of [vary]")
        item = rules[dimension.name]
        for value in dimension.examples:
            if item.metadata["kind"] is int and dimension.kind in ("uniform", "log_uniform"):
                raise UserError(f"{path} [vary]: {item.name} must be a whole number: use integers or log_integers")
            try:
                value = as_tuple(tuple(value) if isinstance(value, list) else value)
                value = (value,) if item.metadata["kind"] is tuple and not isinstance(value, tuple) else value
                check(item.name, value if isinstance(value, tuple) == (item.metadata["kind"] is tuple) else value[0],
                      item.metadata, optional=False)  # fmt: skip
            except UserError as error:
                raise UserError(f"{path} [vary]: {error}") from None


def possible_sections(task: Task, shared: Mapping[str, Any], space: Space) -> Any:
    """Returns the settings of a possible trial. Raises `UserError` if it finds none without a contradiction."""
    rng = np.random.default_rng(0)
    for attempt in range(NUM_ATTEMPTS):
        given = {**shared, **space.draw(rng)}
        try:
            return task.settled(sections_from(given, task.sections), given)
        except UserError:
            if attempt == NUM_ATTEMPTS - 1:
                raise
    raise AssertionError


def without_test(shared: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings without a test file. Training and validation part stay the same."""
    values = {name: value for name, value in shared.items() if name != "test"}
    return values | {"test_fraction": 0} if shared.get("test") and not shared.get("valid") else values


def to_toml(values: Mapping[str, Any], comment: str) -> bytes:
    """Returns settings as a recipe, with the names of the flags and a comment above.

    >>> print(to_toml({"batch_size": 20, "cutoffs": [1000, 4000], "tie_weights": True}, "A recipe").decode(), end="")
    # A recipe
    <BLANKLINE>
    batch-size = 20
    cutoffs = [1000, 4000]
    tie-weights = true
    """
    above = [f"# {line}".rstrip() for line in comment.split("\n")]
    lines = [f"{flag(name)[2:]} = {value_in_toml(value)}" for name, value in values.items()]
    return "\n".join([*above, "", *lines, ""]).encode()


def value_in_toml(value: Any) -> str:
    """Returns a setting's value in TOML. Texts are written as in JSON, which TOML reads in the same way."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(value_in_toml, value))}]"
    return (
        json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        if not isinstance(value, float)
        else repr(value)
    )
