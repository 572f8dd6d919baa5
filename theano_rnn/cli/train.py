"""``train``: from text files to a checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path

from theano_rnn.cli.files import check_writable
from theano_rnn.cli.interruption import Interruption
from theano_rnn.cli.machine import prepare_machine
from theano_rnn.cli.options import Parser, add_flags, flag, given_settings, recipes, sections_from
from theano_rnn.cli.run_settings import (
    SECTIONS,
    Settings,
    agreed,
    check_devices,
    check_distinct,
    checked,
    curves_path,
    default_corpus,
    events_folder,
    log_path,
)
from theano_rnn.settings.base import UserError
from theano_rnn.settings.machine import TrainingMachineConfig
from theano_rnn.settings.training import RegularizationConfig, RunConfig, TrainingConfig

TITLES = {"corpus": "text files", "text": "how text is split", "model": "network", "training": "training",
          "run": "this run", "machine": "this machine"}  # fmt: skip


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        usage=f"{prog} [FLAG ...]",
        description="Train a recurrent language model. Without --train, in a clone of the repository: on six novels by "
        "Jane Austen.",
        epilog="examples:\n"
        f"  {prog}\n"
        f"  {prog} --train mybook.txt --epochs 10 --checkpoint runs/mybook.safetensors\n"
        f"  {prog} --config ptb-small --train ptb.train.txt --valid ptb.valid.txt    a recipe\n"
        f"  {prog} --train comments.csv --lowercase --batching sentences\n"
        f"  {prog} --train input.txt --unit char --hidden-size 256 --test-fraction 0\n"
        f"  {prog} --task fill --cell lstm --checkpoint runs/fill.safetensors    then fill.py\n"
        f"  {prog} --init-from runs/model.safetensors --train mine.txt --checkpoint runs/mine.safetensors\n"
        f"  {prog} --resume                    go on after Ctrl-C, a crash or --max-seconds",
    )
    for name, section in SECTIONS.items():
        if section is TrainingConfig:
            add_flags(parser, "regularization, at work in training alone", section, only=RegularizationConfig)
        add_flags(parser, TITLES[name], section, but=RegularizationConfig)
    parser.add_argument("--config", metavar="FILE_OR_RECIPE",
                        help="read settings from a TOML file, or from a recipe of the package by its name: "
                        f"{', '.join(recipes())}. Flags on the command line override it")  # fmt: skip
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    given = given_settings(args, SECTIONS)
    run_settings = sections_from(given, {"run": RunConfig})["run"]
    machine = prepare_machine(sections_from(given, {"machine": TrainingMachineConfig})["machine"])
    stored, checkpoint, initial = {}, None, None
    if run_settings.resume or given.get("init_from"):
        from theano_rnn.learning.checkpoint import load

        if run_settings.resume:
            checkpoint = load(run_settings.checkpoint, resume=True)
            stored = agreed(given, checkpoint, run_settings.checkpoint)
        else:
            for name in given.keys() & {"vocab_size", "min_count"}:
                raise UserError(f"{flag(name)} cannot be used with --init-from: the model's vocabulary is kept, and "
                                "--add-words makes it larger")  # fmt: skip
            initial = load(given["init_from"])
            stored = agreed(given, initial, given["init_from"], ("model", "text"))
    settings = Settings(**{**sections_from({**stored, **given}, SECTIONS), "machine": machine}, given=given)
    settings = checked(settings)
    if checkpoint is not None and checkpoint.progress["is_finished"]:
        from theano_rnn.cli.records import complete_log

        complete_log(log_path(run_settings), checkpoint.progress["records"])
        print(f"{run_settings.checkpoint} is finished: nothing left to do")
        return 0
    check_devices(settings)
    check_distinct(run_settings, settings.corpus)
    check_writable(Path(run_settings.checkpoint))
    check_writable(log_path(run_settings))
    if run_settings.curves:
        check_writable(curves_path(run_settings.checkpoint))
    if run_settings.tensorboard is not None:
        from theano_rnn.view.events import check_installed, event_path

        check_installed()
        check_writable(event_path(events_folder(run_settings)))
    with Interruption() as interruption:
        from theano_rnn.cli.session import Session

        corpus = default_corpus(settings.corpus, root)
        return Session(settings, checkpoint, corpus, interruption, initial=initial).run()
