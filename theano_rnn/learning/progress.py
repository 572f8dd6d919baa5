"""The state of a training run: its counters, its model, and the speed of this process."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from theano_rnn.learning.checkpoint import Arrays, Checkpoint, assign
from theano_rnn.learning.stored_values import check_carried_state

FORMER_NAMES = {"best_loss": "best_value", "token_count": "target_count"}  # counters in older checkpoints


class DivergedError(RuntimeError):
    """The loss, or a parameter, became infinite or not a number."""


@dataclass
class Progress:
    """The counters of a run, ready for JSON.

    `epoch`: completed epochs; `batch`: completed batches of the current one; `step`: updates in total; `loss_sum`,
    `target_count`: training losses and targets of the current epoch, summed; `valid_loss`: the latest; `best_value`: of
    the selected measure, after `best_step` updates; `best_facts`: what the validation of these parameters has found
    out; `use_last`: the run was stopped, and the last parameters are better than the best of all complete epochs;
    `records`: the lines of the log, without clock times.
    """

    learning_rate: float
    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    target_count: int = 0
    valid_loss: float | None = None
    best_value: float | None = None
    best_step: int = 0
    best_facts: dict[str, Any] = field(default_factory=dict)
    is_finished: bool = False
    use_last: bool = False
    records: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def records_with(self, latest: dict[str, Any] | None) -> list[dict[str, Any]]:
        """Returns all records, and `latest` if it is of a later step: of an epoch in which the time ran out."""
        is_more = latest is not None and latest["step"] > max((record["step"] for record in self.records), default=0)
        return [*self.records, latest] if latest is not None and is_more else self.records

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Progress:
        """Returns the counters stored in a checkpoint. Counters that only newer versions know are ignored."""
        known = {item.name for item in dataclasses.fields(cls)}
        renamed = {FORMER_NAMES.get(name, name): value for name, value in values.items()}
        return cls(**{name: value for name, value in renamed.items() if name in known})


@dataclass
class Run:
    """A model during training: `model` holds the parameters and the optimizer state, `best` the best parameters."""

    model: Any
    progress: Progress
    best: Arrays
    carried: list[Any] = field(default_factory=list)


def restored_run(model: Any, checkpoint: Checkpoint, batch_size: int) -> Run:
    """Set the parameters and the optimizer state of a model to those of a checkpoint. Returns the run.

    Raises
    ------
    UserError
        A tensor does not fit the model.
    """
    check_carried_state(checkpoint.carried, model.initial_state(batch_size))
    assign(model.params, checkpoint.best)  # now, not at the end of a long run, if they do not fit
    assign(model.params, checkpoint.last)
    assign(model.optimizer_state, checkpoint.optimizer)
    progress = Progress.from_json(checkpoint.progress)
    progress.use_last = False
    return Run(model, progress, checkpoint.best, checkpoint.carried)


@dataclass
class Meter:
    """Counts the seconds that this process spent in updates, and the targets that it trained on."""

    target_name: str
    seconds: float = 0.0
    num_targets: int = 0

    def add(self, seconds: float, num_targets: int) -> None:
        self.seconds += seconds
        self.num_targets += num_targets

    def record(self) -> dict[str, float]:
        """Returns the fields of a log record that depend on the clock."""
        rate = self.num_targets / self.seconds if self.seconds > 0 else 0.0
        return {f"{self.target_name}_per_second": round(rate, 1), "seconds": round(self.seconds, 3)}


def check_finite(run: Run) -> None:
    """Raises `DivergedError` if a parameter is infinite or not a number, so that such a run is never saved."""
    for name, variable in run.model.params.items():
        if not np.isfinite(variable.get_value(borrow=True)).all():
            raise DivergedError(f"{name} is no longer finite after step {run.progress.step}")
