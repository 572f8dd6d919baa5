"""The page of ``recognize --align``: sound, spectrogram, the network's outputs, and words and labels in time."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Sequence
from typing import Any

import numpy as np

from theano_rnn.view.pages import build_page

SHIFT_SECONDS, WINDOW_SECONDS = 0.01, 0.025  # of the spectrogram
TOP_HZ, ROWS = 8000.0, 96  # of the spectrogram
RANGE_DB = 70.0  # below the loudest place is white
MOST_COLUMNS = 12_000  # of a picture; browsers limit its width
SHOWN_PROBABILITY = 0.1  # labels that never reach it have no row, unless they are recognized


def alignment_page(recordings: Sequence[dict[str, Any]], *, about: str) -> str:
    """Build the page as HTML.

    Parameters
    ----------
    recordings
        Each as returned by `alignment_record`.
    about
        One line that describes the model.
    """
    return build_page("aligned", aligned={"about": about, "recordings": list(recordings)})


def alignment_record(
    recognized: Any, labels: Sequence[str], step: float, *, samples: Any = None, rate: int = 0, frames: Any = None,
    with_audio: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Returns a recording and what is recognized in it as plain values.

    Parameters
    ----------
    recognized : `recognizer.Recognized`
    labels
        All labels of the model.
    step
        The time from one step of the network to the next, in seconds.
    samples, rate : optional
        The sound, float (samples,) from -32,768 to 32,767, and its sampling rate in Hz.
    frames : optional
        Features, float (frames, features), which are shown if there are no samples.
    with_audio
        Whether the sound itself is part of the record.
    """
    name = recognized.name.encode("utf-8", "replace").decode()
    if samples is not None:
        picture, top, seconds = spectrogram(samples, rate), min(rate / 2, TOP_HZ), len(samples) / rate
    else:
        picture, top, seconds = feature_picture(frames), None, recognized.seconds
    return {
        "name": name,
        "text": recognized.text,
        "seconds": round(max(seconds, recognized.seconds), 4),
        "words": [[each.word, *rounded(each[1:4]), list(map(label_values, each.labels))] for each in recognized.words],
        "labels": list(map(label_values, recognized.labels)),
        "results": [[" ".join(each.words), *rounded(each[1:], 4)] for each in recognized.results],
        "spectrogram": {**encoded(picture), "seconds": round(seconds, 4), "top_hz": top},
        "posteriors": {**posteriors(recognized, labels), "seconds": round(step * len(recognized.log_probabilities), 4)},
        "audio": data_uri(samples, rate) if samples is not None and with_audio else None,
    }


def label_values(label: Any) -> list[Any]:
    """Returns a `RecognizedLabel` as a list."""
    return [label.label, *rounded(label[1:])]


def rounded(values: Sequence[float], digits: int = 3) -> list[float]:
    """Returns numbers with few digits."""
    return [round(float(value), digits) for value in values]


def posteriors(recognized: Any, labels: Sequence[str]) -> dict[str, Any]:
    """Returns the probabilities of the labels that occur, in the order in which they are the likeliest, from above."""
    probabilities = np.exp(recognized.log_probabilities)[:, 1:]  # (steps, labels)
    used = {each.label for each in recognized.labels} | {
        each.label for word in recognized.words for each in word.labels
    }
    if not len(probabilities):
        return {**encoded(np.zeros((0, 0), np.uint8)), "labels": []}
    rows = [number for number, label in enumerate(labels)
            if label in used or probabilities[:, number].max() >= SHOWN_PROBABILITY]  # fmt: skip
    rows.sort(key=lambda number: int(probabilities[:, number].argmax()))
    picture = np.round(255 * np.minimum(probabilities[:, rows].T, 1)).astype(np.uint8)
    return {**encoded(picture), "labels": [labels[number] for number in rows]}


def spectrogram(samples: Any, rate: int) -> Any:
    """Returns the energy by frequency and time on a logarithmic scale, uint8 (rows, columns), low frequencies last."""
    x = np.asarray(samples, np.float64)
    width, shift = max(int(rate * WINDOW_SECONDS), 2), max(int(rate * SHIFT_SECONDS), 1)
    x = np.pad(x, (width // 2, max(width - width // 2, width - len(x))))
    size = 1 << (width - 1).bit_length()
    windows = np.lib.stride_tricks.sliding_window_view(x, width)[::shift]
    num_bins = max(int(min(TOP_HZ / rate, 0.5) * size), 1)
    edges = np.unique(np.linspace(0, num_bins, min(ROWS, num_bins) + 1).astype(int))
    parts = []
    for begin in range(0, len(windows), 1024):
        power = np.abs(np.fft.rfft(windows[begin : begin + 1024] * np.hanning(width), size)) ** 2
        parts.append(np.maximum.reduceat(power[:, :num_bins], edges[:-1], axis=1))
    decibels = 10 * np.log10(np.concatenate(parts).T[::-1] + 1.0)  # 1: far below the quietest bit
    return as_bytes(decibels, decibels.max() - RANGE_DB, decibels.max())


def feature_picture(frames: Any) -> Any:
    """Returns features as uint8 (features, frames), the first one last."""
    x = np.asarray(frames, np.float64).T[::-1]
    return as_bytes(x, np.percentile(x, 2), np.percentile(x, 99.5)) if x.size else np.zeros(x.shape, np.uint8)


def as_bytes(values: Any, low: float, high: float) -> Any:
    """Returns values as uint8: 0 at `low` and below, 255 at `high` and above."""
    return np.round(255 * np.clip((values - low) / max(high - low, 1e-9), 0, 1)).astype(np.uint8)


def encoded(picture: Any) -> dict[str, Any]:
    """Returns uint8 (rows, columns) in base64, row by row; wide pictures with fewer columns, the maximum of several."""
    rows, columns = picture.shape
    if columns > MOST_COLUMNS:
        by = -(-columns // MOST_COLUMNS)
        picture = np.maximum.reduceat(picture, np.arange(0, columns, by), axis=1)
        columns = picture.shape[1]
    return {"rows": rows, "columns": columns, "values": base64.b64encode(picture.tobytes()).decode()}


def data_uri(samples: Any, rate: int) -> str:
    """Returns samples as a WAV file of 16 bits in a data URI."""
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setparams((1, 2, rate, 0, "NONE", ""))
        written.writeframes(np.clip(np.round(samples), -32768, 32767).astype("<i2").tobytes())
    return "data:audio/wav;base64," + base64.b64encode(file.getvalue()).decode()
