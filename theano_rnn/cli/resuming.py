"""What may differ when a run is resumed: the places of its files, and the number of epochs."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from theano_rnn.cli.options import flag, settings_of
from theano_rnn.settings.base import Section, UserError
from theano_rnn.settings.training import TrainingConfig
from theano_rnn.tasks.registry import stored_sections
from theano_rnn.tasks.task import Task

NOT_TEXTS = ("init_from", "subword_model", "vocab_from")  # needed only when a run starts


def texts_by_setting(corpus: Section) -> dict[str, tuple[str, ...]]:
    """Returns the names of the text files, by setting."""
    names = [item.name for item in settings_of(type(corpus))
             if item.metadata["metavar"] == "FILE" and item.name not in NOT_TEXTS]  # fmt: skip
    values = {name: getattr(corpus, name) for name in names}
    return {name: value if isinstance(value, tuple) else (value,) for name, value in values.items() if value}


def check_texts(corpus: Section, given: Mapping[str, Any], path: str) -> None:
    """Raises an error that says how to name the texts of a resumed run, if they are not where they were.

    Raises
    ------
    UserError
        The run was trained on standard input, which now is a terminal.
    FileNotFoundError
        A file is missing.
    """
    for name, texts in texts_by_setting(corpus).items():
        if name in given:
            continue
        for text in texts:
            if text == "-" and (sys.stdin is None or sys.stdin.isatty()):
                raise UserError(f"{path} was trained on text from standard input: {again(name)}")
            if text != "-" and not os.path.exists(text):
                every = "" if len(texts) == 1 else f", all {len(texts)} files in the same order"
                raise FileNotFoundError(
                    f"cannot find {text} (looked in {os.path.dirname(os.path.abspath(text))}). {path} was trained on "
                    f"it. If it is in another folder now, name its new place{every}: --resume {flag(name)} NEWPLACE"
                )


def again(name: str) -> str:
    """Returns the advice for a text that came from standard input."""
    return f"give the same text again, through a pipe or with --resume {flag(name)} FILE"


def explain_text(corpus: Section) -> str:
    """Returns what to do if the text of a resumed run differs from that of its start."""
    from_input = [name for name, texts in texts_by_setting(corpus).items() if "-" in texts]
    if from_input:
        return f"the run was trained on text from standard input, so {again(from_input[0])}"
    return "give the original files, or start a new run without --resume"


def with_advice(error: UserError, corpus: Section) -> UserError:
    """Returns the error of reading the text of a resumed run, with advice if the text came from standard input."""
    is_from_input = any("-" in texts for texts in texts_by_setting(corpus).values())
    return UserError(f"{error}: {explain_text(corpus)}") if is_from_input else error


def depends_on_epochs(training: TrainingConfig) -> bool:
    """Returns whether the learning rate depends on the number of epochs."""
    is_constant = training.schedule == "plateau" or (training.schedule == "constant" and not training.warmup)
    return not is_constant and training.schedule_steps is None


def check_more_epochs(task: Task, checkpoint: Any, epochs: int, path: str) -> None:
    """Raises `UserError` unless more epochs give the same result as if the run had started with that many."""
    from theano_rnn.training import Progress, is_out_of_patience

    sections = stored_sections(task, checkpoint.settings)
    training = sections["training"]
    instead = (f"To train its model further, start a new run from it: --init-from {path} --checkpoint NEW.safetensors "
               f"--epochs {epochs - training.epochs}")  # fmt: skip
    if depends_on_epochs(training):
        raise UserError(f"--epochs {epochs} conflicts with {path}: its --schedule {training.schedule} changes the "
                        f"learning rate over a planned number of epochs, {training.epochs}. {instead}")  # fmt: skip
    progress = Progress.from_json(checkpoint.progress)
    if is_out_of_patience(progress, training, task.select(sections)):
        raise UserError(f"{path} stopped early after {progress.epoch} epochs, because --patience {training.patience} "
                        f"epochs brought no better validation, so more --epochs change nothing. {instead}")  # fmt: skip


def reopen(checkpoint: Any) -> None:
    """Reopen a finished run, so that it can be trained further: remove the last record, the one of the test."""
    progress = checkpoint.progress
    progress["is_finished"] = False
    progress["records"] = [record for record in progress["records"] if "epoch" in record]


def describe_finished(task: Task, checkpoint: Any, path: str) -> str:
    """Returns a line that says that a run is finished, and how to train its model further."""
    training = stored_sections(task, checkpoint.settings)["training"]
    how = f"start a new run from it: --init-from {path} --checkpoint NEW.safetensors"
    if not depends_on_epochs(training) and checkpoint.progress["epoch"] >= training.epochs:
        how = f"add --epochs with more than {training.epochs}"
    return f"{path} is finished: nothing left to do. To train it further, {how}"
