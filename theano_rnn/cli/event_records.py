"""Record a run for TensorBoard: measures, the learning rate, and the norms of gradients and parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from theano_rnn.learning.measures import Measure
from theano_rnn.view.events import EventFile

RECORD_INTERVAL = 20  # updates between two records


def event_file(folder: Path, step: int) -> EventFile:
    """Open an event file for a run that has made `step` updates. TensorBoard discards older records of later steps."""
    return EventFile(folder, from_step=step + 1)


class EventRecords:
    """Writes the event files of a run. If the disk fails, a message is printed once and training continues.

    Parameters
    ----------
    file
        None if this process writes no file, because another process does.
    names
        The names of the parameters, in the order of the norms.
    measures
        The measures of the task.
    say
        Prints a line.
    """

    def __init__(
        self, file: EventFile | None, names: Sequence[str], measures: Sequence[Measure], *, say: Callable[[str], None]
    ) -> None:
        self.file, self.names, self.measures, self.say = file, list(names), measures, say
        self.norms: Any = None
        self.learning_rate = 0.0

    def settings(self, step: int, sections: Mapping[str, Mapping[str, Any]]) -> None:
        """Write a table of the settings, given by section."""
        rows = [f"| {name} | {value} |" for section in sections.values() for name, value in section.items()]
        table = "\n".join(["| setting | value |", "|---|---|", *rows])
        self.write(lambda file: file.text(step, "settings", table))

    def record_norms(self, train: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        """Wrap a ``train`` compiled with `with_norms` so that its norms and learning rate are kept for `on_step`."""

        def recording_train(*arguments: Any) -> list[Any]:
            loss, self.norms, *state = train(*arguments)
            self.learning_rate = float(arguments[-1])
            return [loss, *state]

        return recording_train

    def on_step(self, step: int, loss: float) -> None:
        """Record the first update and every 20th. Call after each update."""
        if step % RECORD_INTERVAL and step != 1:
            return
        gradients, parameters = np.asarray(self.norms, np.float64)
        norms = {f"norm/gradient/{name}": norm for name, norm in zip(self.names, gradients)}
        norms |= {f"norm/parameter/{name}": norm for name, norm in zip(self.names, parameters)}
        scalars = {
            **self.of_loss("training", loss), "learning_rate": self.learning_rate,
            "norm/gradient": np.linalg.norm(gradients), "norm/parameter": np.linalg.norm(parameters), **norms,
        }  # fmt: skip
        self.write(lambda file: file.scalars(step, scalars))

    def on_record(self, record: Mapping[str, Any]) -> None:
        """Write the measures of a log record. Call after each epoch and at the end of a run."""
        scalars = self.of_loss("epoch", record["train_loss"]) if "train_loss" in record else {}
        for part, title in (("valid", "validation"), ("test", "test")):
            keys = {measure.name: f"{part}_{measure.name}" for measure in self.measures}
            scalars |= {f"{name}/{title}": record[key] for name, key in keys.items() if key in record}
        if scalars:
            self.write(lambda file: file.scalars(record["step"], scalars))

    def of_loss(self, title: str, loss: float) -> dict[str, float]:
        """Returns a loss and the measures computed from it, by tag."""
        derived = {f"{measure.name}/{title}": measure.of_loss(loss) for measure in self.measures if measure.of_loss}
        return {f"loss/{title}": loss, **derived}

    def write(self, action: Callable[[EventFile], None]) -> None:
        """Call `action` with the file. Does nothing if there is no file, or writing has failed before."""
        if self.file is None:
            return
        try:
            action(self.file)
        except OSError as error:
            self.say(f"cannot write event files, training continues without them: {error.strerror or error}")
            self.close()

    def close(self) -> None:
        """Close the file. Call this last."""
        if self.file is not None:
            self.file.close()
            self.file = None
