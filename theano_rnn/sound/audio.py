"""Samples of sound files, in blocks, so that an hour of sound takes little memory.

WAV files are read here; FLAC, Ogg, MP3 and NIST SPHERE by the package soundfile (extra `speech`). Samples of all files
are float32 numbers from -32,768 to 32,767, as those of 16 bits; several channels are averaged.

>>> import io, wave
>>> file = io.BytesIO()
>>> with wave.open(file, "wb") as written:
...     written.setparams((2, 2, 8000, 0, "NONE", ""))
...     written.writeframes(np.array([[100, 300], [-5, 5]], "<i2").tobytes())
>>> with open_sound(file, "a.wav") as sound:
...     sound.rate, sound.num_channels, np.concatenate(list(sound.blocks())).tolist()
(8000, 2, [200.0, 0.0])
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from theano_rnn.settings.base import UserError
from theano_rnn.sound.wav import WavFormat, decoded, wav_format

BLOCK_SAMPLES = 1 << 18  # of each channel
FULL_SCALE = 32768.0  # of samples that soundfile gives as numbers from -1 to 1
Samples = npt.NDArray[np.float32]


class Sound:
    """An open sound file. `open_sound` makes it.

    Attributes
    ----------
    name : str
        The file, for messages.
    rate : int
        Samples per second, in Hz.
    num_channels : int
    num_samples : int
        Samples of each channel that the file has.
    num_missing : int
        Samples of each channel that a truncated file lacks, as far as its header says.
    """

    def __init__(self, name: str, rate: int, num_channels: int, num_samples: int, num_missing: int = 0) -> None:
        self.name, self.rate, self.num_channels = name, rate, num_channels
        self.num_samples, self.num_missing = num_samples, num_missing

    def __enter__(self) -> Sound:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""

    def channels(self) -> Iterator[Any]:
        """Yields the samples in blocks, float (samples, channels)."""
        raise NotImplementedError

    def blocks(self) -> Iterator[Samples]:
        """Yields the samples in blocks, the mean of all channels, float32 (samples,).

        Raises
        ------
        UserError
            A sample is not a finite number.
        """
        for block in self.channels():
            samples = block.mean(axis=1, dtype=np.float64).astype(np.float32)
            if not np.isfinite(samples).all():
                raise UserError(f"{self.name} has a sample that is not a finite number: record or convert it again")
            yield samples


class WavSound(Sound):
    """An open WAV file."""

    def __init__(self, file: IO[bytes], name: str, found: WavFormat, is_ours: bool) -> None:
        super().__init__(name, found.rate, found.num_channels, found.num_samples, found.num_missing)
        self.file, self.format, self.is_ours = file, found, is_ours

    def close(self) -> None:
        if self.is_ours:
            self.file.close()

    def channels(self) -> Iterator[Any]:
        self.file.seek(self.format.begin)
        remaining, size = self.num_samples, self.format.sample_bytes * self.num_channels
        while remaining:
            block = self.file.read(min(remaining, BLOCK_SAMPLES) * size)
            num_samples = len(block) // size
            if not num_samples:
                raise UserError(f"{self.name} became shorter while it was read: read it again when it is complete")
            remaining -= num_samples
            yield decoded(block[: num_samples * size], self.format).reshape(-1, self.num_channels)


class LibrarySound(Sound):
    """A file that the package soundfile reads."""

    def __init__(self, file: IO[bytes], name: str, is_ours: bool) -> None:
        soundfile = soundfile_module(name)
        try:
            self.library = soundfile.SoundFile(file)
        except (RuntimeError, OSError) as error:
            if is_ours:
                file.close()
            reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
            raise UserError(f"{name} is not a sound file that can be read ({reason}): convert it to WAV, for example "
                            f"with `ffmpeg -i {os.path.basename(name)} out.wav`") from None  # fmt: skip
        self.file, self.is_ours = file, is_ours
        super().__init__(name, int(self.library.samplerate), int(self.library.channels), max(0, self.library.frames))

    def close(self) -> None:
        self.library.close()
        if self.is_ours:
            self.file.close()

    def channels(self) -> Iterator[Any]:
        self.library.seek(0)
        while True:
            try:
                block = self.library.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)
            except RuntimeError as error:
                raise UserError(f"{self.name} is damaged ({error}): record or convert it again") from None
            if not len(block):
                return
            yield block * np.float32(FULL_SCALE)


def soundfile_module(name: str) -> Any:
    """Returns the package soundfile, which reads the file `name`.

    Raises
    ------
    UserError
        It is not installed.
    """
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: it does not find libsndfile
        raise UserError(f"{name} is not a WAV file of plain samples: to read other sound files, run "
                        "pip install 'theano_rnn[speech]'") from None  # fmt: skip
    return soundfile


def open_sound(file: str | os.PathLike[str] | IO[bytes], name: str | None = None) -> Sound:
    """Open a sound file.

    Parameters
    ----------
    file
        Its path, or an open binary file that can seek. The caller closes an open one.
    name : optional
        The name for messages.

    Raises
    ------
    OSError
        The file cannot be opened.
    UserError
        It is empty, or not a sound file that can be read.
    """
    is_ours = isinstance(file, (str, os.PathLike))
    if name is None:
        name = os.fspath(file) if isinstance(file, (str, os.PathLike)) else "the sound"
    opened: Any = open(file, "rb") if isinstance(file, (str, os.PathLike)) else file  # noqa: SIM115 - Sound closes it
    try:
        opened.seek(0)
        beginning = opened.read(12)
        opened.seek(0)
        if not beginning:
            raise UserError(f"{name} is empty: record it again")
        is_wav = beginning[:4] == b"RIFF" and beginning[8:] in (b"WAVE", b"")
        found = wav_format(opened, name) if is_wav else None
        if found is not None:
            return WavSound(opened, name, found, is_ours)
        opened.seek(0)
        return LibrarySound(opened, name, is_ours)
    except BaseException:
        if is_ours:
            opened.close()
        raise


def read_samples(file: str | os.PathLike[str] | IO[bytes], name: str | None = None) -> tuple[Samples, int]:
    """Returns all samples of a sound file, float32 (samples,), and the sampling rate in Hz.

    Raises
    ------
    OSError, UserError
        As in `open_sound` and `Sound.blocks`.
    """
    with open_sound(file, name) as sound:
        return np.concatenate([np.zeros(0, np.float32), *sound.blocks()]), sound.rate
