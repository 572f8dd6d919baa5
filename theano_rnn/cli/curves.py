"""The learning curves of a run: a picture that is redrawn during training."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from theano_rnn.learning.atomic_files import write_atomically
from theano_rnn.learning.measures import Measure

DRAW_SECONDS = 10.0  # minimum time between two pictures; drawing one takes a fraction of a second
INSTALL_COMMAND = "pip install 'theano_rnn[plot]'"


class Curves:
    """Draws the records of a run. If drawing fails, a message is printed once and training continues.

    Parameters
    ----------
    path
        The file of the picture.
    measure
        The measure to show.
    say
        Prints a line.
    clock
        Returns the time in seconds.
    """

    def __init__(
        self, path: Path, measure: Measure, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path, self.measure, self.say, self.clock = path, measure, say, clock
        self.drawn_at, self.num_drawn, self.is_broken = -DRAW_SECONDS, 0, False
        self.is_possible = importlib.util.find_spec("matplotlib") is not None

    def draw(self, records: Sequence[Mapping[str, Any]], *, is_last: bool = False) -> None:
        """Draw the epochs among `records`, unless the last picture is recent and `is_last` is false."""
        records = [record for record in records if "valid_loss" in record]
        is_recent = self.clock() - self.drawn_at < DRAW_SECONDS
        if not records or self.is_broken or not self.is_possible or (is_recent and not is_last):
            return
        try:
            from theano_rnn.view.plots import as_png, learning_curves

            write_atomically(self.path, as_png(learning_curves({self.path.stem: records}, self.measure)))
            self.drawn_at, self.num_drawn = self.clock(), len(records)
        except Exception as error:  # a failed picture must not end hours of training
            self.is_broken = True
            self.say(f"cannot draw the learning curves, training continues: {' '.join(str(error).split())}")

    def summary(self) -> str:
        """Returns text for the last line of a run: the path of the picture, or how to install matplotlib."""
        if not self.is_possible:
            return f"; for learning curves: {INSTALL_COMMAND}"
        return f", learning curves in {self.path}" if self.num_drawn else ""
