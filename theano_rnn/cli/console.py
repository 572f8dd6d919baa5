"""Progress displays: a bar if standard error is a terminal, otherwise plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from theano_rnn.cli.streams import visible
from theano_rnn.learning.measures import Measure

LINE_SECONDS = 5.0
MIN_STEPS = 5  # to estimate the time left
COMPILING = 8.0  # a step that takes this many times as long as a short one has compiled, or waited


def is_terminal() -> bool:
    """Returns whether standard error is a terminal, so that bars can be drawn."""
    return sys.stderr.isatty()


def say(text: str) -> None:
    """Print a line on standard output, above the bar if there is one."""
    if is_terminal():
        from tqdm import tqdm

        tqdm.write(text, file=sys.stdout)
    else:
        print(text, flush=True)


def advise(notes: Sequence[str]) -> None:
    """Print lines for the user on standard error. Call it when no bar is shown."""
    for note in notes:
        print(visible(note), file=sys.stderr, flush=True)


class Bar:
    """A tqdm bar in a terminal, otherwise a line every five seconds. Shows nothing for the first `delay` seconds.

    `total` is None if the end is not known.
    """

    def __init__(
        self, title: str, *, unit: str, total: float | None = None, delay: float = 0.0, **options: Any
    ) -> None:
        self.title, self.unit, self.total, self.count = title, unit, total, 0.0
        self.started_at = time.monotonic()
        self.delay, self.printed_at = delay, self.started_at + delay - LINE_SECONDS
        self.options = {"bar_format": None} | options
        self.bar: Any = None

    def to(self, count: float, total: float | None = None) -> None:
        """Move the bar to `count`. A smaller count than before starts a new bar, as for the next file."""
        if total is not None:
            self.total = total
        if is_terminal():
            if self.bar is not None and count < self.count:
                self.close()
            if self.bar is None and time.monotonic() - self.started_at >= self.delay:
                from tqdm import tqdm

                self.bar = tqdm(desc=self.title, total=self.total, unit=self.unit, leave=False, dynamic_ncols=True,
                                file=sys.stderr, **self.options)  # fmt: skip
            if self.bar is not None:
                self.bar.total = self.total
                self.bar.update(count - self.bar.n)
        elif time.monotonic() - self.printed_at >= LINE_SECONDS:
            self.printed_at = time.monotonic()
            digits = 1 if self.unit == "MB" else 0
            of = f" of {self.total:,.{digits}f}" if self.total else ""
            seconds = f"{self.printed_at - self.started_at:.0f} s"
            counted = f": {count:,.{digits}f}{of} {self.unit.strip()}, {seconds}" if self.unit else ""
            print(f"{self.title}{counted}", file=sys.stderr)
        self.count = count

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def reading_progress(title: str) -> tuple[Callable[[int, int], None], Callable[[], None]]:
    """Returns a callback that takes the bytes read and the total, and a function that closes the display."""
    unit, scale = ("B", 1.0) if is_terminal() else ("MB", 1e6)
    bar = Bar(title, unit=unit, delay=2.0, unit_scale=True)

    def progress(done: int, total: int) -> None:
        bar.to(done / scale, total / scale)

    return progress, bar.close


def compiling_progress(engine: str) -> tuple[Callable[[int], None], Callable[[], None]]:
    """Returns a callback that takes the number of compiled modules, and a function that closes the display.

    Nothing is shown until the callback is called; engine c does not call it if all modules are cached.
    """
    bars: list[Bar] = []
    title, unit = ("compiling by XLA", "")
    if engine == "c":
        title, unit = "compiling with g++ (the first time only)", " modules"

    def progress(count: int) -> None:
        if not bars:
            bars.append(Bar(title, unit=unit, bar_format=None if unit else "{desc}"))
        bars[0].to(count)

    def close() -> None:
        for bar in bars:
            bar.close()

    return progress, close


class TrainingDisplay:
    """Shows the loss, the time until the end of the run, and the speed during training.

    Parameters
    ----------
    measures
        The measures of the task. Those computed from the loss are shown too.
    target_name
        The plural name of the targets, such as "tokens".
    max_seconds
        The run ends after this many seconds of training, if given.
    """

    def __init__(self, measures: Sequence[Measure], target_name: str, max_seconds: float | None = None) -> None:
        self.measures, self.target_name, self.max_seconds = measures, target_name, max_seconds
        self.bar: Any = None
        self.printed_at = -LINE_SECONDS
        self.stepped_at = 0.0
        self.steps: list[tuple[float, int]] = []  # (seconds, targets) of the last ones
        self.smoothed: float | None = None
        self.seconds = 0.0  # of training, between `begin` and the latest step
        self.pauses: list[float] = []  # seconds from `close` to `begin`, for validation
        self.closed_at: float | None = None

    def begin(self) -> None:
        """Start the clock. Call before the first update, and again after each pause."""
        now = time.monotonic()
        if self.closed_at is not None:
            self.pauses.append(now - self.closed_at)
        self.stepped_at = now
        if self.smoothed is None and is_terminal():  # XLA compiles in the first step, which takes seconds
            self.bar = self.new_bar(desc="waiting for the first step", total=1, bar_format="{desc}")

    def step(self, progress: Any, loss: float, num_targets: int, num_batches: int, epochs: int) -> None:
        """Show the progress. Call after each update."""
        now = time.monotonic()
        self.seconds += now - self.stepped_at
        self.steps = [*self.steps[-49:], (now - self.stepped_at, num_targets)]
        self.stepped_at = now
        is_first = self.smoothed is None
        self.smoothed = loss if self.smoothed is None else 0.98 * self.smoothed + 0.02 * loss
        if is_terminal():
            if is_first:
                self.close_bar()
            self.draw(progress, num_batches, epochs)
        elif now - self.printed_at >= LINE_SECONDS:
            self.printed_at = now
            text = [f"step {progress.step}", describe_loss(loss, self.measures)]
            text += self.describe_time_left(progress, num_batches, epochs)
            print(", ".join([*text, f"{self.speed():.0f} {self.target_name}/s"]), flush=True)
        if is_first:
            self.steps = []  # compiling says nothing of the steps to come

    def usual_steps(self) -> list[tuple[float, int]]:
        """Returns seconds and targets of the last steps, without those in which XLA compiled for another shape."""
        quick = sorted(seconds for seconds, _ in self.steps)[len(self.steps) // 4] if self.steps else 0.0
        return [step for step in self.steps if step[0] <= COMPILING * quick]

    def speed(self) -> float:
        """Returns the number of targets per second over the last steps."""
        steps = self.usual_steps()
        return sum(targets for _, targets in steps) / max(sum(seconds for seconds, _ in steps), 1e-9)

    def describe_time_left(self, progress: Any, num_batches: int, epochs: int) -> list[str]:
        """Returns the time until the end of the run as text; nothing while it cannot be estimated."""
        usual = self.usual_steps()
        if len(usual) < MIN_STEPS:
            return []
        steps = num_batches * (epochs - progress.epoch) - progress.batch
        left = steps * sum(seconds for seconds, _ in usual) / len(usual)
        if self.max_seconds is not None:
            left = min(left, max(self.max_seconds - self.seconds, 0.0))
        elif self.pauses:
            left += (epochs - progress.epoch) * sum(self.pauses) / len(self.pauses)
        return [f"{describe_duration(left)} left"]

    def draw(self, progress: Any, num_batches: int, epochs: int) -> None:
        if self.bar is None:
            done = num_batches * progress.epoch + progress.batch
            self.bar = self.new_bar(total=num_batches * epochs, initial=done - 1,
                                    bar_format="{desc} |{bar}| {unit}")  # fmt: skip
        time_left = self.describe_time_left(progress, num_batches, epochs)
        self.bar.set_description_str(", ".join([describe_loss(self.smoothed or 0.0, self.measures), *time_left]), False)
        epoch = f"epoch {progress.epoch + 1}/{epochs}"
        self.bar.unit = f"{epoch}, {self.speed():,.0f} {self.target_name}/s"
        self.bar.update(1)

    def new_bar(self, **options: Any) -> Any:
        from tqdm import tqdm

        return tqdm(leave=False, dynamic_ncols=True, file=sys.stderr, **options)

    def close(self) -> None:
        """Remove the bar before a pause, or at the end."""
        self.closed_at = time.monotonic()
        self.close_bar()

    def close_bar(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def describe_duration(seconds: float) -> str:
    """Format a duration roughly.

    >>> [describe_duration(seconds) for seconds in (8.2, 84, 552, 5400, 200_000)]
    ['8 s', '1 min 24 s', '9 min', '1 h 30 min', '55 h']
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 300:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 3600:
        return f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min" if whole < 36_000 else f"{whole // 3600} h"


def describe_loss(loss: float, measures: Sequence[Measure]) -> str:
    """Format a loss in nats and the measures computed from it: ``loss 8.91, perplexity 7405``."""
    derived = {measure.name: measure.of_loss(min(loss, 700.0)) for measure in measures if measure.of_loss}
    is_large = any(value >= 100 for value in derived.values())
    values = (f"{name} {value:.{0 if is_large else 2}f}" for name, value in derived.items())
    return ", ".join([f"loss {loss:.{2 if is_large else 3}f}", *values])


def describe_epoch(record: Mapping[str, Any], measures: Sequence[Measure], target_name: str) -> str:
    """Format the record of an epoch in one line."""
    measured = ", ".join(measure.shown(record[f"valid_{measure.name}"]) for measure in measures)
    speed = f"{record[f'{target_name}_per_second']:,.0f} {target_name}/s"
    return (
        f"epoch {record['epoch']}: train {record['train_loss']:.4f}, validation {measured}, learning rate "
        f"{record['learning_rate']:g}, {speed}, {record['seconds']:.0f} s"
    )


def describe_best(value: float | None, selected: Measure, measures: Sequence[Measure]) -> str:
    """Format the best validation value, a loss as perplexity if the task has it; "" if nothing was validated."""
    if value is None:
        return ""
    derived = [measure for measure in measures if measure.of_loss and selected.name == "loss"]
    shown = [measure.shown(measure.of_loss(value)) for measure in derived[:1] if measure.of_loss]
    return f", validation {(shown or [selected.shown(value)])[0]}"
