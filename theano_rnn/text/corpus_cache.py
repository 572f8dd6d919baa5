"""Cache tokenized files on disk, so that a later run does not tokenize again.

The cache only saves time: losing it, or failing to write it, is harmless. An entry is a folder, named by a hash of what
decides its content; it contains the ids, the types and their checksums. It is written under a temporary name and then
renamed, so two programs may use the cache at once. When the cache is full, the least recently used entries are deleted.

>>> all(folder.is_absolute() for folder in temporary_folders())
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

from theano_rnn.settings.cache_folder import cache_folder, max_cache_bytes

BLOCK_IDS = 1 << 20  # ids in one block: a corpus may be larger than memory, so it is processed in blocks
ABANDONED_SECONDS = 86_400  # a temporary folder older than this was left by a crash


def temporary_folders() -> list[Path]:
    """Returns folders for temporary files, best first: the cache is on a disk, but TMPDIR may be in memory."""
    folder = cache_folder()
    return [*([folder] if folder else []), Path(tempfile.gettempdir())]


class IdFile:
    """A growing array of int32 ids in an unnamed temporary file; if the disk is full, it moves to the next folder's.

    >>> ids = IdFile()
    >>> ids.append(np.array([3, 1, 4], np.int32))
    >>> ids.array().tolist()
    [3, 1, 4]
    """

    def __init__(self) -> None:
        self.folders = temporary_folders()
        self.file: IO[bytes] | None = None
        self.num_bytes = 0

    def append(self, ids: npt.NDArray[np.int32]) -> None:
        """Append ids."""
        data = ids.tobytes()
        while True:
            try:
                if self.file is None:
                    self.file = self.move_to_next_folder(None)
                self.file.seek(self.num_bytes)
                self.file.write(data)
                self.file.flush()
                self.num_bytes += len(data)
                return
            except OSError:
                if not self.folders:
                    raise
                self.file = self.move_to_next_folder(self.file)

    def move_to_next_folder(self, old: IO[bytes] | None) -> IO[bytes]:
        """Returns a new file in the next writable folder, with the content of the old one.

        Raises
        ------
        OSError
            If no folder is left.
        """
        while True:
            folder = self.folders.pop(0)
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                new = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by array()
                if old is not None:
                    old.seek(0)
                    shutil.copyfileobj(old, new)
                    with contextlib.suppress(OSError):  # append() writes the unsaved rest again
                        old.close()
                return new
            except OSError:
                if not self.folders:
                    raise

    def array(self) -> npt.NDArray[np.int32]:
        """Returns the ids, int32, shape (tokens,), mapped from the file. No ids can be appended afterwards."""
        if self.file is None:
            return np.empty(0, np.int32)
        with self.file as file:
            if not self.num_bytes:
                return np.empty(0, np.int32)
            return np.memmap(file, np.int32, "r+", shape=(self.num_bytes // 4,))


def checksum(ids: npt.NDArray[np.int32]) -> int:
    """Returns the CRC-32 of the ids."""
    value = 0
    for start in range(0, ids.size, BLOCK_IDS):
        value = zlib.crc32(ids[start : start + BLOCK_IDS].tobytes(), value)
    return value


def load(key: str) -> tuple[npt.NDArray[np.int32], list[str]] | None:
    """Load a cache entry, its ids and types. Returns None if it is missing; deletes it if it is damaged."""
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
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        shutil.rmtree(entry, ignore_errors=True)
        return None


def store(key: str, ids: npt.NDArray[np.int32], types: list[str]) -> None:
    """Write a cache entry. Does nothing if it exists, is too large, or the folder cannot be written."""
    limit, folder = max_cache_bytes(), cache_folder()
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
    """Delete the least recently used entries until the rest fits into `limit` bytes, and folders left by crashes."""
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
