"""Samples at a lower rate: a low-pass filter, a sinc in a Kaiser window, evaluated only where samples are needed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

ZERO_CROSSINGS = 32  # of the sinc on each side
KAISER_BETA = 8.0  # sidelobes below -80 dB
PASSED = 0.94  # cut-off over half the lower rate


class Resampler:
    """Makes samples at a lower rate of samples that arrive in pieces.

    Sample n of the result is

        y[n] = sum_m x[m] h(n rate / new_rate - m),    h(t) = c sinc(c t) kaiser(t),    c = PASSED new_rate / rate

    with zeros before the first sample and after the last; there are ``ceil(len(x) new_rate / rate)`` of them. With
    u = new_rate / g and d = rate / g, g their greatest common divisor, only u different filters occur, and sample
    n + u of the result uses the filter of sample n, d samples later.

    Parameters
    ----------
    rate, new_rate
        In Hz; `new_rate` must be less than `rate`.
    """

    def __init__(self, rate: int, new_rate: int) -> None:
        divisor = math.gcd(rate, new_rate)
        self.up, self.down = new_rate // divisor, rate // divisor
        cutoff = PASSED * new_rate / rate
        reach = math.ceil(ZERO_CROSSINGS / cutoff)
        places = np.arange(self.up) * self.down / self.up  # of the first `up` results
        self.first = np.floor(places).astype(int)
        times = (places - self.first)[:, None] - np.arange(-reach, reach + 1)  # (up, taps)
        window = np.i0(KAISER_BETA * np.sqrt(np.maximum(0, 1 - (times / (reach + 1)) ** 2))) / np.i0(KAISER_BETA)
        filters = cutoff * np.sinc(cutoff * times) * window
        self.filters = filters / filters.sum(axis=1, keepdims=True)  # a constant stays what it is
        self.waiting: Any = np.zeros(reach)
        self.num_samples = self.num_made = 0

    def push(self, samples: Any) -> Any:
        """Returns the new samples that these complete, float32 (new samples,)."""
        self.num_samples += len(samples)
        self.waiting = np.concatenate([self.waiting, samples])
        spare = len(self.waiting) - self.filters.shape[1] - int(self.first[-1])
        rounds = max(0, spare // self.down + 1)
        return self.made(rounds, rounds * self.up)

    def finish(self) -> Any:
        """Returns the last new samples, float32 (new samples,)."""
        wanted = -(-self.num_samples * self.up // self.down) - self.num_made
        rounds = -(-wanted // self.up)
        needed = (rounds - 1) * self.down + int(self.first[-1]) + self.filters.shape[1]
        self.waiting = np.concatenate([self.waiting, np.zeros(max(0, needed - len(self.waiting)))])
        return self.made(rounds, wanted)

    def made(self, rounds: int, wanted: int) -> Any:
        """Returns the next `wanted` new samples, of `rounds` applications of all filters."""
        if rounds < 1:
            return np.zeros(0, np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(self.waiting, self.filters.shape[1])
        found = np.empty((rounds, self.up))
        for phase, start in enumerate(self.first):
            found[:, phase] = windows[start : start + (rounds - 1) * self.down + 1 : self.down] @ self.filters[phase]
        self.waiting = self.waiting[rounds * self.down :]
        self.num_made += wanted
        return found.reshape(-1)[:wanted].astype(np.float32)


def resampled_blocks(blocks: Iterable[Any], rate: int, new_rate: int) -> Iterator[Any]:
    """Yields samples at a lower rate of samples that come in blocks; see `Resampler`."""
    resampler = Resampler(rate, new_rate)
    yield from map(resampler.push, blocks)
    yield resampler.finish()
