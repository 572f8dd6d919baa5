"""Record sound with the package sounddevice, if it is installed."""

from __future__ import annotations

import importlib.util
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from theano_rnn.settings.base import UserError

MAX_SECONDS = 300


def check_microphone() -> None:
    """Raises `UserError` if no sound can be recorded on this machine."""
    if importlib.util.find_spec("sounddevice") is None:
        raise UserError("--microphone needs the package sounddevice: run pip install sounddevice, or name a file")
    try:
        import sounddevice

        sounddevice.query_devices(kind="input")
    except Exception as error:  # the library and its C part have many errors
        raise UserError(f"there is no microphone that can be used ({str(error)[:100]}): connect one, or name a "
                        "file") from None  # fmt: skip


def record(rate: int, heard: Callable[[Any], None] | None = None) -> Any:
    """Record until the user presses Enter. Returns the samples at `rate` Hz, float32 (samples,), as of 16 bits.

    Parameters
    ----------
    rate
    heard : optional
        Called with the samples of each block as they arrive.

    Raises
    ------
    UserError
        The device fails, or nothing was recorded.
    """
    import sounddevice

    blocks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    is_ended, parts, num_samples = threading.Event(), list[Any](), 0

    def wait_for_enter() -> None:
        sys.stdin.readline()
        is_ended.set()

    print("speak, then press Enter", file=sys.stderr, flush=True)
    try:
        with sounddevice.InputStream(
            samplerate=rate, channels=1, dtype="float32", callback=lambda block, *_: blocks.put(block[:, 0].copy())
        ):
            threading.Thread(target=wait_for_enter, daemon=True).start()
            while num_samples < MAX_SECONDS * rate and not (is_ended.is_set() and blocks.empty()):
                try:
                    block = blocks.get(timeout=0.1) * np.float32(32768)
                except queue.Empty:
                    continue
                parts.append(block)
                num_samples += len(block)
                if heard is not None:
                    heard(block)
    except sounddevice.PortAudioError as error:
        raise UserError(f"the microphone cannot be used at {rate:,} Hz ({error}): connect another one, or name a "
                        "file") from None  # fmt: skip
    if not parts:
        raise UserError("nothing was recorded: press Enter after you have spoken")
    return np.concatenate(parts)
