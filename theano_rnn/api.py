"""Train and use models from Python: what ``from theano_rnn import Captioner, Classifier, LanguageModel, Recognizer,
Translator, train`` imports.

    model = LanguageModel.train("mybook.txt", epochs=10, checkpoint="runs/mybook.safetensors")
    print(model.generate("She was", num_samples=3))

`train` does what the command ``train`` does, with the same settings, files, messages and progress bar.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from theano_rnn import captioner, classifier, language_model, recognizer, translator
from theano_rnn.cli.files import base_name, name_files
from theano_rnn.cli.options import sections_from, settings_of
from theano_rnn.cli.run_settings import all_sections, log_path
from theano_rnn.cli.suggestions import suggestion
from theano_rnn.cli.train import run_with
from theano_rnn.learning.atomic_files import write_atomically
from theano_rnn.settings.base import RunError
from theano_rnn.settings.training import RunConfig

Texts = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def train(texts: Texts | None = None, **settings: Any) -> str:
    """Train a model on texts. Returns the path of its checkpoint.

    Parameters
    ----------
    texts
        Names of files or folders, or texts themselves; one, or a list. A string is a text if it has a line break. Texts
        are stored next to the checkpoint, in ``NAME.text-CHECKSUM.txt``, because resuming needs them. None with
        ``resume=True``.
    settings
        The flags of the command ``train``, with underscores: ``hidden_size=300``, ``valid="valid.txt"``,
        ``preset="none"``; all but ``config``. ``python -m theano_rnn train --help-all`` lists them.

    Raises
    ------
    UserError
        A setting has a wrong value, or a text cannot be used.
    TypeError
        There is no such setting, or a text is neither a string nor a path.
    OSError
        A file is missing, or cannot be read or written.
    KeyboardInterrupt
        Training was stopped by Ctrl-C. The model is saved; ``resume=True`` continues the training.
    RunError
        Training was stopped by another signal.

    Notes
    -----
    Set the number of threads by the environment variable ``OMP_NUM_THREADS`` before NumPy is imported.
    """
    known = {item.name for _, section in all_sections() for item in settings_of(section)} | {"task"}
    for name in settings:
        if name not in known:
            flags = [f"--{each.replace('_', '-')}" for each in known]
            guess = suggestion(f"--{name}", flags).replace("--", "").replace("-", "_")
            raise TypeError(f"train has no setting {name!r}{guess}")
    given: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in settings.items()}
    given = {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in given.items()}
    given.setdefault("checkpoint", RunConfig.checkpoint)
    run = sections_from(given, {"run": RunConfig})["run"]
    log_path(run)  # raises an error for a name that cannot be, before anything is written
    if texts is not None:
        given["train"] = text_files(texts, Path(run.checkpoint))
    status = run_with(name_files(given), is_command=False)
    if status == 128 + signal.SIGINT:
        raise KeyboardInterrupt
    if status:
        raise RunError(f"training was stopped by signal {status - 128}: to continue, call train again with resume=True")
    return str(given["checkpoint"])


def text_files(texts: Texts, checkpoint: Path) -> tuple[str, ...]:
    """Returns the names of files, in the order of `texts`. Texts are first written to files next to the checkpoint."""
    items = [texts] if isinstance(texts, str | bytes | os.PathLike) else list(texts)
    if not items:
        raise ValueError("texts must be at least one file or text, got an empty list")
    for item in items:
        if not isinstance(item, str | os.PathLike):
            raise TypeError(f"a text must be a string or a path, got {type(item).__name__}")
    return tuple(
        stored_text(item, checkpoint) if isinstance(item, str) and "\n" in item else os.fspath(item) for item in items
    )


def stored_text(text: str, checkpoint: Path) -> str:
    """Write a text to a file next to the checkpoint, with a name that no other text has. Returns the name."""
    data = text.encode("utf-8", "backslashreplace")
    path = checkpoint.with_name(f"{base_name(checkpoint)}.text-{hashlib.sha256(data).hexdigest()[:10]}.txt")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    return str(path)


class LanguageModel(language_model.LanguageModel):
    """A trained language model; see `theano_rnn.language_model.LanguageModel`. `train` makes a new one."""

    @classmethod
    def train(cls, texts: Texts | None = None, **settings: Any) -> LanguageModel:
        """Train a language model on texts and open it. Parameters and errors are those of `theano_rnn.train`."""
        return cls(train_for("next", "a language model", texts, settings), **machine_of(settings))


class Classifier(classifier.Classifier):
    """A trained classifier of texts; see `theano_rnn.classifier.Classifier`. `train` makes a new one."""

    @classmethod
    def train(cls, texts: Texts | None = None, **settings: Any) -> Classifier:
        """Train a classifier on labelled texts and open it. Parameters and errors are those of `theano_rnn.train`."""
        return cls(train_for("classify", "a classifier", texts, settings), **machine_of(settings))


class Captioner(captioner.Captioner):
    """A trained captioner of pictures; see `theano_rnn.captioner.Captioner`. `train` makes a new one."""

    @classmethod
    def train(cls, captions: Texts | None = None, **settings: Any) -> Captioner:
        """Train a captioner and open it. Parameters and errors are those of `theano_rnn.train`.

        `captions` is a file that names pictures and their captions; None: drawn scenes.
        """
        return cls(train_for("describe", "a captioner", captions, settings), **machine_of(settings))


class Recognizer(recognizer.Recognizer):
    """A trained recognizer of speech; see `theano_rnn.recognizer.Recognizer`. `train` makes a new one."""

    @classmethod
    def train(cls, recordings: Texts | None = None, **settings: Any) -> Recognizer:
        """Train a recognizer and open it. Parameters and errors are those of `theano_rnn.train`.

        `recordings` are manifests or files of features; None: synthetic spoken digits.
        """
        return cls(train_for("recognize", "a recognizer", recordings, settings), **machine_of(settings))


class Translator(translator.Translator):
    """A trained translator; see `theano_rnn.translator.Translator`. `train` makes a new one."""

    @classmethod
    def train(cls, texts: Texts | None = None, **settings: Any) -> Translator:
        """Train a translator and open it. Parameters and errors are those of `theano_rnn.train`.

        `texts` are two files, the source and its translation, or one table with two columns; None: generated dates.
        """
        return cls(train_for("translate", "a translator", texts, settings), **machine_of(settings))


def train_for(task: str, kind: str, texts: Texts | None, settings: dict[str, Any]) -> str:
    """Train a model for a task. Returns the path of its checkpoint."""
    if settings.setdefault("task", task) != task:
        raise TypeError(f"{kind} is trained with task {task!r}, got {settings['task']!r}")
    return train(texts, **settings)


def machine_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those of the settings that name the engine and the device."""
    return {name: settings[name] for name in ("engine", "device") if name in settings}
