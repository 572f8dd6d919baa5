"""``search``: find good settings by training with many combinations of values. Only the validation part is measured."""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from theano_rnn.cli.console import advise
from theano_rnn.cli.interruption import stopping_signals
from theano_rnn.cli.options import Parser, add_flags, given_settings, sections_from
from theano_rnn.settings.base import UserError
from theano_rnn.settings.trials import TrialsConfig

if TYPE_CHECKING:
    from theano_rnn.cli.trial_runs import Runner


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        usage=f"{prog} SPACE.toml [FLAG ...]",
        description="Find good settings: train with many combinations of values, and compare them by the "
        "validation measure that chooses the best parameters (--select of train). The test part is never measured. "
        "Each trial is a run of train with a checkpoint and a log of its own. After an interruption, the same command "
        "continues. Several processes, also on several machines, share the trials of a folder.",
        epilog="a file SPACE.toml:\n"
        '  train = "mybook.txt"             # settings of all trials, as in a recipe\n'
        "  epochs = 5\n"
        "  [vary]                           # settings that differ between trials\n"
        '  cell = ["lstm", "gru"]\n'
        "  hidden-size = {range = [100, 300, 50]}\n"
        "  learning-rate = {log_uniform = [0.001, 0.01]}\n"
        "  dropout = {uniform = [0.1, 0.6]}\n"
        "  num-layers = {integers = [1, 3]}\n"
        "  [search]                         # optional: the flags of this command\n"
        "  trials = 20\n\n"
        f"examples:\n  {prog} space.toml --jobs 2\n"
        f"  {prog} space.toml --sampler random --pruner median --trials 50",
    )
    parser.add_argument("space", metavar="SPACE.toml", help="the settings: those of all trials, those that vary, and "
                        "those of the search")  # fmt: skip
    add_flags(parser, "search", TrialsConfig)
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    if find_spec("optuna") is None:
        raise UserError("search needs Optuna, which is not installed: run pip install 'theano_rnn[search]'")
    from theano_rnn.cli.search_reports import Reports
    from theano_rnn.cli.space_files import read_space_file
    from theano_rnn.cli.trial_runs import Runner
    from theano_rnn.search.study import Study

    file = read_space_file(args.space)
    config = sections_from({**file.search, **given_settings(args, [TrialsConfig])}, {"search": TrialsConfig})["search"]
    folder = Path(config.folder or Path("runs", Path(args.space).stem))
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give another --folder")
    file.task.default_files(sections_from(file.shared, {"corpus": file.task.sections["corpus"]})["corpus"], root)
    advise(file.notes)
    folder.mkdir(parents=True, exist_ok=True)
    study = Study(
        folder, file.space, dataclasses.replace(config, folder=str(folder)),
        is_higher_better=file.selected.is_higher_better, described=file.described(),
    )  # fmt: skip
    reports = Reports(study, file)

    def on_change(line: str, has_ended: bool = False) -> None:
        advise([line])
        if has_ended:
            reports.write()

    runner = Runner(study, file, root, on_change, thread_flags(config.jobs, file.shared))
    num_ended = sum(trial.state != "running" for trial in study.trials())
    advise([f"{num_ended} of {study.num_wanted} trials have ended; files in {folder}"])
    run_workers(runner, config.jobs)
    if runner.error is not None:
        raise runner.error
    table = reports.write(is_last=True)
    print(table, end="", flush=True)
    advise(reports.summary().splitlines())
    if runner.signal is not None:
        advise(["stopped; to continue, use the same command again"])
        return 128 + runner.signal
    return 0


def run_workers(runner: Runner, jobs: int) -> None:
    """Run `jobs` trials at once, until all have ended or a signal comes."""

    def stop(number: int, frame: FrameType | None) -> None:
        if runner.signal is None:
            os.write(2, b"stopping: the trials are saved in some seconds; press Ctrl-C again to stop at once\n")
        runner.stop(number)

    old = {number: signal.signal(number, stop) for number in stopping_signals()}
    try:
        workers = [threading.Thread(target=runner.work, args=(cores,)) for cores in shares_of_cores(jobs)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def thread_flags(jobs: int, shared: Mapping[str, Any]) -> list[str]:
    """Returns the flag for the number of threads of each of several jobs, if it does not follow from its cores."""
    if jobs == 1 or "threads" in shared or hasattr(os, "sched_getaffinity"):
        return []
    return ["--threads", str(max(1, (os.cpu_count() or 1) // jobs))]


def shares_of_cores(jobs: int) -> list[Sequence[int]]:
    """Returns the cores of each of several jobs; none where there is one job, or no way to choose them."""
    if jobs == 1 or not hasattr(os, "sched_getaffinity"):
        return [()] * jobs
    cores = sorted(os.sched_getaffinity(0))
    return [cores[job::jobs] or [cores[job % len(cores)]] for job in range(jobs)]
