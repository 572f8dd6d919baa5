"""Training: epochs, validation, annealing, the best parameters, and a position to go on from.

`fit` sees compiled functions, batches and arrays; it prints nothing and reads no file. Whatever happens is told to a
`Watcher`; everything a run needs to go on is in `Progress`, the parameters, the optimizer's state and the carried
state. Nothing of that depends on the clock, so an interrupted and resumed run ends with the same bytes.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from theano_rnn.learning.averaging import start_averaging
from theano_rnn.learning.batching import Batch
from theano_rnn.learning.checkpoint import Arrays, assign, values_of
from theano_rnn.learning.evaluation import Evaluation, perplexity
from theano_rnn.learning.schedules import SCHEDULES, should_start_averaging
from theano_rnn.settings.training import TrainingConfig


class DivergedError(RuntimeError):
    """The loss, or a parameter, became infinite or not a number."""


@dataclass
class Progress:
    """Counters of a run, ready for JSON.

    `epoch`: epochs done; `batch`: batches done of the next one; `step`: updates in all; `loss_sum`,
    `token_count`: of the training loss in the epoch so far; `records`: what the log has, without clock times.
    """

    learning_rate: float
    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    token_count: int = 0
    valid_loss: float | None = None
    best_loss: float | None = None
    best_step: int = 0
    is_finished: bool = False
    records: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass
class Run:
    """What changes while a model learns; `model` holds the parameters and the optimizer's state."""

    model: Any
    progress: Progress
    best: Arrays
    carried: list[Any] = field(default_factory=list)


class Watcher:
    """What a caller of `fit` may want to know or decide; every method may be left as it is."""

    def on_step(self, progress: Progress, loss: float, tokens: int, batches: int) -> None:
        """After each update: its loss in nats per token, its real tokens, the number of batches of the epoch."""

    def on_epoch(self, record: dict[str, Any]) -> None:
        """After validation and after `save`, with the epoch's record."""

    def save(self) -> None:
        """Put the run on disk: called at every epoch's end, every `save_seconds`, and when `fit` stops early."""

    def should_stop(self) -> bool:
        """Whether to stop after this batch."""
        return False


def fit(
    run: Run,
    train: Callable[..., list[Any]],
    batches_of_epoch: Callable[[int], Sequence[Batch]],
    evaluate: Callable[[], Evaluation | None],
    config: TrainingConfig,
    *,
    watcher: Watcher,
    max_seconds: float | None = None,
    save_seconds: float = 60.0,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Train until `config.epochs` are done; from where `run` stands.

    After every epoch the validation loss decides: where it rose, the learning rate is halved (schedule "plateau", but
    not with optimizer asgd, which then begins to average);
    where it is the lowest so far, the parameters, or their averages where the model keeps such, are kept as the best;
    where it has not been lower for `config.patience` epochs, training ends.

    Parameters
    ----------
    train
        As `Functions.train` of a model.
    batches_of_epoch
        Batches of epoch 0, 1, ...; the same each time they are asked for.
    evaluate
        Validation loss with the present parameters; None where it was interrupted.
    max_seconds
        Seconds of training, validation not counted, after which to stop as at an epoch's end.

    Returns
    -------
    "finished", "stopped" (the watcher said so) or "out of time"

    Raises
    ------
    DivergedError
        The loss is infinite or not a number. Nothing is saved.
    """
    progress, meter, saved_at = run.progress, Meter(), clock()

    def save() -> None:
        nonlocal saved_at
        check_finite(run)
        watcher.save()
        saved_at = clock()

    budget = budget_of(config, batches_of_epoch)
    while progress.epoch < config.epochs and not is_out_of_patience(progress, config):
        batches = batches_of_epoch(progress.epoch)
        while progress.batch < len(batches):
            if max_seconds is not None and meter.seconds >= max_seconds:
                if progress.batch > 0:
                    measured = validate(run, evaluate)
                    save()
                    if measured is not None:
                        watcher.on_epoch(record_of(progress, measured, config, budget) | meter.record())
                return "out of time"
            started = clock()
            loss, tokens = update(run, train, batches[progress.batch], config, budget)
            meter.add(clock() - started, tokens)
            watcher.on_step(progress, loss, tokens, len(batches))
            if watcher.should_stop():
                save()
                return "stopped"
            if clock() - saved_at >= save_seconds:
                save()
        measured = validate(run, evaluate)
        if measured is None:
            save()
            return "stopped"
        close_epoch(run, measured, config, budget)
        save()
        watcher.on_epoch(progress.records[-1] | meter.record())
        if watcher.should_stop():
            return "stopped"
    return "finished"


@dataclass
class Meter:
    """Seconds spent in updates by this process, and the tokens they saw."""

    seconds: float = 0.0
    tokens: int = 0

    def add(self, seconds: float, tokens: int) -> None:
        self.seconds += seconds
        self.tokens += tokens

    def record(self) -> dict[str, float]:
        """The clock's part of a log record."""
        rate = self.tokens / self.seconds if self.seconds > 0 else 0.0
        return {"tokens_per_second": round(rate, 1), "seconds": round(self.seconds, 3)}


def budget_of(config: TrainingConfig, batches_of_epoch: Callable[[int], Sequence[Batch]]) -> int:
    """The updates that the schedule is spread over; those of an epoch may vary, so all count as the first."""
    if config.schedule == "plateau" or config.schedule_steps is not None:
        return config.schedule_steps or 1
    return config.epochs * max(len(batches_of_epoch(0)), 1)


def rate_at(step: int, progress: Progress, config: TrainingConfig, budget: int) -> float:
    """The learning rate of the update after `step` others, of a window of `config.bptt_steps`."""
    if config.schedule == "plateau":
        return progress.learning_rate
    return progress.learning_rate * SCHEDULES[config.schedule](step, budget, warmup=float(config.warmup or 0))


def is_out_of_patience(progress: Progress, config: TrainingConfig) -> bool:
    """Whether the last `config.patience` epochs brought no better validation loss."""
    losses = [record["valid_loss"] for record in progress.records if "valid_loss" in record]
    if config.patience is None or not losses:
        return False
    return len(losses) - 1 - losses.index(min(losses)) >= config.patience


def update(
    run: Run, train: Callable[..., list[Any]], batch: Batch, config: TrainingConfig, budget: int
) -> tuple[float, int]:
    """One update; its loss before it, in nats per token, and its number of real tokens."""
    progress, model = run.progress, run.model
    if batch.is_start or not run.carried:
        run.carried = list(model.initial_state(batch.tokens.shape[1]))
    rate = rate_at(progress.step, progress, config, budget)
    if config.random_windows:
        rate *= np.count_nonzero(batch.mask.any(axis=1)) / config.bptt_steps
    arguments = batch.tokens, batch.targets, batch.mask, *run.carried, np.asarray(rate, model.config.dtype)
    value, *run.carried = train(*arguments)
    loss, tokens = float(value), int(batch.mask.sum())
    if not math.isfinite(loss):
        raise DivergedError(f"the loss is {loss} at step {progress.step + 1}")
    progress.batch += 1
    progress.step += 1
    progress.loss_sum += loss * tokens
    progress.token_count += tokens
    return loss, tokens


def validate(run: Run, evaluate: Callable[[], Evaluation | None]) -> Evaluation | None:
    """Validation loss; the present parameters become the best where it is the lowest so far."""
    progress, averages, live = run.progress, values_of(run.model.averages), values_of(run.model.params)
    try:
        if averages:
            assign(run.model.params, averages)
        measured = evaluate()
    finally:
        if averages:
            assign(run.model.params, live)
    if measured is None:
        return None
    if not math.isfinite(measured.loss):
        raise DivergedError(f"the validation loss is {measured.loss} after step {progress.step}")
    if progress.best_loss is None or measured.loss < progress.best_loss:
        progress.best_loss, progress.best_step = measured.loss, progress.step
        run.best = averages or live
    return measured


def close_epoch(run: Run, measured: Evaluation, config: TrainingConfig, budget: int) -> None:
    """Record the epoch, let the validation loss decide, and stand at the next epoch's start."""
    progress = run.progress
    progress.epoch += 1
    progress.records.append(record_of(progress, measured, config, budget))
    has_risen = progress.valid_loss is not None and measured.loss > progress.valid_loss
    if has_risen and config.schedule == "plateau" and config.optimizer != "asgd":
        progress.learning_rate /= 2
    if config.optimizer == "asgd" and should_start_averaging([record["valid_loss"] for record in progress.records]):
        start_averaging(run.model.optimizer_state)  # once it has begun, it goes on
    progress.valid_loss = measured.loss
    progress.batch, progress.loss_sum, progress.token_count = 0, 0.0, 0
    run.carried = []


def record_of(progress: Progress, measured: Evaluation, config: TrainingConfig, budget: int) -> dict[str, Any]:
    """What the log says of an epoch, or of the part of one that was trained; losses in nats per token."""
    return {
        "epoch": progress.epoch,
        "step": progress.step,
        "train_loss": progress.loss_sum / max(progress.token_count, 1),
        "valid_loss": measured.loss,
        "valid_perplexity": perplexity(measured.loss),
        "learning_rate": rate_at(max(progress.step - 1, 0), progress, config, budget),  # of the last update
    }


def check_finite(run: Run) -> None:
    """Raise `DivergedError` where a parameter is infinite or not a number: such a run must not be saved."""
    for name, variable in run.model.params.items():
        if not np.isfinite(variable.get_value(borrow=True)).all():
            raise DivergedError(f"{name} is no longer finite after step {run.progress.step}")
