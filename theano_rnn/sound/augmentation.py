"""Changed copies of an utterance's frames, so that a recognizer learns from more than the recordings that there are.

Frames are normalized ones, so that their values are about 1 in size and their mean is about 0. Each function takes a
`numpy.random.Generator`, and returns the same for the same state of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def augmented(
    frames: Any,
    rng: np.random.Generator,
    *,
    tempo: float = 0.0,
    warp: float = 0.0,
    noise: float = 0.0,
    time_masks: int = 0,
    max_masked_frames: int = 24,
    band_masks: int = 0,
    max_masked_bands: int = 8,
    groups: int = 1,
    min_frames: int = 1,
) -> Any:
    """Returns an augmented copy of an utterance, float32 (new frames, features): tempo, warp, masks, noise.

    Parameters
    ----------
    frames
        float (frames, features), at least one frame.
    rng
        The source of all random numbers.
    tempo
        Change the tempo by a factor from ``1 / (1 + tempo)`` to ``1 + tempo``.
    warp
        Stretch or compress the bands by a factor from ``1 / (1 + warp)`` to ``1 + warp``, as if the speaker's vocal
        tract were shorter or longer. For log-mel features only: cepstral coefficients are not bands.
    noise
        Standard deviation of the noise that is added to all features.
    time_masks, max_masked_frames
        Number of runs of frames that are set to 0, and the maximum length of a run.
    band_masks, max_masked_bands
        Number of runs of bands that are set to 0 in all frames, and the maximum width of a run.
    groups
        The features are this many groups of bands, one after another: 1 + the number of deltas. Masks of bands are the
        same in each group.
    min_frames
        A faster tempo leaves at least this many frames, so that the labels still fit.
    """
    x = np.asarray(frames, np.float32)
    if tempo:
        factor = np.exp(rng.uniform(-1, 1) * np.log1p(tempo))
        x = at_tempo(x, max(min(min_frames, len(x)), round(len(x) / factor)))
    if warp:
        x = with_warped_bands(x, float(np.exp(rng.uniform(-1, 1) * np.log1p(warp))), groups=groups)
    x = with_masks(x, rng, count=time_masks, longest=max_masked_frames)
    if band_masks:
        x = with_band_masks(x, rng, count=band_masks, widest=max_masked_bands, groups=groups)
    if noise:
        x = x + np.float32(noise) * rng.standard_normal(x.shape, dtype=np.float32)
    return x


def at_tempo(frames: Any, num_frames: int) -> Any:
    """Returns an utterance with another number of frames, by linear interpolation over time.

    >>> at_tempo(np.array([[0.0], [1.0], [2.0]]), 5).ravel().tolist()
    [0.0, 0.5, 1.0, 1.5, 2.0]
    """
    x = np.asarray(frames, np.float32)
    if num_frames == len(x):
        return x
    places = np.linspace(0, len(x) - 1, num_frames)
    before = np.minimum(places.astype(int), max(0, len(x) - 2))
    after = np.minimum(before + 1, len(x) - 1)
    weight = (places - before).astype(np.float32)[:, None]
    return (1 - weight) * x[before] + weight * x[after]


def with_warped_bands(frames: Any, factor: float, *, groups: int = 1) -> Any:
    """Returns an utterance in which what was in band b is in band ``factor * b``, by linear interpolation.

    The highest band is repeated where a factor below 1 leaves bands empty.

    >>> with_warped_bands(np.array([[0.0, 1.0, 2.0, 3.0]]), 2.0).tolist()
    [[0.0, 0.5, 1.0, 1.5]]
    """
    x = np.asarray(frames, np.float32)
    grouped = x.reshape(len(x), groups, -1)  # (frames, groups, bands)
    last = grouped.shape[2] - 1
    places = np.minimum(np.arange(last + 1) / factor, last)
    before = np.minimum(places.astype(int), max(0, last - 1))
    weight = (places - before).astype(np.float32)
    found = (1 - weight) * grouped[:, :, before] + weight * grouped[:, :, np.minimum(before + 1, last)]
    return found.reshape(x.shape)


def with_masks(frames: Any, rng: np.random.Generator, *, count: int, longest: int) -> Any:
    """Returns a copy with `count` runs of 0 to `longest` frames set to 0, at most a fifth of the utterance each."""
    x = np.array(frames, np.float32)
    longest = min(longest, len(x) // 5)
    for _ in range(count):
        length = int(rng.integers(0, longest + 1))
        begin = int(rng.integers(0, len(x) - length + 1))
        x[begin : begin + length] = 0
    return x


def with_band_masks(frames: Any, rng: np.random.Generator, *, count: int, widest: int, groups: int = 1) -> Any:
    """Returns a copy with `count` runs of 0 to `widest` bands set to 0, in each of the groups of features."""
    x = np.array(frames, np.float32)
    grouped = x.reshape(len(x), groups, -1)  # (frames, groups, bands), a view
    bands = grouped.shape[2]
    for _ in range(count):
        width = int(rng.integers(0, min(widest, bands // 2) + 1))
        begin = int(rng.integers(0, bands - width + 1))
        grouped[:, :, begin : begin + width] = 0
    return x


def with_noise(samples: Any, rng: np.random.Generator, *, snr_db: float, color: str = "white") -> Any:
    """Returns samples with noise, float32 (samples,), at a signal-to-noise ratio in dB.

    The ratio is that of the mean powers of samples and noise over the whole recording. Digital silence stays as it is.

    Parameters
    ----------
    samples
        float (samples,).
    snr_db
        20 is a quiet room, 10 a loud one; at 0 noise and speech are equally loud.
    color
        "white": equally strong at all frequencies; "pink": its power falls by 3 dB an octave, as much noise does.
    """
    if color not in ("white", "pink"):
        raise ValueError(f"color must be white or pink, got {color!r}")
    x = np.asarray(samples, np.float32)
    noise = rng.standard_normal(len(x))
    if color == "pink" and len(x):
        spectrum = np.fft.rfft(noise)
        noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(len(spectrum)))), len(x))
    power = np.mean(noise**2) if len(x) else 0.0
    if power == 0:
        return x
    wanted = np.mean(x.astype(np.float64) ** 2) * 10 ** (-snr_db / 10)
    return (x + noise * np.sqrt(wanted / power)).astype(np.float32)
