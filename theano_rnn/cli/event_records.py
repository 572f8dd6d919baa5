"""A run's records for TensorBoard: its measures, the learning rate, norms of gradients and parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from theano_rnn.learning.measures import Measure
from theano_rnn.view.events import EventFile, put_aside

EVERY = 20  # updates between two records


def event_file(folder: Path, step: int, *, is_new: bool, say: Callable[[str], None]) -> EventFile:
    """A file for a run that has made `step` updates; what older ones of the run say of later steps is forgotten.

    Those of an older run of that name, where this one `is_new`, are put aside.
    """
    if is_new and (kept := put_aside(folder)) is not None:
        say(f"kept the older event files in {kept}")
    return EventFile(folder, from_step=step + 1)


class EventRecords:
    """Writes event files of a run; an error of the disk is said once, and the run goes on without them.

    Parameters
    ----------
    file
        None: nothing is written, as by all processes of several but the first.
    names
        Of the parameters, in the order of the norms.
    measures
        The task's.
    say
        Called with a line.
    """

    def __init__(
        self, file: EventFile | None, names: Sequence[str], measures: Sequence[Measure], *, say: Callable[[str], None]
    ) -> None:
        self.file, self.names, self.measures, self.say = file, list(names), measures, say
        self.norms: Any = None
        self.learning_rate = 0.0

    def settings(self, step: int, sections: Mapping[str, Mapping[str, Any]]) -> None:
        """Settings by section, as a table."""
        rows = [f"| {name} | {value} |" for section in sections.values() for name, value in section.items()]
        table = "\n".join(["| setting | value |", "|---|---|", *rows])
        self.write(lambda file: file.text(step, "settings", table))

    def recording(self, train: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        """Wrap a ``train`` that was compiled `with_norms`: norms and learning rate are kept here, for `on_step`."""

        def recorded(*arguments: Any) -> list[Any]:
            loss, self.norms, *state = train(*arguments)
            self.learning_rate = float(arguments[-1])
            return [loss, *state]

        return recorded

    def on_step(self, step: int, loss: float) -> None:
        """After an update; one of twenty is recorded, the first too."""
        if step % EVERY and step != 1:
            return
        gradients, parameters = np.asarray(self.norms, np.float64)
        norms = {f"norm/gradient/{name}": norm for name, norm in zip(self.names, gradients)}
        norms |= {f"norm/parameter/{name}": norm for name, norm in zip(self.names, parameters)}
        numbers = {
            **self.of_loss("training", loss), "learning_rate": self.learning_rate,
            "norm/gradient": np.linalg.norm(gradients), "norm/parameter": np.linalg.norm(parameters), **norms,
        }  # fmt: skip
        self.write(lambda file: file.numbers(step, numbers))

    def on_record(self, record: Mapping[str, Any]) -> None:
        """After an epoch, and at the end of a run."""
        numbers = self.of_loss("epoch", record["train_loss"]) if "train_loss" in record else {}
        for part, title in (("valid", "validation"), ("test", "test")):
            keys = {measure.name: f"{part}_{measure.name}" for measure in self.measures}
            numbers |= {f"{name}/{title}": record[key] for name, key in keys.items() if key in record}
        if numbers:
            self.write(lambda file: file.numbers(record["step"], numbers))

    def of_loss(self, title: str, loss: float) -> dict[str, float]:
        """A loss, and the measures that follow from it."""
        derived = {f"{measure.name}/{title}": measure.of_loss(loss) for measure in self.measures if measure.of_loss}
        return {f"loss/{title}": loss, **derived}

    def write(self, action: Callable[[EventFile], None]) -> None:
        """An action with the file, if there still is one."""
        if self.file is None:
            return
        try:
            action(self.file)
        except OSError as error:
            self.say(f"event files cannot be written, training goes on without them: {error.strerror or error}")
            self.close()

    def close(self) -> None:
        """The last call."""
        if self.file is not None:
            self.file.close()
            self.file = None
