"""The settings of one training run, and where its files are."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from theano_rnn.cli.files import beside
from theano_rnn.cli.options import flag, naming_flag, settings_of
from theano_rnn.settings.base import UserError, to_mapping
from theano_rnn.settings.machine import TrainingMachineConfig
from theano_rnn.settings.network import ModelConfig
from theano_rnn.settings.text import CorpusConfig, TextConfig
from theano_rnn.settings.training import RunConfig, TrainingConfig, check_head, from_checkpoint

STORED = {"corpus": CorpusConfig, "text": TextConfig, "model": ModelConfig, "training": TrainingConfig}


SECTIONS = {**STORED, "run": RunConfig, "machine": TrainingMachineConfig}


FILES = ("train", "valid", "test", "init_from")


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
        raise UserError("no --train FILE given, and the six novels that are read without it come only with a clone of "
                        "the repository: give your own text, for example --train book.txt")  # fmt: skip
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
