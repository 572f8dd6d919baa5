"""Progress displays: a bar if standard error is a terminal, otherwise plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from theano_rnn.learning.measures import Measure

LINE_SECONDS = 5.0


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
    """Print lines of advice on standard error. Call it when no bar is shown."""
    for note in notes:
        print(note, file=sys.stderr, flush=True)


class Bar:
    """A tqdm bar in a terminal, otherwise a line every five seconds. Shows nothing for the first `delay` seconds.

    `total` is None if the end is not known.
    """

    def __init__(
        self, title: str, *, unit: str, total: float | None = None, delay: float = 0.0, **options: Any
    ) -> None:
        self.title, self.unit, self.total, self.count = title, unit, total, 0.0
        self.started_at = time.monotonic()
        self.printed_at = self.started_at + delay - LINE_SECONDS
        self.bar: Any = None
        if is_terminal():
            from tqdm import tqdm

            options.setdefault("bar_format", None)
            self.bar = tqdm(desc=title, total=total, unit=unit, leave=False, delay=delay, dynamic_ncols=True,
                            file=sys.stderr, **options)  # fmt: skip

    def to(self, count: float, total: float | None = None) -> None:
        """Move the bar to `count`."""
        if total is not None:
            self.total = total
        if self.bar is not None:
            self.bar.total = self.total
            self.bar.update(count - self.count)
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


def tokenizing_progress() -> tuple[Callable[[int, int], None], Callable[[], None]]:
    """Returns a callback that takes the bytes read and the total, and a function that closes the display."""
    bar = Bar("splitting text into tokens", unit="B", delay=2.0, unit_scale=True) if is_terminal() else Bar(
        "splitting text into tokens", unit="MB", delay=2.0)  # fmt: skip
    scale = 1 if is_terminal() else 1e6

    def progress(done: int, total: int) -> None:
        if done / scale < bar.count and bar.bar is not None:
            bar.bar.reset()
        bar.count = min(bar.count, done / scale) if bar.bar is None or done / scale >= bar.count else 0.0
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
            bars.append(Bar(title, unit=unit))
        bars[0].to(count)

    def close() -> None:
        for bar in bars:
            bar.close()

    return progress, close


class TrainingDisplay:
    """Shows the loss, the speed and the remaining time during training.

    Parameters
    ----------
    measures
        The measures of the task. Those computed from the loss are shown too.
    target_name
        The plural name of the targets, such as "tokens".
    """

    def __init__(self, measures: Sequence[Measure], target_name: str) -> None:
        self.measures, self.target_name = measures, target_name
        self.bar: Any = None
        self.printed_at = -LINE_SECONDS
        self.window: list[tuple[float, int]] = []  # (time, targets so far) of the last steps
        self.num_targets = 0
        self.smoothed: float | None = None
        self.rate = 0.0

    def begin(self) -> None:
        """Start the clock. Call before the first update, and again after each pause."""
        self.window = [(time.monotonic(), self.num_targets)]

    def step(self, progress: Any, loss: float, num_targets: int, num_batches: int, epochs: int) -> None:
        """Show the progress. Call after each update."""
        now = time.monotonic()
        self.num_targets += num_targets
        self.window = [*self.window[-50:], (now, self.num_targets)]
        self.smoothed = loss if self.smoothed is None else 0.98 * self.smoothed + 0.02 * loss
        if is_terminal():
            self.draw(progress, num_batches, epochs)
        elif now - self.printed_at >= LINE_SECONDS:
            self.printed_at = now
            loss_text = describe_loss(loss, self.measures)
            print(f"step {progress.step}, {loss_text}, {self.speed():.0f} {self.target_name}/s", flush=True)

    def speed(self) -> float:
        """Returns the number of targets per second over the last steps."""
        (began, first), (now, last) = self.window[0], self.window[-1]
        if now > began:
            self.rate = (last - first) / (now - began)
        return self.rate

    def draw(self, progress: Any, num_batches: int, epochs: int) -> None:
        if self.bar is None:
            from tqdm import tqdm

            self.bar = tqdm(desc=f"epoch {progress.epoch + 1}/{epochs}", total=num_batches, initial=progress.batch - 1,
                            unit="step", leave=False, dynamic_ncols=True, file=sys.stderr,
                            bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {postfix} [{elapsed}<{remaining}]")  # fmt: skip  # noqa: E501
        loss_text = describe_loss(self.smoothed or 0.0, self.measures)
        self.bar.set_postfix_str(f"{loss_text}, {self.speed():,.0f} {self.target_name}/s", refresh=False)
        self.bar.update(1)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


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
