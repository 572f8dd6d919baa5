"""What a system is, in one object: everything that commands need to know in order to train and use it.

A new system is a model (`learning.trainable.Trainable`), a `Task`, and a line in `tasks.registry`. Training, resuming,
`info`, learning curves, event files and the console know it through these methods alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from theano_rnn.learning.measures import LOSS, Measure
from theano_rnn.settings.base import Section, UserError
from theano_rnn.settings.training import TrainingConfig

if TYPE_CHECKING:  # numpy is not imported: `train --help` lists the tasks, and must be quick
    import numpy as np

    from theano_rnn.learning.batching import AnyBatch

Progress = Callable[[int, int], None]  # called with the bytes that have been read and with all there are
Sections = Mapping[str, Any]  # settings by section; "training" is always among them
Compiled = Callable[[str], Any]  # gives a model's compiled function by its name


class Data(NamedTuple):
    """What a task has read.

    parts : mapping
        ``train``, ``valid`` and, if there is one, ``test``, each as `Task.batches` takes it.
    facts : mapping
        What the trained model needs in order to be used, such as a `Vocabulary`; kept in the checkpoint. A fact whose
        name ends in "vocabulary" is a `Vocabulary`, any other is a JSON value.
    fingerprint : str
        Changes if and only if parts or facts change: a run is resumed on the same data only.
    """

    parts: Mapping[str, Any]
    facts: Mapping[str, Any]
    fingerprint: str


class Task(ABC):
    """A system that can be trained; it has no state of its own.

    Attributes
    ----------
    name : str
        As in ``--task NAME``.
    kind : str
        What its models are called, also in checkpoints: "language model".
    summary : str
        What is learned, in a few words, for ``--help``.
    sections : mapping
        The settings that decide what is learned, a dataclass for each section. They are flags of ``train`` and are
        stored in the checkpoint. Sections ``corpus`` (files) and ``training`` (a `TrainingConfig`) are always there.
    measures : tuple of Measure
        The loss first.
    measured : tuple of str
        The values, by the name of their measure, that a model's ``loss`` returns for each target.
    target_name : str
        What the loss is a mean of, in the plural: tokens, words, texts.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    summary: ClassVar[str]
    sections: ClassVar[Mapping[str, type[Section]]]
    measures: ClassVar[tuple[Measure, ...]] = (LOSS,)
    measured: ClassVar[tuple[str, ...]] = ("loss",)
    target_name: ClassVar[str] = "tokens"

    def settled(self, sections: Sections, given: Mapping[str, Any]) -> Sections:
        """The settings, with those that depend on others filled in; `given` are those that the user named.

        Raises
        ------
        UserError
            They do not go together.
        """
        names = [measure.name for measure in self.measures]
        select = sections["training"].select
        if select is not None and select not in names:
            raise UserError(f"--select must be one of {', '.join(names)} for --task {self.name}, got {select!r}")
        return sections

    def check_devices(self, sections: Sections, num_devices: int) -> None:  # noqa: B027 - most need not check
        """Raise `UserError`, beginning with a setting's name, if the model cannot be trained by so many devices."""

    def default_files(self, corpus: Any, root: Path | None) -> Any:
        """The section `corpus`, with the files to train on if the user named none; `root` is that of a checkout."""
        if not corpus.train:
            raise UserError(f"--task {self.name} needs --train FILE")
        return corpus

    @abstractmethod
    def read(
        self,
        sections: Sections,
        *,
        known: Mapping[str, Any] | None = None,
        is_resumed: bool = False,
        progress: Progress | None = None,
    ) -> Data:
        """Read the files that the settings name.

        Parameters
        ----------
        known : optional
            The facts of the model that this one begins with; they are kept, and may be extended by what is new.
        is_resumed
            `known` are the run's own facts, extended already.
        progress : optional
        """

    @abstractmethod
    def make_model(
        self, sections: Sections, facts: Mapping[str, Any], *, rng: np.random.Generator, num_devices: int = 1
    ) -> Any:
        """A new model, a `Trainable`; its `config` is what the checkpoint stores as section ``model``."""

    @abstractmethod
    def batches(
        self, part: Any, sections: Sections, facts: Mapping[str, Any], *, dtype: str, epoch: int | None = None
    ) -> Sequence[AnyBatch]:
        """Batches of a part, in that epoch's order or, for evaluation, in the order of the data."""

    def examples(
        self, compiled: Compiled, model: Any, data: Data, sections: Sections, *, count: int, seed: Sequence[int]
    ) -> list[str]:
        """Texts that show a person what the model can do by now."""
        return []

    def describe(self, data: Data) -> str:
        """The sizes of the parts and what else there is to say before training."""
        parts = " / ".join(f"{self.size(part):,}" for part in data.parts.values())
        is_tested = " / test" if "test" in data.parts else ""
        return f"{parts} {self.target_name} to train / validate{is_tested} on"

    def size(self, part: Any) -> int:
        """How many targets a part has."""
        return len(part)

    def test_facts(self, part: Any, facts: Mapping[str, Any], num_targets: int) -> dict[str, float]:
        """What the last record of the log says about the test part besides its measures; first, its size."""
        return {self.target_name: num_targets}

    def describe_test(self, facts: Mapping[str, float]) -> str:
        """`test_facts` in words."""
        return f"over {facts[self.target_name]:,} {self.target_name}"

    def drawn(self, sections: Sections) -> Measure:
        """The measure that the learning curves show."""
        return LOSS

    def select(self, sections: Sections) -> Measure:
        """The measure that decides which parameters are the best."""
        config: TrainingConfig = sections["training"]
        return next(measure for measure in self.measures if measure.name == (config.select or LOSS.name))
