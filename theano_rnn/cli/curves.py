"""The learning curves of a run: a picture that is redrawn while the run goes on."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from theano_rnn.learning.checkpoint import write_atomically
from theano_rnn.learning.measures import Measure

DRAW_SECONDS = 10.0  # between two pictures: one takes a fraction of a second
EXTRA = "pip install 'theano_rnn[plot]'"


class Curves:
    """Draws a run's records. If drawing fails, a message is shown once and the run goes on.

    Parameters
    ----------
    path
        The picture's file.
    measure
        The one to show.
    say
        Called with a line.
    clock
        Seconds.
    """

    def __init__(
        self, path: Path, measure: Measure, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path, self.measure, self.say, self.clock = path, measure, say, clock
        self.drawn_at, self.num_drawn, self.is_broken = -DRAW_SECONDS, 0, False
        self.is_possible = importlib.util.find_spec("matplotlib") is not None

    def draw(self, records: Sequence[Mapping[str, Any]], *, is_last: bool = False) -> None:
        """Draw the epochs among `records`, unless the last picture is recent; with `is_last` in any case."""
        records = [record for record in records if "valid_loss" in record]
        is_recent = self.clock() - self.drawn_at < DRAW_SECONDS
        if not records or self.is_broken or not self.is_possible or (is_recent and not is_last):
            return
        try:
            from theano_rnn.view.plots import as_png, learning_curves

            write_atomically(self.path, as_png(learning_curves({self.path.stem: records}, self.measure)))
            self.drawn_at, self.num_drawn = self.clock(), len(records)
        except Exception as error:  # hours of training are not to end for a picture
            self.is_broken = True
            self.say(f"the learning curves cannot be drawn, training goes on: {' '.join(str(error).split())}")

    def summary(self) -> str:
        """For the last line of a run: where the picture is, or how to get one."""
        if not self.is_possible:
            return f"; for learning curves: {EXTRA}"
        return f", learning curves in {self.path}" if self.num_drawn else ""
