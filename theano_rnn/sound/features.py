"""Acoustic features: the logarithm of the energy in bands of the mel scale, and cepstral coefficients (MFCC) of these.

For frame t, the samples x from ``t shift`` to ``t shift + width``:

    x <- x - mean(x)
    x[n] <- x[n] - preemphasis x[n - 1]                        (x[-1] stands for x[0])
    power[k] = |FFT(x w)[k]|^2,    w[n] = (0.5 - 0.5 cos(2 pi n / (width - 1)))^0.85
    log_mel[b] = log(max(sum_k power[k] triangle_b(mel(k)), 2^-23)),    mel(f) = 1127 log(1 + f / 700)
    mfcc[c] = lifter[c] sum_b log_mel[b] sqrt(2 / bands) cos(pi c (b + 1/2) / bands)    (c = 0: divided by sqrt 2)

as Kaldi computes them, without dither and with the zeroth coefficient rather than the frame's energy. A frame begins
every `shift` samples as long as a whole window fits. Silence of zeros has the finite log_mel log(2^-23).

>>> from theano_rnn.settings.speech import FeaturesConfig
>>> extract(np.zeros(16000), 16000, FeaturesConfig(bands=26)).shape
(98, 26)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from theano_rnn.settings.base import UserError
from theano_rnn.settings.speech import READY_MADE, FeaturesConfig

ENERGY_FLOOR = 2.0**-23
LIFTER = 22  # of cepstral coefficients, as in HTK and Kaldi
BLOCK_FRAMES = 2048  # frames whose spectra are in memory at once
Frames = npt.NDArray[np.float32]


def mel(frequency: Any) -> Any:
    """Returns frequencies in Hz on the mel scale."""
    return 1127.0 * np.log1p(np.asarray(frequency, np.float64) / 700.0)


def mel_triangles(bands: int, fft_size: int, rate: int, low: float, high: float) -> npt.NDArray[np.float64]:
    """Returns the weight of each frequency in each band, (fft_size / 2 + 1, bands).

    The bands are triangles on the mel scale that overlap by half. The highest frequency, half the rate, has no weight.

    Raises
    ------
    UserError
        The limits contradict the rate, or a band is so narrow that it contains no frequency of the FFT.
    """
    if not 0 <= low < high <= rate / 2:
        raise UserError(f"the bands must lie between 0 Hz and half the sampling rate, {rate / 2:g} Hz, got {low:g} to "
                        f"{high:g}: change --low-hz or --high-hz")  # fmt: skip
    edges = np.linspace(mel(low), mel(high), bands + 2)
    place = mel(np.arange(fft_size // 2 + 1) * rate / fft_size)[:, None]
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    weights = np.maximum(0, np.minimum((place - left) / (middle - left), (right - place) / (right - middle)))
    weights[-1] = 0
    empty = np.flatnonzero(~weights.any(axis=0))
    if len(empty):
        raise UserError(f"{len(empty)} of {bands} bands are too narrow for windows of {fft_size} samples: lower "
                        "--bands or raise --window-ms")  # fmt: skip
    return np.asarray(weights)


def cosines(bands: int, coefficients: int) -> npt.NDArray[np.float64]:
    """Returns the matrix that makes cepstral coefficients of log energies, liftered, (bands, coefficients)."""
    order, band = np.arange(coefficients), np.arange(bands)[:, None]
    matrix = np.sqrt(2 / bands) * np.cos(np.pi * order * (band + 0.5) / bands)
    matrix[:, 0] /= np.sqrt(2)
    return np.asarray(matrix * (1 + LIFTER / 2 * np.sin(np.pi * order / LIFTER)))


class FrameStream:
    """Makes frames of samples that arrive in pieces; the same frames as if all samples were there at once.

    Parameters
    ----------
    config
        Its `features` must be log-mel (or None) or mfcc. Slopes, stacking and normalization come later.
    rate
        Samples per second, in Hz.

    Attributes
    ----------
    width, shift : int
        Samples in a window, and from one frame to the next.
    size : int
        Numbers in each frame.

    Raises
    ------
    UserError
        As in `mel_triangles`; or the window or the shift is shorter than a sample.
    """

    def __init__(self, config: FeaturesConfig, rate: int) -> None:
        if config.features == READY_MADE:
            raise UserError("this model reads ready-made features (.npy, .npz), not sound: give it such files")
        self.width, self.shift = int(rate * config.window_ms / 1000), int(rate * config.shift_ms / 1000)
        if self.width < 2 or self.shift < 1:
            raise UserError(f"window_ms must be at least 2 samples and shift_ms at least 1, got {config.window_ms:g} "
                            f"and {config.shift_ms:g} ms at {rate} Hz: raise them")  # fmt: skip
        self.preemphasis = config.preemphasis
        self.fft_size = 1 << (self.width - 1).bit_length()
        high = rate / 2 if config.high_hz is None else config.high_hz
        self.triangles = mel_triangles(config.bands, self.fft_size, rate, config.low_hz, high)
        self.cosines = cosines(config.bands, config.coefficients) if config.features == "mfcc" else None
        self.size = config.coefficients if config.features == "mfcc" else config.bands
        turn = 2 * np.pi * np.arange(self.width) / (self.width - 1)
        self.window = (0.5 - 0.5 * np.cos(turn)) ** 0.85  # Kaldi's "povey"
        self.noise = config.noise_floor**2 * self.noise_energies()
        self.waiting: Any = np.zeros(0, np.float32)

    def noise_energies(self) -> npt.NDArray[np.float64]:
        """Returns the expected energy in each band of white noise with standard deviation 1, (bands,)."""
        angles = 2 * np.pi * np.arange(self.fft_size // 2 + 1) / self.fft_size
        response = np.abs(1 - self.preemphasis * np.exp(-1j * angles)) ** 2
        return np.asarray(np.sum(self.window**2) * response @ self.triangles)

    def push(self, samples: Any) -> Frames:
        """Returns the frames that these samples complete, float32 (frames, size).

        Samples are in the range of 16 bits, -32,768 to 32,767.
        """
        self.waiting = np.concatenate([self.waiting, np.asarray(samples, np.float32)])
        count = max(0, 1 + (len(self.waiting) - self.width) // self.shift)
        found = np.empty((count, self.size), np.float32)
        if count:
            windows = np.lib.stride_tricks.sliding_window_view(self.waiting, self.width)[:: self.shift][:count]
            for begin in range(0, count, BLOCK_FRAMES):
                found[begin : begin + BLOCK_FRAMES] = self.features(windows[begin : begin + BLOCK_FRAMES])
            self.waiting = self.waiting[count * self.shift :]
        return found

    def features(self, windows: Any) -> Any:
        """Returns the features of windows, (frames, width) -> float64 (frames, size)."""
        x = np.asarray(windows, np.float64)
        x = x - x.mean(axis=1, keepdims=True)
        if self.preemphasis:
            x = x - self.preemphasis * np.concatenate([x[:, :1], x[:, :-1]], axis=1)
        spectrum = np.fft.rfft(x * self.window, self.fft_size)
        energies = (spectrum.real**2 + spectrum.imag**2) @ self.triangles + self.noise
        log_mel = np.log(np.maximum(energies, ENERGY_FLOOR))
        return log_mel if self.cosines is None else log_mel @ self.cosines


def extract(samples: Any, rate: int, config: FeaturesConfig) -> Frames:
    """Returns the features of samples, float32 (frames, features), without slopes and not normalized.

    Raises
    ------
    UserError
        As in `FrameStream`.
    """
    return extract_blocks([samples], rate, config)


def extract_blocks(blocks: Iterable[Any], rate: int, config: FeaturesConfig) -> Frames:
    """Same as `extract`, of samples that come in blocks."""
    stream = FrameStream(config, rate)
    return np.concatenate([np.zeros((0, stream.size), np.float32), *map(stream.push, blocks)])
