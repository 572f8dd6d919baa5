"""Files that commands write: what they are called, and whether they can be written, found out before any work."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from theano_rnn.settings.base import UserError


def beside(checkpoint: str, ending: str) -> Path:
    """The file beside a checkpoint that has its name but for the ending."""
    path = Path(checkpoint)
    if not path.name:
        raise UserError(f"{checkpoint or 'an empty name'} is no name of a checkpoint")
    return path.with_suffix(ending)


def check_output(output: Path, inputs: Sequence[str], *, is_forced: bool) -> None:
    """Raise `UserError` where `output` is there and not to be replaced, is one of `inputs`, or cannot be written."""
    if output.exists():
        for path in inputs:
            if Path(path).exists() and output.samefile(path):
                raise UserError(f"--output and the input are the same file, {output}: give another name")
        if not is_forced and output.is_file():
            raise UserError(f"{output} is there already: give another --output, or --force to replace it")
    check_writable(output)


def check_writable(path: Path) -> None:
    """Raise `UserError` where a file at `path` could not be written; leave nothing behind."""
    made: list[Path] = []
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder, not a file to write to")
        if path.exists() and not path.is_file():
            raise UserError(f"{path} is not an ordinary file")  # a device, perhaps, that must not be renamed
        path.with_name(path.name + ".unfinished").exists()  # OSError where the name is too long
        for folder in reversed([folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]):
            folder.mkdir()
            made.append(folder)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror} ({error.filename or path.parent})") from None
    finally:
        for folder in reversed(made):
            folder.rmdir()
