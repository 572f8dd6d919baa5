"""What a search writes after each trial: a table, JSON lines, a picture of what mattered, and the best as a recipe."""

from __future__ import annotations

import importlib.util
import textwrap
import time
from collections.abc import Sequence
from typing import Any

from theano_rnn.cli.files import CHECKPOINT_ENDING
from theano_rnn.cli.space_files import SpaceFile, to_toml
from theano_rnn.cli.trial_runs import listed, short, value_shown
from theano_rnn.learning.atomic_files import write_atomically
from theano_rnn.search.study import Study, Trial
from theano_rnn.settings.strict_json import to_json

WIDTH = 80
DRAW_SECONDS = 60.0  # minimum time between two pictures
LONGEST_CELL = 16
ORDER = ("complete", "pruned", "failed", "running")


class Reports:
    """The reports of a search, ``table.txt``, ``trials.jsonl``, ``picture.png`` and ``best.toml`` in its folder."""

    def __init__(self, study: Study, file: SpaceFile) -> None:
        self.study, self.file = study, file
        self.table, self.lines, self.picture, self.best = (
            study.folder / name for name in ("table.txt", "trials.jsonl", "picture.png", "best.toml")
        )
        self.trouble, self.drawn_at = "", time.monotonic()

    def write(self, *, is_last: bool = False) -> str:
        """Write all of them, but the picture only if the last one is not recent or `is_last`. Returns the table."""
        with self.study.choosing():  # other processes write them, too
            trials = self.study.trials()
            table = results_table(trials, self.file, self.study.num_wanted)
            write_atomically(self.table, table.encode())
            write_atomically(self.lines, "".join(to_json(self.record(trial)) + "\n" for trial in trials).encode())
            ranked = ranking(trials, self.file)
            if ranked and ranked[0].state == "complete":
                self.write_recipe(ranked[0])
        if is_last or time.monotonic() - self.drawn_at > DRAW_SECONDS:
            self.draw([trial for trial in trials if trial.state == "complete"])
            self.drawn_at = time.monotonic()
        return table

    def record(self, trial: Trial) -> dict[str, Any]:
        """Returns the JSON record of a trial."""
        checkpoint = self.study.path(trial.number).with_suffix(CHECKPOINT_ENDING).name
        return {"trial": trial.number, "state": trial.state, "settings": trial.settings, **trial.result,
                "checkpoint": checkpoint}  # fmt: skip

    def write_recipe(self, trial: Trial) -> None:
        """Write the best trial as a recipe."""
        reached = self.file.shown.shown(value_shown(self.file, trial.result))
        checkpoint = self.study.path(trial.number).with_suffix(CHECKPOINT_ENDING)
        comment = (f"The best of the trials in {self.study.folder}: trial {trial.number}\n\n"
                   f"  theano-rnn train --config {self.best}\n\n"
                   f"Reached     {reached} on the validation part, by {checkpoint}")  # fmt: skip
        write_atomically(self.best, to_toml({**self.file.shared, **trial.settings}, comment))

    def draw(self, trials: Sequence[Trial]) -> None:
        """Draw the picture if there is something to see, and if matplotlib is installed."""
        if len(trials) < 3:
            return
        if importlib.util.find_spec("matplotlib") is None:
            self.trouble = "for a picture: pip install 'theano_rnn[plot]'"
            return
        from theano_rnn.view.search_picture import as_png, what_mattered

        logarithmic = {each.name for each in self.study.space.dimensions if each.is_logarithmic}
        figure = what_mattered(
            [trial.settings for trial in trials], [value_shown(self.file, trial.result) for trial in trials],
            self.study.importance(), self.file.shown, logarithmic=logarithmic,
        )  # fmt: skip
        write_atomically(self.picture, as_png(figure))

    def summary(self) -> str:
        """Returns lines that name the files."""
        names = [("best", self.best), ("all trials", self.lines), ("picture", self.picture)]
        lines = [f"{name + ':':12}{path}" for name, path in names if path.exists()]
        return "\n".join([*lines, *([self.trouble] if self.trouble else [])])


def ranking(trials: Sequence[Trial], file: SpaceFile) -> list[Trial]:
    """Returns the trials, the best first: complete ones by value, then pruned ones by epochs and value, then others."""

    def place(trial: Trial) -> tuple[float, ...]:
        value = trial.value if trial.value is not None else 0.0
        better_first = -value if file.selected.is_higher_better else value
        epochs = -trial.result.get("epochs", 0) if trial.state == "pruned" else 0
        return ORDER.index(trial.state), epochs, better_first, trial.number

    return sorted(trials, key=place)


def results_table(trials: Sequence[Trial], file: SpaceFile, num_wanted: int) -> str:
    """Returns the results as text, at most `WIDTH` columns wide; the best trial comes first."""
    counts = [(sum(trial.state == state for trial in trials), state) for state in ORDER]
    ended = sum(count for count, state in counts if state != "running")
    what = ", ".join(f"{count} {state}" for count, state in counts if count)
    lines = [f"{ended} of {max(num_wanted, len(trials))} trials ended" + (f": {what}" if what else "")]
    ranked = ranking(trials, file)
    measured = [trial for trial in ranked if trial.state in ("complete", "pruned")]
    if measured:
        lines += ["", *table_lines(measured, file), *pruned_note(measured)]
    failed = [trial for trial in ranked if trial.state == "failed"]
    for reason in dict.fromkeys(trial.result.get("reason", "") for trial in failed):
        numbers = [trial.number for trial in failed if trial.result.get("reason", "") == reason]
        lines += ["", *wrapped(f"{listed('trial', numbers)} failed: {reason}")]
    return "\n".join(lines) + "\n"


def pruned_note(trials: Sequence[Trial]) -> list[str]:
    """Returns an explanation of the asterisk, if there is one."""
    return ["* stopped early"] if any(trial.state == "pruned" for trial in trials) else []


def table_lines(trials: Sequence[Trial], file: SpaceFile) -> list[str]:
    """Returns a row for each trial: one column for each setting if they fit, otherwise settings as text below."""
    head = ["trial", file.shown.name.replace("_", " "), "epoch", "minutes"]
    rows = []
    for trial in trials:
        value = f"{value_shown(file, trial.result):.{file.shown.digits}f}"
        star = "*" if trial.state == "pruned" else ""
        rows.append([str(trial.number), value + star, short(trial.result["epoch"]),
                     f"{trial.result['seconds'] / 60:.1f}"])  # fmt: skip
    names = list(trials[0].settings)
    cells = [[cut(short(trial.settings[name])) for name in names] for trial in trials]
    wide = aligned([[*head, *(name.replace("_", "-") for name in names)], *(a + b for a, b in zip(rows, cells))])
    if max(map(len, wide)) <= WIDTH:
        return wide
    narrow = aligned([head, *rows])
    lines = narrow[:1]
    for line, trial in zip(narrow[1:], trials):
        settings = ", ".join(f"{name.replace('_', '-')} {short(value)}" for name, value in trial.settings.items())
        lines += [line, *wrapped(settings, indent=7)]
    return lines


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns rows of cells as lines; cells of a column end at the same place."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows]


def wrapped(text: str, indent: int = 0) -> list[str]:
    """Returns a text as lines of at most `WIDTH` columns."""
    space = " " * indent
    return textwrap.wrap(text, WIDTH, initial_indent=space, subsequent_indent=space or "  ", break_on_hyphens=False)


def cut(text: str) -> str:
    """Returns a text of at most `LONGEST_CELL` characters."""
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"
