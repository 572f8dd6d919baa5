"""What to do with the parameters of a run that is stopped within an epoch, or that was never validated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from theano_rnn.cli.console import advise, describe_best
from theano_rnn.learning.checkpoint import Checkpoint, should_use_last
from theano_rnn.learning.evaluation import Evaluation
from theano_rnn.learning.measures import Measure

QUICK_SECONDS = 5.0
EVALUATION_SPEED = 3.0  # a target is evaluated about three times as fast as it is trained on


def choose_parameters(
    progress: Any,
    evaluate: Callable[[], Evaluation | None],
    measures: tuple[Measure, ...],
    selected: Measure,
    *,
    num_targets: int,
    speed: float,
) -> str:
    """Validate a stopped run if that is quick, and decide which of its parameters are to be used.

    Sets `progress.use_last`, which is for using the checkpoint only: a resumed run ignores it, so that it ends as if it
    had not been stopped.

    Parameters
    ----------
    evaluate
        Measures the last parameters on the validation part.
    num_targets
        The size of the validation part.
    speed
        Targets per second in training; 0 if unknown.

    Returns
    -------
    What to tell the user.
    """
    is_quick = speed > 0 and num_targets / (EVALUATION_SPEED * speed) <= QUICK_SECONDS
    evaluation = evaluate() if progress.batch and is_quick else None
    if evaluation is not None:
        value = evaluation.values(measures)[selected.name]
        if selected.is_better(value, progress.best_value):
            progress.use_last = True
            return f"the model is that of the last step{describe_best(value, selected, measures)}"
    if progress.best_value is None:
        return "nothing was validated yet, so the model is that of the last step"
    return f"the model is that of step {progress.best_step}{describe_best(progress.best_value, selected, measures)}"


def describe_stop(progress: Any, epochs: int, path: Any, *, is_out_of_time: bool) -> str:
    """Returns a line that says how far a stopped run has come, and how to continue it."""
    reason = "stopped by --max-seconds" if is_out_of_time else "stopped"
    where = f"in epoch {progress.epoch + 1}" if progress.batch else f"at the end of epoch {progress.epoch}"
    steps = f"{progress.step} step{'' if progress.step == 1 else 's'}"
    return (f"{reason} after {steps}, {where} of {epochs}; to continue, use --resume "
            f"--checkpoint {path}")  # fmt: skip


def note_unvalidated(path: str, checkpoint: Checkpoint) -> None:
    """Print a line to standard error if nobody knows how good a model is that is about to be used."""
    progress = checkpoint.progress
    if not checkpoint.fingerprint:  # imported
        return
    if not progress["step"]:
        advise([f"{path} has not been trained yet: what follows is random"])
    elif should_use_last({"progress": progress}) and not progress.get("use_last"):
        advise([f"{path} was stopped after {progress['step']} steps, before its first validation: using its last "
                "parameters"])  # fmt: skip
