"""The header and the sample formats of WAV files.

The standard library's `wave` refuses floating point and, before Python 3.12, the extensible header, and it trusts the
sizes that a header gives, so the chunks are read here.
"""

from __future__ import annotations

import os
import struct
from typing import IO, Any, NamedTuple

import numpy as np

from theano_rnn.settings.base import UserError

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
UNKNOWN_SIZE = 0x7FFF0000  # and more: written by programs that could not know the size, such as those in a pipe
SAMPLE_BYTES = {PCM: (1, 2, 3, 4), FLOAT: (4, 8)}
MAX_RATE, MAX_CHANNELS = 384_000, 256


class WavFormat(NamedTuple):
    """How the samples of a WAV file are stored.

    `kind` is PCM or FLOAT, `sample_bytes` the size of a sample of one channel, `begin` the first sample's place in the
    file, in bytes; `num_samples` and `num_missing` count samples of each channel, as in `audio.Sound`.
    """

    kind: int
    rate: int
    num_channels: int
    sample_bytes: int
    begin: int
    num_samples: int
    num_missing: int


def wav_format(file: IO[bytes], name: str) -> WavFormat | None:
    """Returns the format of an open WAV file; None if its samples are compressed.

    Raises
    ------
    UserError
        The header is damaged or incomplete.
    """
    end = file.seek(0, os.SEEK_END)
    place, header = 12, b""
    while place + 8 <= end:
        file.seek(place)
        kind, size = struct.unpack("<4sI", file.read(8))
        if kind == b"fmt ":
            header = file.read(min(size, 64))
        if kind == b"data":
            return data_format(header, place + 8, size, end, name)
        place += 8 + size + size % 2
    raise UserError(f"{name} is a WAV file without samples, perhaps truncated: record or copy it again")


def data_format(header: bytes, begin: int, size: int, end: int, name: str) -> WavFormat | None:
    """Returns the format that a header, the content of the chunk `fmt`, gives the samples in ``[begin, end)``."""
    if len(header) < 16:
        raise UserError(f"{name} is a WAV file with a damaged header: record or convert it again")
    kind, num_channels, rate, _, frame_bytes, bits = struct.unpack("<HHIIHH", header[:16])
    if kind == EXTENSIBLE and len(header) >= 26:
        kind = struct.unpack("<H", header[24:26])[0]
    if kind not in SAMPLE_BYTES:
        return None
    sample_bytes = (bits + 7) // 8
    if sample_bytes not in SAMPLE_BYTES[kind]:
        raise UserError(f"{name} has samples of {bits} bits, which cannot be read: convert it to 16 bits, for example "
                        f"with `sox {os.path.basename(name)} -b 16 out.wav`")  # fmt: skip
    if not (0 < num_channels <= MAX_CHANNELS and 0 < rate <= MAX_RATE and frame_bytes == num_channels * sample_bytes):
        raise UserError(f"{name} is a WAV file with a damaged header ({num_channels} channels, {rate} Hz, {bits} "
                        "bits): record or convert it again")  # fmt: skip
    there = (end - begin) // frame_bytes
    expected = size // frame_bytes
    if size >= UNKNOWN_SIZE or (not size and there):
        expected = there
    return WavFormat(kind, rate, num_channels, sample_bytes, begin, min(there, expected), max(0, expected - there))


def decoded(block: bytes, found: WavFormat) -> Any:
    """Returns the samples in `block`, in the range of 16 bits, float32 or float64 (samples,)."""
    if found.kind == FLOAT:
        return np.frombuffer(block, f"<f{found.sample_bytes}") * 32768.0
    if found.sample_bytes == 1:  # without sign
        return (np.frombuffer(block, np.uint8).astype(np.float32) - 128) * 256
    if found.sample_bytes == 2:
        return np.frombuffer(block, "<i2").astype(np.float32)
    if found.sample_bytes == 4:
        return np.frombuffer(block, "<i4") / 65536.0
    wide = np.zeros((len(block) // 3, 4), np.uint8)  # 24 bits become the upper three bytes of 32
    wide[:, 1:] = np.frombuffer(block, np.uint8).reshape(-1, 3)
    return wide.view("<i4")[:, 0] / 65536.0
