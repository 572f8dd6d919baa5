"""Output files of commands: default names, and early checks that they can be written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from theano_rnn.cli.console import advise
from theano_rnn.learning.atomic_files import temporary_path
from theano_rnn.learning.pretrained import DEFAULT_MODEL
from theano_rnn.settings.base import UserError
from theano_rnn.settings.training import RunConfig

CHECKPOINT_ENDING = ".safetensors"


def base_name(path: Path) -> str:
    """Returns the name of a checkpoint without ``.safetensors``. Other endings are part of the name.

    >>> base_name(Path("runs/model.safetensors")), base_name(Path("runs/fold.1"))
    ('model', 'fold.1')
    """
    return path.name.removesuffix(CHECKPOINT_ENDING) or path.name


def sibling_path(checkpoint: str, ending: str) -> Path:
    """Returns the path of a checkpoint with its ending replaced, for an output file in the same folder."""
    check_file_name(checkpoint, "checkpoint")
    path = Path(checkpoint)
    return path.with_name(base_name(path) + ending)


CHECKPOINT_HELP = f"a trained model: a file, or {DEFAULT_MODEL}, the model that comes with the package"
DEFAULT_CHECKPOINT_HELP = f"{CHECKPOINT_HELP} (default: {RunConfig.checkpoint}, or {DEFAULT_MODEL} without such a file)"


def choose_checkpoint(name: str | None) -> str:
    """Returns the checkpoint that a command uses. If none was named, prints which one it is to standard error."""
    if name is not None:
        return name
    if os.path.lexists(RunConfig.checkpoint):
        advise([f"the model is {RunConfig.checkpoint}; {DEFAULT_MODEL} is the one that comes with the package"])
        return RunConfig.checkpoint
    advise([f"there is no {RunConfig.checkpoint} yet, so this is {DEFAULT_MODEL}, the model that comes with the "
            "package, trained on six novels by Jane Austen"])  # fmt: skip
    return DEFAULT_MODEL


def check_file_name(name: str, kind: str) -> None:
    """Raises `UserError` if `name` can only be the name of a folder, or is empty."""
    if not Path(name).name:
        raise UserError(f"{name or 'an empty name'} is not a valid {kind} name: give the name of a file")
    if os.path.basename(name) in ("", ".", ".."):
        example = os.path.join(name, "model" + CHECKPOINT_ENDING if kind == "checkpoint" else kind)
        raise UserError(f"{name} is the name of a folder: give the name of a file, such as {example}")


def name_files(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings with the text files of each folder in --train in its place.

    Prints which files are read from a folder, to standard error.
    """
    from theano_rnn.text.folders import expand_folders, has_label_folders, text_files

    values = dict(given)
    named = [path for name in ("train", "valid", "test") for path in as_list(values.get(name))]
    if any(map(has_label_folders, named)):  # the task reads them
        return values
    for folder in filter(os.path.isdir, named):
        found, skipped = text_files(folder)
        advise([f"reading {len(found)} file{'s' if len(found) > 1 else ''} of {folder}: {shortened(found)}"
                + (f" (skipped: {shortened(skipped)})" if skipped else "")])  # fmt: skip
    if any(map(os.path.isdir, as_list(values.get("train")))):
        values["train"] = tuple(expand_folders(values["train"]))
    return values


def as_list(value: Any) -> list[str]:
    """Returns the file names in a setting, which may be wrong yet."""
    return [path for path in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(path, str)]


def shortened(paths: Sequence[str]) -> str:
    """Returns the names of the first files, and how many more there are."""
    names, more = [Path(path).name for path in paths[:10]], len(paths) - 10
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


def check_output(output: Path, inputs: Sequence[str], *, is_forced: bool, flag: str = "--output") -> None:
    """Raises `UserError` if `output` exists and must not be replaced, is one of `inputs`, or cannot be written.

    `flag` is the flag that names it.
    """
    if output.exists():
        for path in inputs:
            if Path(path).exists() and output.samefile(path):
                raise UserError(f"{flag} and the input are the same file, {output}: give another name")
        if not is_forced and output.is_file():
            raise UserError(f"{output} already exists: give another {flag}, or add --force to replace it")
    check_writable(output)


def check_writable(path: Path) -> None:
    """Raises `UserError` if a file at `path` cannot be written. Leaves no files or folders behind."""
    created: list[Path] = []
    try:
        if path.is_symlink() and (path := Path(os.path.realpath(path))).is_symlink():
            raise UserError(f"{path} is a symbolic link to itself: give another name")
        if path.is_dir():
            raise UserError(f"{path} is a folder: give the name of a file")
        if path.exists() and not path.is_file():
            # such as a device, which must not be replaced by renaming a file
            raise UserError(f"{path} is not a regular file: give another name")
        temporary_path(path).exists()  # raises OSError if the name is too long
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
