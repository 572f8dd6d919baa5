"""A folder of tokenized files, so that a second start takes no time; losing it, or failing to write it, is harmless.

One entry is a folder named by what decides its content; it holds the ids and a description with their check sum. It is
written elsewhere and renamed, so two programs may use the folder at once. The least recently used entries give way.

>>> all(folder.is_absolute() for folder in scratch_folders())
True
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
import zlib
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

DEFAULT_MEGABYTES = 2048
BLOCK_IDS = 1 << 20
ABANDONED_SECONDS = 86_400  # a temporary folder older than this is a crashed program's


def cache_folder() -> Path | None:
    """`$THEANO_RNN_CACHE`, or `theano_rnn` in the user's folder for such things; none if nothing is to be kept."""
    if not cache_bytes():
        return None
    if named := os.environ.get("THEANO_RNN_CACHE"):
        return Path(named)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "theano_rnn"
    try:
        return Path.home() / ".cache" / "theano_rnn"
    except RuntimeError:  # a user without a home
        return None


def cache_bytes() -> int:
    """The size that the cache may have: `$THEANO_RNN_CACHE_MB` in megabytes, 0 for none; what is no number is 0."""
    try:
        return max(int(float(os.environ.get("THEANO_RNN_CACHE_MB", DEFAULT_MEGABYTES)) * 1e6), 0)
    except (ValueError, OverflowError):
        return 0


def scratch_folders() -> list[Path]:
    """Where temporary files may go, the best first: the cache is on a disk, TMPDIR may be in memory."""
    folder = cache_folder()
    return [*([folder] if folder else []), Path(tempfile.gettempdir())]


class IdFile:
    """int32 ids on a temporary file without a name; when one disk is full it moves to the next.

    >>> ids = IdFile()
    >>> ids.append(np.array([3, 1, 4], np.int32))
    >>> ids.array().tolist()
    [3, 1, 4]
    """

    def __init__(self) -> None:
        self.folders = scratch_folders()
        self.file: IO[bytes] | None = None
        self.num_bytes = 0

    def append(self, ids: npt.NDArray[np.int32]) -> None:
        """Write more ids at the end."""
        data = ids.tobytes()
        while True:
            try:
                if self.file is None:
                    self.file = self.moved(None)
                self.file.seek(self.num_bytes)
                self.file.write(data)
                self.file.flush()
                self.num_bytes += len(data)
                return
            except OSError:
                if not self.folders:
                    raise
                self.file = self.moved(self.file)

    def moved(self, old: IO[bytes] | None) -> IO[bytes]:
        """A new file in the next folder that takes one, with what the old one held."""
        while True:
            folder = self.folders.pop(0)
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                new = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by array()
                if old is not None:
                    old.seek(0)
                    shutil.copyfileobj(old, new)
                    with contextlib.suppress(OSError):  # what the full disk did not take is written again
                        old.close()
                return new
            except OSError:
                if not self.folders:
                    raise

    def array(self) -> npt.NDArray[np.int32]:
        """The ids, int32, shape (tokens,), mapped from the file; nothing can be appended afterwards."""
        if self.file is None:
            return np.empty(0, np.int32)
        with self.file as file:
            if not self.num_bytes:
                return np.empty(0, np.int32)
            return np.memmap(file, np.int32, "r+", shape=(self.num_bytes // 4,))


def checksum(ids: npt.NDArray[np.int32]) -> int:
    """CRC-32 of the ids."""
    value = 0
    for start in range(0, ids.size, BLOCK_IDS):
        value = zlib.crc32(ids[start : start + BLOCK_IDS].tobytes(), value)
    return value


def load(key: str) -> tuple[npt.NDArray[np.int32], list[str]] | None:
    """The ids and types of an entry, none if it is not there; a damaged one is removed."""
    folder = cache_folder()
    if folder is None or not os.path.isdir(folder / key):
        return None
    entry = folder / key
    try:
        description = json.loads((entry / "types.json").read_text(encoding="utf-8"))
        types = description["types"]
        ids: npt.NDArray[np.int32] = np.memmap(entry / "ids.bin", np.int32, "c")
        if [ids.size, checksum(ids), zlib.crc32("\0".join(types).encode())] != description["check"]:
            raise ValueError("damaged")
        with contextlib.suppress(OSError):
            os.utime(entry)
        return ids, types
    except (OSError, ValueError, KeyError, TypeError):
        shutil.rmtree(entry, ignore_errors=True)
        return None


def store(key: str, ids: npt.NDArray[np.int32], types: list[str]) -> None:
    """Write an entry, unless it is there, too large, or the folder cannot be written."""
    limit, folder = cache_bytes(), cache_folder()
    if folder is None or not ids.size or ids.nbytes > limit:
        return
    temporary = None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix="writing-", dir=folder))
        with open(temporary / "ids.bin", "wb") as file:
            file.writelines(ids[start : start + BLOCK_IDS].tobytes() for start in range(0, ids.size, BLOCK_IDS))
        check = [ids.size, checksum(ids), zlib.crc32("\0".join(types).encode())]
        description = json.dumps({"check": check, "types": types}, ensure_ascii=False)
        (temporary / "types.json").write_text(description, encoding="utf-8")
        os.rename(temporary, folder / key)
        evict(folder, limit)
    except OSError:
        pass  # the cache is only for speed
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def evict(folder: Path, limit: int) -> None:
    """Remove abandoned temporary folders, and the entries longest unused until the rest fits into `limit` bytes."""
    entries = []
    for entry in folder.iterdir():
        with contextlib.suppress(OSError):
            used = entry.stat().st_mtime
            if entry.name.startswith("writing-"):
                if time.time() - used > ABANDONED_SECONDS:
                    shutil.rmtree(entry, ignore_errors=True)
            elif (entry / "types.json").is_file():
                entries.append((used, sum(file.stat().st_size for file in entry.iterdir()), entry))
    total = sum(size for _, size, _ in entries)
    for _, size, entry in sorted(entries)[:-1]:
        if total > limit:
            shutil.rmtree(entry, ignore_errors=True)
            total -= size
