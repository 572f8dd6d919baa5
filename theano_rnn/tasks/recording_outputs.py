"""The outputs of a recognizer for recordings of any length, computed in batches with few shapes.

A recording that is longer than 2,048 steps of the network is divided into windows that overlap by 128 steps on each
side, so that an hour of sound needs little memory. Of the overlaps, only the halves inside a window count.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.settings.base import UserError
from theano_rnn.sound.stacking import stacked

BATCH_SIZE = 16
WINDOW, OVERLAP = 2048, 128  # steps
LENGTHS = tuple(1 << power for power in range(5, 12))  # windows are padded to one of these, as each is compiled
NEVER = -100.0  # ln P of labels in silence
SILENT = 1e-5  # features that vary by less, over a whole recording, are those of silence
DIVERGED = ("the model's outputs are not numbers, because its training diverged: train it again with a smaller "
            "--learning-rate")  # fmt: skip


class Window(NamedTuple):
    """Steps ``begin .. end`` of a recording are computed; ``first .. last`` of these are its result."""

    recording: int
    begin: int
    end: int
    first: int
    last: int


def windows_of(recording: int, num_steps: int) -> list[Window]:
    """Returns the windows of a recording.

    >>> [tuple(each)[1:] for each in windows_of(0, 4000)]
    [(0, 2048, 0, 1984), (1856, 3904, 1984, 3840), (3712, 4000, 3840, 4000)]
    """
    found, begin, first = [], 0, 0
    while True:
        end = min(begin + WINDOW, num_steps)
        last = end if end == num_steps else end - OVERLAP // 2
        found.append(Window(recording, begin, end, first, last))
        if end == num_steps:
            return found
        begin, first = last - OVERLAP, last


def log_probabilities_of(
    predict: Callable[..., Any], recordings: Sequence[Any], *, stacking: int, num_outputs: int, dtype: str
) -> list[Any]:
    """Returns ln P of the blank and of each label in each step, float64 (steps, outputs), of each recording.

    Parameters
    ----------
    predict
        ``predict(frames (time, batch, inputs), mask (time, batch)) -> [log-probabilities (time, batch, outputs)]``.
    recordings
        Normalized frames, float (frames, features) each.
    stacking
        The number of frames that are one step.

    Raises
    ------
    UserError
        An output is not a number.

    Notes
    -----
    A recording in which nothing changes, such as digital silence, contains no speech, whatever the network makes of it:
    its blanks have the probability 1.
    """
    inputs = [stacked(frames, stacking) for frames in recordings]
    found = [np.zeros((len(each), num_outputs)) for each in inputs]
    is_silent = [len(frames) > 0 and float(np.ptp(frames, axis=0).max()) < SILENT for frames in recordings]
    for values in itertools.compress(found, is_silent):
        values[:, 1:] = NEVER
    windows = [window for number, each in enumerate(inputs) if len(each) and not is_silent[number]
               for window in windows_of(number, len(each))]  # fmt: skip
    for length in LENGTHS:
        chosen = [each for each in windows if length // 2 < each.end - each.begin <= length
                  or (length == LENGTHS[0] and each.end - each.begin <= length)]  # fmt: skip
        for start in range(0, len(chosen), BATCH_SIZE):
            together = chosen[start : start + BATCH_SIZE]
            columns = 1 if len(chosen) == 1 else BATCH_SIZE
            frames = np.zeros((length, columns, inputs[0].shape[1]), dtype)
            mask = np.zeros((length, columns), dtype)
            for column, each in enumerate(together):
                frames[: each.end - each.begin, column] = inputs[each.recording][each.begin : each.end]
                mask[: each.end - each.begin, column] = 1
            values = np.asarray(predict(frames, mask)[0], np.float64)
            for column, each in enumerate(together):
                rows = values[each.first - each.begin : each.last - each.begin, column]
                if np.isnan(rows).any():
                    raise UserError(DIVERGED)
                found[each.recording][each.first : each.last] = rows
    return found
