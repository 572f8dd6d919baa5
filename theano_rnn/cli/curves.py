"""The learning curves of a run, drawn beside its checkpoint while it goes on."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from theano_rnn.learning.checkpoint import write_atomically

DRAW_SECONDS = 10.0  # between two pictures: one takes a fraction of a second
EXTRA = "pip install 'theano_rnn[plot]'"


class Curves:
    """Draws a run's records; whatever goes wrong is said once, and the run goes on.

    Parameters
    ----------
    path
        Of the picture.
    unit : {"word", "char"}
    say
        Called with a line.
    clock
        Seconds.
    """

    def __init__(
        self, path: Path, unit: str, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path, self.unit, self.say, self.clock = path, unit, say, clock
        self.drawn_at, self.num_drawn, self.is_broken = -DRAW_SECONDS, 0, False
        self.is_possible = importlib.util.find_spec("matplotlib") is not None

    def draw(self, records: Sequence[Mapping[str, Any]], *, is_last: bool = False) -> None:
        """A picture of the epochs among `records`, unless the last one is young; with `is_last` in any case."""
        records = [record for record in records if "valid_loss" in record]
        is_young = self.clock() - self.drawn_at < DRAW_SECONDS
        if not records or self.is_broken or not self.is_possible or (is_young and not is_last):
            return
        try:
            from theano_rnn.view.plots import as_png, learning_curves

            write_atomically(self.path, as_png(learning_curves({self.path.stem: records}, self.unit)))
            self.drawn_at, self.num_drawn = self.clock(), len(records)
        except Exception as error:  # hours of training are not to end for a picture
            self.is_broken = True
            self.say(f"the learning curves cannot be drawn, training goes on: {' '.join(str(error).split())}")

    def told(self) -> str:
        """What the last line of a run says of them."""
        if not self.is_possible:
            return f"; for learning curves: {EXTRA}"
        return f", learning curves in {self.path}" if self.num_drawn else ""
