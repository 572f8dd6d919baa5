"""Chapter 3: training. Epochs, validation, annealing, the best parameters, and a position to resume from.

`fit` repeats: take a batch, `update` the parameters; at the end of an epoch `validate`, then `close_epoch`, which lets
the validation loss decide the learning rate. It sees compiled functions, batches and arrays; it prints nothing and
reads no file. Whatever happens is reported to a `Callback`. Everything that a run needs in order to go on is in
`Progress`, the parameters, the optimizer's state and the carried state. Nothing of that depends on the clock, so a run
that is interrupted and resumed ends with the same bytes.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from theano_rnn.learning.averaging import start_averaging
from theano_rnn.learning.batching import AnyBatch
from theano_rnn.learning.checkpoint import Arrays, assign, values_of
from theano_rnn.learning.evaluation import Evaluation
from theano_rnn.learning.measures import LOSS, PERPLEXITY, Measure
from theano_rnn.learning.schedules import SCHEDULES, should_start_averaging
from theano_rnn.settings.training import TrainingConfig

FORMER_NAMES = {"best_loss": "best_value", "token_count": "target_count"}  # of counters in older checkpoints


class DivergedError(RuntimeError):
    """The loss, or a parameter, became infinite or not a number."""


@dataclass
class Progress:
    """Counters of a run, ready for JSON.

    `epoch`: epochs done; `batch`: batches done of the current one; `step`: updates in all; `loss_sum`, `target_count`:
    of the training loss in the current epoch; `valid_loss`: the last one; `best_value`: of the measure that decides,
    after `best_step` updates; `records`: the lines of the log, without clock times.
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
    is_finished: bool = False
    records: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Progress:
        """The counters that a checkpoint holds."""
        return cls(**{FORMER_NAMES.get(name, name): value for name, value in values.items()})


@dataclass
class Run:
    """A model while it learns; `model` holds the parameters and the optimizer's state."""

    model: Any
    progress: Progress
    best: Arrays
    carried: list[Any] = field(default_factory=list)


class Callback:
    """Methods that `fit` calls; override those that you need."""

    def on_step(self, progress: Progress, loss: float, num_targets: int, num_batches: int) -> None:
        """After each update: its loss in nats per target, its number of targets, and the batches of the epoch."""

    def on_epoch(self, record: dict[str, Any]) -> None:
        """After validation and after `save`, with the epoch's record."""

    def save(self) -> None:
        """Write the run to disk: called at the end of every epoch, every `save_seconds`, and when `fit` stops early."""

    def should_stop(self) -> bool:
        """Whether to stop after this batch."""
        return False


def fit(
    run: Run,
    train: Callable[..., list[Any]],
    batches_of_epoch: Callable[[int], Sequence[AnyBatch]],
    evaluate: Callable[[], Evaluation | None],
    config: TrainingConfig,
    *,
    callback: Callback,
    measures: Sequence[Measure] = (LOSS, PERPLEXITY),
    selected: Measure = LOSS,
    target_name: str = "tokens",
    max_seconds: float | None = None,
    save_seconds: float = 60.0,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Train until `config.epochs` are done, from where `run` stands.

    After every epoch the model is validated. If the measure `selected` is the best so far, the parameters, or their
    averages if the model keeps such, are kept as the best; if it has not improved for `config.patience` epochs,
    training ends. If the validation loss rose, the learning rate is halved (schedule
    "plateau"; optimizer asgd begins to average instead).

    Parameters
    ----------
    train
        A model's ``train``: ``train(*batch.arrays, *state, learning_rate) -> [loss, *state]``.
    batches_of_epoch
        Batches of epoch 0, 1, ...; the same each time they are asked for.
    evaluate
        Measures the present parameters on the validation part; returns None if it was interrupted.
    measures
        What `evaluate` measures, for records.
    selected
        The one of them that decides which parameters are the best.
    target_name
        What the loss is a mean of, in the plural; records say how many of these a second were trained on.
    max_seconds
        Seconds of training, not counting validation, after which to stop as at the end of an epoch.

    Returns
    -------
    "finished", "stopped" (by the callback) or "out of time"

    Raises
    ------
    DivergedError
        The loss is infinite or not a number. Nothing is saved.
    """
    progress, meter, saved_at = run.progress, Meter(target_name), clock()

    def save() -> None:
        nonlocal saved_at
        check_finite(run)
        callback.save()
        saved_at = clock()

    budget = budget_of(config, batches_of_epoch)
    while progress.epoch < config.epochs and not is_out_of_patience(progress, config, selected):
        batches = batches_of_epoch(progress.epoch)
        while progress.batch < len(batches):
            if max_seconds is not None and meter.seconds >= max_seconds:
                if progress.batch > 0:
                    values = validate(run, evaluate, measures, selected)
                    save()
                    if values is not None:
                        callback.on_epoch(record_of(progress, values, config, budget) | meter.record())
                return "out of time"
            started = clock()
            loss, num_targets = update(run, train, batches[progress.batch], config, budget)
            meter.add(clock() - started, num_targets)
            callback.on_step(progress, loss, num_targets, len(batches))
            if callback.should_stop():
                save()
                return "stopped"
            if clock() - saved_at >= save_seconds:
                save()
        values = validate(run, evaluate, measures, selected)
        if values is None:
            save()
            return "stopped"
        close_epoch(run, values, config, budget)
        save()
        callback.on_epoch(progress.records[-1] | meter.record())
        if callback.should_stop():
            return "stopped"
    return "finished"


def update(
    run: Run, train: Callable[..., list[Any]], batch: AnyBatch, config: TrainingConfig, budget: int
) -> tuple[float, int]:
    """Make one update; return its loss before it, in nats per target, and its number of targets."""
    progress, model = run.progress, run.model
    if batch.is_start or not run.carried:
        run.carried = list(model.initial_state(batch.num_columns))
    rate = rate_at(progress.step, progress, config, budget) * batch.rate_factor
    value, *run.carried = train(*batch.arrays, *run.carried, np.asarray(rate, model.config.dtype))
    loss, num_targets = float(value), batch.num_targets
    if not math.isfinite(loss):
        raise DivergedError(f"the loss is {loss} at step {progress.step + 1}")
    progress.batch += 1
    progress.step += 1
    progress.loss_sum += loss * num_targets
    progress.target_count += num_targets
    return loss, num_targets


def rate_at(step: int, progress: Progress, config: TrainingConfig, budget: int) -> float:
    """The learning rate of the update after `step` others."""
    if config.schedule == "plateau":
        return progress.learning_rate
    return progress.learning_rate * SCHEDULES[config.schedule](step, budget, warmup=float(config.warmup or 0))


def budget_of(config: TrainingConfig, batches_of_epoch: Callable[[int], Sequence[AnyBatch]]) -> int:
    """The number of updates that the schedule is spread over; every epoch counts as many as the first."""
    if config.schedule == "plateau" or config.schedule_steps is not None:
        return config.schedule_steps or 1
    return config.epochs * max(len(batches_of_epoch(0)), 1)


def validate(
    run: Run, evaluate: Callable[[], Evaluation | None], measures: Sequence[Measure], selected: Measure
) -> dict[str, float] | None:
    """Validation measures by name; the present parameters become the best if `selected` is the best so far."""
    progress, averages, live = run.progress, values_of(run.model.averages), values_of(run.model.params)
    try:
        if averages:
            assign(run.model.params, averages)
        evaluation = evaluate()
    finally:
        if averages:
            assign(run.model.params, live)
    if evaluation is None:
        return None
    if not math.isfinite(evaluation.loss):
        raise DivergedError(f"the validation loss is {evaluation.loss} after step {progress.step}")
    values = evaluation.values(measures)
    if selected.is_better(values[selected.name], progress.best_value):
        progress.best_value, progress.best_step = values[selected.name], progress.step
        run.best = averages or live
    return values


def close_epoch(run: Run, values: Mapping[str, float], config: TrainingConfig, budget: int) -> None:
    """Record the epoch, let the validation loss decide, and move on to the start of the next epoch."""
    progress, loss = run.progress, values[LOSS.name]
    progress.epoch += 1
    progress.records.append(record_of(progress, values, config, budget))
    has_risen = progress.valid_loss is not None and loss > progress.valid_loss
    if has_risen and config.schedule == "plateau" and config.optimizer != "asgd":
        progress.learning_rate /= 2
    if config.optimizer == "asgd" and should_start_averaging([record["valid_loss"] for record in progress.records]):
        start_averaging(run.model.optimizer_state)  # once it has begun, it goes on
    progress.valid_loss = loss
    progress.batch, progress.loss_sum, progress.target_count = 0, 0.0, 0
    run.carried = []


def is_out_of_patience(progress: Progress, config: TrainingConfig, selected: Measure) -> bool:
    """Whether the last `config.patience` epochs did not improve the measure that decides."""
    name = f"valid_{selected.name}"
    values = [record[name] for record in progress.records if name in record]
    if config.patience is None or not values:
        return False
    best = max(values) if selected.is_higher_better else min(values)
    return len(values) - 1 - values.index(best) >= config.patience


def record_of(progress: Progress, values: Mapping[str, float], config: TrainingConfig, budget: int) -> dict[str, Any]:
    """The log's record of an epoch, or of the part of one that was trained; losses in nats per target."""
    return {
        "epoch": progress.epoch,
        "step": progress.step,
        "train_loss": progress.loss_sum / max(progress.target_count, 1),
        **{f"valid_{name}": value for name, value in values.items()},
        "learning_rate": rate_at(max(progress.step - 1, 0), progress, config, budget),  # of the last update
    }


@dataclass
class Meter:
    """The seconds that this process spent in updates, and the targets that it trained on."""

    target_name: str
    seconds: float = 0.0
    num_targets: int = 0

    def add(self, seconds: float, num_targets: int) -> None:
        self.seconds += seconds
        self.num_targets += num_targets

    def record(self) -> dict[str, float]:
        """The part of a log record that depends on the clock."""
        rate = self.num_targets / self.seconds if self.seconds > 0 else 0.0
        return {f"{self.target_name}_per_second": round(rate, 1), "seconds": round(self.seconds, 3)}


def check_finite(run: Run) -> None:
    """Raise `DivergedError` if a parameter is infinite or not a number: such a run must not be saved."""
    for name, variable in run.model.params.items():
        if not np.isfinite(variable.get_value(borrow=True)).all():
            raise DivergedError(f"{name} is no longer finite after step {run.progress.step}")
