"""Chapter 3: training. Epochs, validation, learning rates, the best parameters, and resuming.

`fit` is the training loop. For each batch it calls `update`, which changes the parameters. At the end of an epoch it
calls `validate`, then `close_epoch`, which adapts the learning rate to the validation loss. `fit` works with compiled
functions, batches and arrays. It prints nothing and reads no file; it reports to a `Callback`. A run resumes
from `Progress`, the parameters, the optimizer state and the carried hidden state. None of these depends on the clock,
so a run that is interrupted and resumed ends with the same bytes.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from theano_rnn.learning.averaging import start_averaging
from theano_rnn.learning.batching import AnyBatch
from theano_rnn.learning.checkpoint import assign, values_of
from theano_rnn.learning.evaluation import Evaluation
from theano_rnn.learning.measures import LOSS, PERPLEXITY, Measure
from theano_rnn.learning.progress import DivergedError, Meter, Progress, Run, check_finite
from theano_rnn.learning.schedules import SCHEDULES, should_start_averaging
from theano_rnn.settings.training import TrainingConfig

__all__ = ["Callback", "DivergedError", "Progress", "Run", "fit"]


class Callback:
    """Methods that `fit` calls. Override those that you need."""

    def on_epoch_start(self, epoch: int) -> None:
        """Called before the first update of an epoch, counted from 0, and when a resumed run continues in it."""

    def on_step(self, progress: Progress, loss: float, num_targets: int, num_batches: int) -> None:
        """Called after each update, with its loss in nats per target, its targets, and the batches in the epoch."""

    def on_epoch(self, record: dict[str, Any]) -> None:
        """Called after validation and `save`, with the record of the epoch."""

    def save(self) -> None:
        """Write the run to disk. Called after every epoch, every `save_seconds`, and when `fit` stops early."""

    def should_stop(self) -> bool:
        """Returns whether to stop after this batch."""
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
    """Train from the current position of `run` until `config.epochs` epochs are complete.

    The model is validated after every epoch, and every `config.validate_every` updates within it. If the measure
    `selected` is the best so far, the parameters (or their averages, if the model keeps averages) become the best. If
    it has not improved for `config.patience` epochs, training ends. If the validation loss of an epoch rose, schedule
    "plateau" halves the learning rate; optimizer asgd starts averaging instead.

    Parameters
    ----------
    train
        The model's compiled ``train``: ``train(*batch.arrays, *state, learning_rate) -> [loss, *state]``.
    batches_of_epoch
        Returns the batches of epoch 0, 1, ...; the same ones whenever it is called with the same epoch.
    evaluate
        Measures the current parameters on the validation part. Returns None if interrupted.
    measures
        The measures to record.
    selected
        The measure that decides which parameters are the best.
    target_name
        The plural name of the targets, such as "tokens". Records hold the number trained on per second.
    max_seconds
        Stop after this many seconds of training, validate, and save. Time for validation does not count.

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

    schedule_steps = resolve_schedule_steps(config, batches_of_epoch)
    while progress.epoch < config.epochs and not is_out_of_patience(progress, config, selected):
        callback.on_epoch_start(progress.epoch)
        batches = batches_of_epoch(progress.epoch)
        while progress.batch < len(batches):
            if max_seconds is not None and meter.seconds >= max_seconds:
                if progress.batch > 0:
                    values = validate(run, evaluate, measures, selected)
                    save()
                    if values is not None:
                        record = epoch_record(progress, values, config, schedule_steps, len(batches))
                        callback.on_epoch(record | meter.record())
                return "out of time"
            if is_validation_due(progress, config):
                values = validate(run, evaluate, measures, selected)
                if values is None:
                    save()
                    return "stopped"
                progress.records.append(epoch_record(progress, values, config, schedule_steps, len(batches)))
                save()
                callback.on_epoch(progress.records[-1] | meter.record())
                if callback.should_stop():
                    return "stopped"
            started = clock()
            loss, num_targets = update(run, train, batches[progress.batch], config, schedule_steps)
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
        close_epoch(run, values, config, schedule_steps)
        save()
        callback.on_epoch(progress.records[-1] | meter.record())
        if callback.should_stop():
            return "stopped"
    return "finished"


def update(
    run: Run, train: Callable[..., list[Any]], batch: AnyBatch, config: TrainingConfig, schedule_steps: int
) -> tuple[float, int]:
    """Make one update. Returns the loss before the update, in nats per target, and the number of targets."""
    progress, model = run.progress, run.model
    if batch.is_start or not run.carried:
        run.carried = list(model.initial_state(batch.num_columns))
    elif config.state_reset:
        run.carried = with_resets(run.carried, config, progress.step)
    rate = rate_at(progress.step, progress, config, schedule_steps) * batch.rate_factor
    value, *run.carried = train(*batch.arrays, *run.carried, np.asarray(rate, model.config.dtype))
    loss, num_targets = float(value), batch.num_targets
    if not math.isfinite(loss):
        raise DivergedError(f"the loss is {loss} at step {progress.step + 1}")
    progress.batch += 1
    progress.step += 1
    progress.loss_sum += loss * num_targets
    progress.target_count += num_targets
    return loss, num_targets


def with_resets(states: Sequence[Any], config: TrainingConfig, step: int) -> list[Any]:
    """Returns the states, each (batch, ...), with zeros in the columns that begin anew at this update.

    Which ones depends on the seed and `step` alone, so that a resumed run has the same.
    """
    is_kept = np.random.default_rng([config.seed, step]).random(len(states[0])) >= config.state_reset
    if is_kept.all():
        return list(states)
    return [state * is_kept.reshape(-1, *[1] * (state.ndim - 1)).astype(state.dtype) for state in states]


def rate_at(step: int, progress: Progress, config: TrainingConfig, schedule_steps: int) -> float:
    """Returns the learning rate of the update that follows `step` earlier updates."""
    if config.schedule == "plateau":
        return progress.learning_rate
    return progress.learning_rate * SCHEDULES[config.schedule](step, schedule_steps, warmup=float(config.warmup or 0))


def resolve_schedule_steps(config: TrainingConfig, batches_of_epoch: Callable[[int], Sequence[AnyBatch]]) -> int:
    """Returns the number of updates in the schedule, assuming that all epochs have as many as the first."""
    if config.schedule == "plateau" or config.schedule_steps is not None:
        return config.schedule_steps or 1
    return config.epochs * max(len(batches_of_epoch(0)), 1)


def validate(
    run: Run, evaluate: Callable[[], Evaluation | None], measures: Sequence[Measure], selected: Measure
) -> dict[str, float] | None:
    """Returns the validation measures by name, or None if interrupted. Keeps the parameters if they are the best."""
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
    if (
        selected.is_better(values[selected.name], progress.best_value)
        or progress.best_value == selected.before_learning
    ):
        progress.best_value, progress.best_step = values[selected.name], progress.step
        progress.best_facts = dict(evaluation.facts)
        run.best = averages or live
    return values


def close_epoch(run: Run, values: Mapping[str, float], config: TrainingConfig, schedule_steps: int) -> None:
    """Record the epoch, adapt the learning rate to the validation loss, and move to the start of the next epoch."""
    progress, loss = run.progress, values[LOSS.name]
    progress.epoch += 1
    progress.records.append(epoch_record(progress, values, config, schedule_steps))
    has_risen = progress.valid_loss is not None and loss > progress.valid_loss
    if has_risen and config.schedule == "plateau" and config.optimizer != "asgd":
        progress.learning_rate /= 2
    if config.optimizer == "asgd" and should_start_averaging([record["valid_loss"] for record in epochs(progress)]):
        start_averaging(run.model.optimizer_state)  # no effect once averaging has started
    progress.valid_loss = loss
    progress.batch, progress.loss_sum, progress.target_count = 0, 0.0, 0
    run.carried = []


def is_validation_due(progress: Progress, config: TrainingConfig) -> bool:
    """Returns whether to validate now, within an epoch. Depends on the counters alone, so that a resumed run agrees."""
    if not config.validate_every or not progress.batch or progress.batch % config.validate_every:
        return False
    return not progress.records or progress.records[-1]["step"] != progress.step


def epochs(progress: Progress) -> list[dict[str, Any]]:
    """Returns the records of complete epochs, without the records of validations within an epoch."""
    return [record for record in progress.records if "batch" not in record]


def is_out_of_patience(progress: Progress, config: TrainingConfig, selected: Measure) -> bool:
    """Returns whether the last `config.patience` epochs brought no improvement of the selected measure."""
    name = f"valid_{selected.name}"
    values = [record[name] for record in epochs(progress) if name in record]
    if (worst := selected.before_learning) is not None:
        values = list(itertools.dropwhile(lambda value: not selected.is_better(value, worst), values))
    if config.patience is None or not values:
        return False
    best = max(values) if selected.is_higher_better else min(values)
    return len(values) - 1 - values.index(best) >= config.patience


def epoch_record(
    progress: Progress,
    values: Mapping[str, float],
    config: TrainingConfig,
    schedule_steps: int,
    num_batches: int | None = None,
) -> dict[str, Any]:
    """Returns the log record of an epoch, with losses in nats per target.

    Within an epoch of `num_batches` batches, the epoch is a fraction, and the record also has the completed batches.
    """
    part = {} if num_batches is None else {"batch": progress.batch}
    return {
        "epoch": progress.epoch if num_batches is None else round(progress.epoch + progress.batch / num_batches, 3),
        **part,
        "step": progress.step,
        "train_loss": progress.loss_sum / max(progress.target_count, 1),
        **{f"valid_{name}": value for name, value in values.items()},
        "learning_rate": rate_at(max(progress.step - 1, 0), progress, config, schedule_steps),  # of the last update
    }
