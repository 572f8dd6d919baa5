"""Write files atomically, and lock a file against a second writer.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     path = Path(folder, "model")
...     with lock(path):
...         write_atomically(path, b"new")
...     path.read_bytes(), os.listdir(folder)
(b'new', ['model'])
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

from theano_rnn.settings.base import UserError

try:
    import fcntl

    has_locks = True
except ImportError:  # Windows
    has_locks = False

UNFINISHED = ".unfinished"  # the ending of temporary files
HAS_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)  # of some network file systems


def target_of(path: str | os.PathLike[str]) -> Path:
    """Returns the file that `path` points to if it is a symbolic link, else `path` itself."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else Path(path)


def temporary_path(path: Path) -> Path:
    """Returns a new name for a temporary file in the folder of `path`. No two writers get the same one."""
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}{UNFINISHED}")


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace the file at `path` by `data` atomically: completely or not at all.

    A symbolic link stays a link: the file that it points to is replaced.
    """
    path = target_of(path)
    unfinished = temporary_path(path)
    try:
        with open(unfinished, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException as error:
        unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, os.fspath(unfinished)):
            error.filename = os.fspath(path)  # the error of a full disk does not name the file
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove_unfinished(path: str | os.PathLike[str]) -> None:
    """Remove the temporary files of `path` that killed processes left. Call this only if no other process writes it."""
    path = target_of(path)
    for left in path.parent.glob("*" + UNFINISHED):
        token = left.name.removeprefix(path.name + ".").removesuffix(UNFINISHED)
        if left.name.startswith(path.name + ".") and len(token) == 8 and set(token) <= set("0123456789abcdef"):
            left.unlink(missing_ok=True)


@contextlib.contextmanager
def lock(path: str | os.PathLike[str]) -> Iterator[None]:
    """Lock the file at `path` against other processes that use this function. The file need not exist.

    The lock is held on ``NAME.lock`` in the same folder. It ends with the process, however that ends; the file itself
    is then removed, or reused by the next process. On a file system without locks, and in a folder that cannot be
    written, this does nothing.

    Raises
    ------
    UserError
        Another process holds the lock.
    """
    path = target_of(path)
    name = path.with_name(path.name + ".lock")
    created: list[Path] = []
    descriptor = None
    try:
        with contextlib.suppress(OSError):
            for folder in reversed([folder for folder in (name.parent, *name.parent.parents) if not folder.exists()]):
                with contextlib.suppress(FileExistsError):  # another process was faster
                    folder.mkdir()
                    created.append(folder)
            descriptor = acquire(name, path)
        yield
    finally:
        if descriptor is not None:
            release(name, descriptor)
        for folder in reversed(created):
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()


def acquire(name: Path, path: Path) -> int | None:
    """Lock the file `name`, which protects `path`. Returns its descriptor, or None if the file system has no locks."""
    if not has_locks:
        return None
    while True:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)  # NFS locks need RDWR
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_same_file(descriptor, name):
                os.truncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
                return descriptor
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise UserError(f"{path} is in use: {holder} is training it. Wait for it or stop it, or give another "
                            "--checkpoint") from None  # fmt: skip
        except OSError as error:
            os.close(descriptor)
            if error.errno in HAS_NO_LOCKS:
                with contextlib.suppress(OSError):
                    name.unlink()
                return None
            raise
        os.close(descriptor)  # its holder removed the file after we opened it: try again


def release(name: Path, descriptor: int) -> None:
    """End a lock of `acquire`. Removes its file."""
    with contextlib.suppress(OSError):
        name.unlink()  # before the lock ends: afterwards the file may be another process's
    os.close(descriptor)


def is_same_file(descriptor: int, name: Path) -> bool:
    """Returns whether `name` is still the name of the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(name))
    except FileNotFoundError:
        return False
