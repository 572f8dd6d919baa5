"""The interface between a task and the commands: everything that they need to train and use a kind of model.

To add a task, write a model (`learning.trainable.Trainable`) and a `Task`, and add a line to `tasks.registry`.
Training, resuming, `info`, learning curves, event files and the console then work, because they use only these methods.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from theano_rnn.learning.measures import LOSS, Measure
from theano_rnn.settings.base import Section, UserError
from theano_rnn.settings.training import TrainingConfig

if TYPE_CHECKING:  # `train --help` lists the tasks and must be fast, so numpy is not imported
    import numpy as np

    from theano_rnn.learning.batching import AnyBatch
    from theano_rnn.learning.evaluation import Evaluation

Progress = Callable[[int, int], None]  # called with the bytes read so far and the total
Sections = Mapping[str, Any]  # settings by section; always includes "training"
Compiled = Callable[[str], Any]  # returns the model's compiled function of a given name


class Data(NamedTuple):
    """The data of a task.

    parts : mapping
        ``train``, ``valid`` and possibly ``test``, each in the form that `Task.batches` accepts.
    facts : mapping
        What the trained model needs for use, such as a `Vocabulary`; stored in the checkpoint. A fact whose name ends
        in "vocabulary" is a `Vocabulary`; any other is a JSON value.
    fingerprint : str
        A hash of parts and facts. A run can be resumed only on data with the same fingerprint.
    notes : tuple of str
        Lines of advice on the data, which the command prints.
    """

    parts: Mapping[str, Any]
    facts: Mapping[str, Any]
    fingerprint: str
    notes: tuple[str, ...] = ()


class Task(ABC):
    """A task that models can be trained for. It has no state of its own.

    Attributes
    ----------
    name : str
        The name in ``--task NAME``.
    kind : str
        The kind of its models, as in messages and checkpoints: "language model".
    summary : str
        What the model learns, in a few words, for ``--help``.
    sections : mapping
        The settings that affect the result, a dataclass for each section. They are flags of ``train`` and are stored in
        the checkpoint. Must include ``corpus`` (files) and ``training`` (a `TrainingConfig`).
    measures : tuple of Measure
        The measures to record, the loss first.
    measured : tuple of str
        The names of the measures that a model's ``loss`` function returns for each target, unless `sums` computes them.
    target_name : str
        The plural name of the targets that the loss is a mean of: tokens, words, texts.
    commands : tuple of str
        The commands that use its models, for messages.
    reading : str
        What is done while its files are read, for the progress bar.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    summary: ClassVar[str]
    sections: ClassVar[Mapping[str, type[Section]]]
    measures: ClassVar[tuple[Measure, ...]] = (LOSS,)
    measured: ClassVar[tuple[str, ...]] = ("loss",)
    target_name: ClassVar[str] = "tokens"
    commands: ClassVar[tuple[str, ...]] = ()
    reading: ClassVar[str] = "splitting text into tokens"

    def settled(self, sections: Sections, given: Mapping[str, Any]) -> Sections:
        """Fill in the settings that depend on others. `given` holds the settings that the user named.

        Raises
        ------
        UserError
            The settings contradict each other.
        """
        names = [measure.name for measure in self.measures]
        select = sections["training"].select
        if select is not None and select not in names:
            raise UserError(f"--select must be one of {', '.join(names)} for --task {self.name}, got {select!r}")
        return sections

    def initial_settings(self, origin: Task) -> dict[str, Any]:
        """Returns settings that suit a model of the task `origin` as the initial model, by name."""
        return {}

    def chosen(self, sections: Sections, data: Data) -> dict[str, Any]:
        """Returns settings that suit the data, by name, for ``--preset auto``; the user may have named others."""
        return {}

    def warnings(self, sections: Sections, data: Data) -> list[str]:
        """Returns warnings about the data to show before training, one line each."""
        return []

    def check_devices(self, sections: Sections, num_devices: int) -> None:  # noqa: B027 - most need no check
        """Raises `UserError` if the model cannot be trained on `num_devices` devices.

        The message must start with the name of the setting to blame.
        """

    def check_stored(self, sections: Sections, facts: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:  # noqa: B027
        """Raises `UserError` if the values in a checkpoint cannot be a model. Must not build anything large."""

    def default_files(self, corpus: Any, root: Path | None) -> Any:
        """Returns `corpus` with default files if the user named none. `root` is the folder of a clone, if known."""
        if not corpus.train:
            raise UserError(f"--task {self.name} needs training data: add --train FILE")
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
            The facts of the model that training starts from. They are kept, and may be extended.
        is_resumed
            `known` holds the facts of the run itself, already extended.
        progress : optional
        """

    @abstractmethod
    def make_model(
        self, sections: Sections, facts: Mapping[str, Any], *, rng: np.random.Generator, num_devices: int = 1
    ) -> Any:
        """Returns a new model, a `Trainable`. The checkpoint stores its `config` as section ``model``."""

    @abstractmethod
    def batches(
        self, part: Any, sections: Sections, facts: Mapping[str, Any], *, dtype: str, epoch: int | None = None
    ) -> Sequence[AnyBatch]:
        """Returns the batches of a part, in the order of `epoch`, or in the order of the data if it is None."""

    def sums(self, batch: Any, values: Sequence[Any]) -> Mapping[str, Any]:
        """Returns what the measures are computed from, summed over a batch, by name.

        `values` are the results of the model's ``loss`` for the batch, without the state.
        """
        import numpy as np

        return {name: float(np.asarray(value).sum(dtype=np.float64)) for name, value in zip(self.measured, values)}

    def completed(
        self, evaluation: Evaluation, compiled: Compiled, model: Any, part: Any, facts: Mapping[str, Any]
    ) -> Evaluation:
        """Returns the evaluation of a part with what `sums` cannot compute: further sums, and facts for use."""
        return evaluation

    def examples(
        self, compiled: Compiled, model: Any, data: Data, sections: Sections, *, count: int, seed: Sequence[int]
    ) -> list[str]:
        """Returns short texts that show what the model has learned so far."""
        return []

    def describe(self, data: Data) -> str:
        """Returns the sizes of the parts and other facts to show before training."""
        parts = " / ".join(f"{self.size(part):,}" for part in data.parts.values())
        is_tested = " / test" if "test" in data.parts else ""
        return f"{parts} {self.target_name} to train / validate{is_tested} on"

    def size(self, part: Any) -> int:
        """Returns the number of targets in a part."""
        return len(part)

    def test_facts(self, part: Any, facts: Mapping[str, Any], num_targets: int) -> dict[str, float]:
        """Returns what the last log record says about the test part, apart from its measures. Its size comes first."""
        return {self.target_name: num_targets}

    def describe_test(self, facts: Mapping[str, float]) -> str:
        """Describe `test_facts` in words."""
        return f"over {facts[self.target_name]:,} {self.target_name}"

    def drawn(self, sections: Sections) -> Measure:
        """Returns the measure that the learning curves show."""
        return LOSS

    def select(self, sections: Sections) -> Measure:
        """Returns the measure that decides which parameters are the best."""
        config: TrainingConfig = sections["training"]
        return next(measure for measure in self.measures if measure.name == (config.select or LOSS.name))
