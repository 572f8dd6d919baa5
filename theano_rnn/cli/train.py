"""``train``: from text files to a checkpoint."""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from theano_rnn.cli.files import beside, check_writable
from theano_rnn.cli.machine import prepare_machine
from theano_rnn.cli.options import Parser, add_flags, flag, given_settings, naming_flag, sections_from, settings_of
from theano_rnn.config import (
    CorpusConfig,
    ModelConfig,
    RegularizationConfig,
    RunConfig,
    TextConfig,
    TrainingConfig,
    TrainingMachineConfig,
    UserError,
    check_head,
    from_checkpoint,
    to_mapping,
)

STORED = {"corpus": CorpusConfig, "text": TextConfig, "model": ModelConfig, "training": TrainingConfig}
SECTIONS = {**STORED, "run": RunConfig, "machine": TrainingMachineConfig}
TITLES = {"corpus": "text files", "text": "how text is split", "model": "network", "training": "training",
          "run": "this run", "machine": "this machine"}  # fmt: skip
FILES = ("train", "valid", "test", "init_from")


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        usage=f"{prog} [FLAG ...]",
        description="Train a recurrent language model. Without arguments: on six novels by Jane Austen.",
        epilog="examples:\n"
        f"  {prog}\n"
        f"  {prog} --train mybook.txt --epochs 10 --checkpoint runs/mybook.safetensors\n"
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
    parser.add_argument("--config", metavar="FILE.toml", help="settings by the names of the flags; flags win")
    return parser


@dataclass(frozen=True)
class Settings:
    """All settings of a run, and those that the user named."""

    corpus: CorpusConfig
    text: TextConfig
    model: ModelConfig
    training: TrainingConfig
    run: RunConfig
    machine: TrainingMachineConfig
    given: Mapping[str, Any]


def run(args: argparse.Namespace, root: Path | None) -> int:
    given = given_settings(args, SECTIONS)
    run_settings = sections_from(given, {"run": RunConfig})["run"]
    machine = prepare_machine(sections_from(given, {"machine": TrainingMachineConfig})["machine"])
    stored, checkpoint, initial = {}, None, None
    if run_settings.resume or given.get("init_from"):
        from theano_rnn.checkpoint import load

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
        from theano_rnn.events import check_installed, event_path

        check_installed()
        check_writable(event_path(events_folder(run_settings)))
    with Interruption() as interruption:
        from theano_rnn.cli.session import Session

        corpus = default_corpus(settings.corpus, root)
        return Session(settings, checkpoint, corpus, interruption, initial=initial).run()


def checked(settings: Settings) -> Settings:
    """`settings` if they go together; those of the text's order as the task needs them."""
    training = settings.training
    if settings.model.task == "fill":
        if settings.given.get("batching") == "stream":
            raise UserError("--batching stream is for --task next: a word is filled in from the sentence it stands in")
        training = dataclasses.replace(training, batching="sentences")
    if training.batching == "sentences" and settings.text.unit == "char":
        what = "--task fill" if settings.model.task == "fill" else "--batching sentences"
        raise UserError(f"{what} needs --unit word: characters are one stream without sentences")
    if training.batching == "sentences" and settings.given.get("random_windows"):
        raise UserError("--random-windows needs --batching stream: a sentence is read as a whole")
    return dataclasses.replace(settings, training=training)


def check_devices(settings: Settings) -> None:
    """Raise `UserError` where the devices, or the processes, cannot share the work."""
    count, batch_size = int(settings.machine.num_devices), settings.training.batch_size
    try:
        check_head(settings.model, settings.training, count)
    except UserError as error:
        raise naming_flag(error) from None
    if batch_size % count:
        raise UserError(f"--batch-size must be a multiple of the {count} devices, got {batch_size}")
    if settings.machine.num_processes not in (None, 1) and settings.run.max_seconds is not None:
        raise UserError("--max-seconds is for one process: the clocks of several differ")


def agreed(
    given: Mapping[str, Any],
    checkpoint: Any,
    path: str,
    sections: tuple[str, ...] = ("model", "text", "training", "corpus"),  # the corpus has the last word on vocab_size
) -> dict[str, Any]:
    """The checkpoint's settings; a flag that says otherwise is an error, but files are compared by content later.

    A setting that an older checkpoint does not know is as it was then.
    """
    stored = {
        name: value
        for section in sections
        for name, value in to_mapping(from_checkpoint(STORED[section], checkpoint.settings[section])).items()
    }
    own = {item.name for section in STORED.values() for item in settings_of(section)}
    for name, value in given.items():
        if name in own and name not in FILES and name in stored and stored[name] != value:
            raise UserError(f"{flag(name)} {value} conflicts with {path}, which has {stored[name]}: leave the flag out")
    return stored


def default_corpus(corpus: CorpusConfig, root: Path | None) -> CorpusConfig:
    """`corpus`, its files those of data/austen where none are named."""
    if corpus.train:
        return corpus
    root = root or Path(__file__).resolve().parents[2]
    novels = sorted(str(path) for path in (root / "data" / "austen").glob("*.txt"))
    if not novels:
        raise UserError("no --train FILE given, and the novels of data/austen are not here: they come with the "
                        "repository, for scripts/train.py")  # fmt: skip
    return CorpusConfig(**{**to_mapping(corpus), "train": tuple(novels)})


def log_path(run_settings: RunConfig) -> Path:
    """Where the log goes."""
    return Path(run_settings.log) if run_settings.log else beside(run_settings.checkpoint, ".jsonl")


def curves_path(checkpoint: str) -> Path:
    """Where the picture of the learning curves goes."""
    return beside(checkpoint, ".curves.png")


def events_folder(run_settings: RunConfig) -> Path:
    """Where a run's event files go: TensorBoard shows each folder below ``--tensorboard`` as a run of its name."""
    return Path(str(run_settings.tensorboard)) / Path(run_settings.checkpoint).stem


def check_distinct(run_settings: RunConfig, corpus: CorpusConfig) -> None:
    """Raise `UserError` where the checkpoint or the log would replace the other, or a text."""
    texts = [("train", path) for path in corpus.train] + [("valid", corpus.valid), ("test", corpus.test)]
    seen = {os.path.realpath(path): name for name, path in texts if path is not None and path != "-"}
    written = [("checkpoint", Path(run_settings.checkpoint)), ("log", log_path(run_settings))]
    if run_settings.curves:
        written.append(("curves", curves_path(run_settings.checkpoint)))
    for name, path in written:
        other = seen.setdefault(os.path.realpath(path), name)
        if other != name:
            raise UserError(f"{flag(name)} and {flag(other)} are the same file, {path}: give another name")


class Interruption:
    """Ctrl-C and SIGTERM as a wish to stop; a second one ends the process as usual."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.is_deferred = False
        self.old: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        for number in (signal.SIGINT, signal.SIGTERM):
            self.old[number] = signal.signal(number, self.receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.old.items():
            signal.signal(number, handler)

    def receive(self, number: int, _: Any) -> None:
        if not self.is_deferred or self.signal is not None:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        self.signal = number
