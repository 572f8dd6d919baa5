"""Write event files for TensorBoard: scalars by tag and step, and texts. Needs the extra `tensorboard`.

Records are written one by one with the message classes of the tensorboard package, without TensorFlow or threads.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from theano_rnn.settings.base import UserError

NAMES = "events.out.tfevents.*.theano_rnn"  # our files; TensorBoard reads those of a folder by name


def check_installed() -> None:
    """Raises `UserError` if tensorboard is not installed."""
    try:
        import tensorboard.compat.proto.event_pb2  # noqa: F401
    except ImportError:
        raise UserError("--tensorboard needs tensorboard: run pip install 'theano_rnn[tensorboard]'") from None


def event_files(folder: str | os.PathLike[str]) -> list[Path]:
    """Returns our event files in a folder, the oldest first."""
    return sorted(Path(folder).glob(NAMES))


def event_path(folder: str | os.PathLike[str]) -> Path:
    """Returns the path of an event file that is created now."""
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    return Path(folder) / NAMES.replace("*", f"{seconds:010d}.{rest:09d}")


class EventFile:
    """A new event file. Creates the folder if it does not exist. Every record is flushed to the file at once.

    Parameters
    ----------
    folder
    from_step
        TensorBoard discards records of this and later steps in older files of the folder.

    Raises
    ------
    OSError
        The file cannot be written. Every method may raise this, too.
    """

    def __init__(self, folder: str | os.PathLike[str], *, from_step: int = 0) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2
        from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

        self.event, self.summary, self.tensor, self.checksum = event_pb2, summary_pb2, tensor_pb2, masked_crc32c
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.path = event_path(folder)
        self.file = open(self.path, "xb")  # noqa: SIM115 - stays open as long as the run
        self.write(file_version="brain.Event:2")
        self.write(from_step, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))

    def write(self, step: int = 0, **content: Any) -> None:
        """Write one event as a TFRecord: length, checksum of the length, data, checksum of the data."""
        data = self.event.Event(wall_time=time.time(), step=step, **content).SerializeToString()
        length = struct.pack("<Q", len(data))
        checksums = [struct.pack("<I", self.checksum(part)) for part in (length, data)]
        self.file.write(length + checksums[0] + data + checksums[1])
        self.file.flush()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write a scalar for each tag."""
        kind = self.summary.Summary.Value
        self.write(
            step, summary=self.summary.Summary(value=[kind(tag=t, simple_value=float(v)) for t, v in values.items()])
        )

    def text(self, step: int, tag: str, markdown: str) -> None:
        """Write a text in Markdown."""
        kind = self.summary.SummaryMetadata.PluginData(plugin_name="text")
        tensor = self.tensor.TensorProto(dtype="DT_STRING", string_val=[markdown.encode("utf-8", "replace")])
        value = self.summary.Summary.Value(
            tag=tag, tensor=tensor, metadata=self.summary.SummaryMetadata(plugin_data=kind)
        )
        self.write(step, summary=self.summary.Summary(value=[value]))

    def close(self) -> None:
        """Close the file. Call this last."""
        self.file.close()
