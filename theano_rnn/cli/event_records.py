"""What TensorBoard is told of a run: losses, perplexities, the learning rate, norms of gradients and parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from theano_rnn.learning.evaluation import perplexity
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
    say
        Called with a line.
    """

    def __init__(self, file: EventFile | None, names: Sequence[str], *, say: Callable[[str], None]) -> None:
        self.file, self.names, self.say = file, list(names), say
        self.norms: Any = None
        self.learning_rate = 0.0

    def settings(self, step: int, sections: Mapping[str, Mapping[str, Any]]) -> None:
        """Settings by section, as a table."""
        rows = [f"| {name} | {value} |" for section in sections.values() for name, value in section.items()]
        table = "\n".join(["| setting | value |", "|---|---|", *rows])
        self.write(lambda file: file.text(step, "settings", table))

    def watched(self, train: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        """`train`, compiled `with_norms`, as one without; its norms and learning rate are kept for `on_step`."""

        def keeping(*arguments: Any) -> list[Any]:
            *outputs, self.norms = train(*arguments)
            self.learning_rate = float(arguments[-1])
            return outputs

        return keeping

    def on_step(self, step: int, loss: float) -> None:
        """After an update; one of twenty is recorded, the first too."""
        if step % EVERY and step != 1:
            return
        gradients, parameters = np.asarray(self.norms, np.float64)
        norms = {f"norm/gradient/{name}": norm for name, norm in zip(self.names, gradients)}
        norms |= {f"norm/parameter/{name}": norm for name, norm in zip(self.names, parameters)}
        numbers = {
            "loss/training": loss, "perplexity/training": perplexity(loss), "learning_rate": self.learning_rate,
            "norm/gradient": np.linalg.norm(gradients), "norm/parameter": np.linalg.norm(parameters), **norms,
        }  # fmt: skip
        self.write(lambda file: file.numbers(step, numbers))

    def on_record(self, record: Mapping[str, Any]) -> None:
        """After an epoch, and at the end of a run."""
        names = {"train_loss": "epoch", "valid_loss": "validation", "test_loss": "test"}
        values = {names[key]: record[key] for key in names if key in record}
        numbers = {f"loss/{name}": loss for name, loss in values.items()}
        numbers |= {f"perplexity/{name}": perplexity(loss) for name, loss in values.items()}
        if numbers:
            self.write(lambda file: file.numbers(record["step"], numbers))

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
