"""Output files of commands: default names, and early checks that they can be written."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from theano_rnn.settings.base import UserError


def sibling_path(checkpoint: str, ending: str) -> Path:
    """Returns the path of a checkpoint with its ending replaced, for an output file in the same folder."""
    path = Path(checkpoint)
    if not path.name:
        raise UserError(f"{checkpoint or 'an empty name'} is not a valid checkpoint name: give the name of a file")
    return path.with_suffix(ending)


def check_output(output: Path, inputs: Sequence[str], *, is_forced: bool) -> None:
    """Raises `UserError` if `output` exists and must not be replaced, is one of `inputs`, or cannot be written."""
    if output.exists():
        for path in inputs:
            if Path(path).exists() and output.samefile(path):
                raise UserError(f"--output and the input are the same file, {output}: give another name")
        if not is_forced and output.is_file():
            raise UserError(f"{output} already exists: give another --output, or add --force to replace it")
    check_writable(output)


def check_writable(path: Path) -> None:
    """Raises `UserError` if a file at `path` cannot be written. Leaves no files or folders behind."""
    created: list[Path] = []
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder: give the name of a file")
        if path.exists() and not path.is_file():
            # such as a device, which must not be replaced by renaming a file
            raise UserError(f"{path} is not a regular file: give another name")
        path.with_name(path.name + ".unfinished").exists()  # raises OSError if the name is too long
        for folder in reversed([folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]):
            folder.mkdir()
            created.append(folder)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror} ({error.filename or path.parent})") from None
    finally:
        for folder in reversed(created):
            folder.rmdir()
