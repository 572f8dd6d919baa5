"""``train``: train a model on text files and write a checkpoint."""

from __future__ import annotations

import argparse
import contextlib
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from theano_rnn.cli.files import CHECKPOINT_ENDING, base_name, check_writable, name_files
from theano_rnn.cli.interruption import Interruption
from theano_rnn.cli.machine import prepare_machine
from theano_rnn.cli.options import Parser, add_flags, given_settings, recipes, sections_from
from theano_rnn.cli.resuming import check_texts, describe_finished, reopen
from theano_rnn.cli.run_settings import (
    Settings,
    all_sections,
    check_devices,
    check_distinct,
    complete_settings,
    curves_path,
    defaults_of_other_tasks,
    events_folder,
    initial_values,
    log_path,
    resumed_values,
    task_of,
)
from theano_rnn.cli.streams import watched_output
from theano_rnn.cli.taken_vocabulary import settings_from
from theano_rnn.settings.base import UserError
from theano_rnn.settings.machine import TrainingMachineConfig
from theano_rnn.settings.training import RegularizationConfig, RunConfig
from theano_rnn.tasks.registry import TASKS, task_of_checkpoint

TITLES = {"corpus": "text files", "text": "tokenization", "model": "network", "training": "training",
          "run": "this run", "machine": "this machine"}  # fmt: skip
BASIC = (
    "task", "train", "valid", "column", "label_column", "unit", "sentences", "vocab_size", "cell", "hidden_size",
    "num_layers", "dropout", "batch_size", "learning_rate", "epochs", "checkpoint", "resume", "init_from",
    "max_seconds", "preset", "config", "device",
)  # fmt: skip


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        basic=BASIC,
        usage=f"{prog} [FLAG ...]",
        description="Train a recurrent network on text: a language model, or with --task another model. In a clone of "
        "the repository, the default text is six novels by Jane Austen; otherwise give --train.",
        epilog="examples:\n"
        f"  {prog}\n"
        f"  {prog} --train mybook.txt --epochs 10 --checkpoint runs/mybook.safetensors\n"
        f"  {prog} --config ptb-small --train ptb.train.txt --valid ptb.valid.txt    a recipe\n"
        f"  {prog} --train comments.csv --column body --lowercase --batching sentences\n"
        f"  {prog} --train books/                all text files in a folder\n"
        f"  {prog} --train input.txt --unit char --hidden-size 256 --test-fraction 0\n"
        f"  {prog} --task fill --cell lstm --checkpoint runs/fill.safetensors    then use fill\n"
        f"  {prog} --task classify --train reviews.tsv --checkpoint runs/reviews.safetensors    then use classify\n"
        f"  {prog} --init-from runs/model.safetensors --train mine.txt --checkpoint runs/mine.safetensors\n"
        f"  {prog} --resume                    continue after Ctrl-C, a crash or --max-seconds",
    )
    listed = "; ".join(f"{name}: {task.summary}" for name, task in TASKS.items())
    parser.add_argument("--task", choices=list(TASKS), default=argparse.SUPPRESS,
                        help=f"what the model learns to predict. {listed} (default: next)")  # fmt: skip
    flags: set[str] = set()
    others = defaults_of_other_tasks()
    for name, section in all_sections():
        owners = [task.name for task in TASKS.values() if section in task.sections.values()]
        title = TITLES.get(name, name) + (
            f", only for --task {' or '.join(owners)}" if "next" not in owners and owners else ""
        )
        if issubclass(section, RegularizationConfig):
            flags |= add_flags(parser, "regularization, applied during training only", section,
                               only=RegularizationConfig, known=flags, other_defaults=others)  # fmt: skip
        flags |= add_flags(parser, title, section, known=flags, other_defaults=others)
    parser.add_argument("--config", metavar="FILE_OR_RECIPE",
                        help="read settings from a TOML file or from one of the recipes: "
                        f"{', '.join(recipes())}. Flags on the command line override it")  # fmt: skip
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    return run_with(
        name_files(given_settings(args, [section for _, section in all_sections()], others=("task",))), root
    )


def run_with(given: Mapping[str, Any], root: Path | None = None, *, is_command: bool = True) -> int:
    """Train with the settings that a user has given, by name. Returns the exit status of the command."""
    run_settings = sections_from(given, {"run": RunConfig})["run"]
    log_path(run_settings)  # raises an error for a name that cannot be, before the lock uses it
    machine = prepare_machine(
        sections_from(given, {"machine": TrainingMachineConfig})["machine"], is_command=is_command
    )
    from theano_rnn.learning.atomic_files import lock

    is_writer = not machine.process_id  # only the first of several processes writes files
    with lock(run_settings.checkpoint) if is_writer else contextlib.nullcontext():
        return train(given, run_settings, machine, root)


def train(given: Mapping[str, Any], run_settings: RunConfig, machine: TrainingMachineConfig, root: Path | None) -> int:
    """Start or resume a run. Returns the exit status."""
    checkpoint: Any = None
    initial: Any = None
    path = run_settings.checkpoint
    if run_settings.resume:
        from theano_rnn.learning.checkpoint import load

        checkpoint = load(path, resume=True)
        task = task_of_checkpoint(checkpoint)
        values = resumed_values(task, checkpoint, given, path)
        has_more_epochs = values["epochs"] > checkpoint.settings.get("training", {}).get("epochs", values["epochs"])
    else:
        task, values = task_of(given), {}
        if given.get("init_from"):
            from theano_rnn.learning.checkpoint import load

            initial = load(given["init_from"])
            values = initial_values(task, initial, task_of_checkpoint(initial), given, given["init_from"])
        if given.get("vocab_from"):
            values = settings_from(given["vocab_from"], given)
    settings = complete_settings(task, {**values, **given}, given, machine)
    if checkpoint is not None and checkpoint.progress["is_finished"]:
        if not has_more_epochs:
            from theano_rnn.cli.records import complete_log

            complete_log(log_path(run_settings), checkpoint.progress["records"], task.target_name)
            print(describe_finished(task, checkpoint, path))
            return 0
        reopen(checkpoint)
    check_devices(settings)
    check_files(settings)
    files = task.default_files(settings.sections["corpus"], root)
    if checkpoint is not None:
        check_texts(files, given, path)
    with Interruption(path) as interruption, watched_output(interruption.receive_failure) as output:
        from theano_rnn.cli.session import Session

        status = Session(settings, checkpoint, files, interruption, initial=initial).run()
        return 128 + signal.SIGPIPE if output.has_failed and not status else status


def check_siblings(run_settings: RunConfig) -> None:
    """Raises `UserError` if ``model`` and ``model.safetensors`` are two checkpoints, which would have the same log."""
    from theano_rnn.learning.checkpoint import is_checkpoint

    path = Path(run_settings.checkpoint)
    other = path.with_name(base_name(path) if path.name != base_name(path) else path.name + CHECKPOINT_ENDING)
    if run_settings.log is None and is_checkpoint(other):
        raise UserError(f"{path} and {other} would have the same log, {log_path(run_settings)}: give another "
                        "--checkpoint or --log")  # fmt: skip


def check_files(settings: Settings) -> None:
    """Raises `UserError` if an output file cannot be written, or would replace another file of the run."""
    run_settings = settings.run
    check_distinct(run_settings, settings.sections["corpus"])
    check_siblings(run_settings)
    check_writable(Path(run_settings.checkpoint))
    check_writable(log_path(run_settings))
    if run_settings.curves:
        check_writable(curves_path(run_settings.checkpoint))
    if run_settings.tensorboard is not None:
        from theano_rnn.view.events import check_installed, event_path

        check_installed()
        check_writable(event_path(events_folder(run_settings)))
