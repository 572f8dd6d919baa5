"""Find the text files of a folder.

>>> import tempfile, pathlib
>>> with tempfile.TemporaryDirectory() as folder:
...     for name in ("2.txt", "1.txt.gz", "cover.jpg", ".hidden.txt"):
...         pathlib.Path(folder, name).touch()
...     found, skipped = text_files(folder)
>>> [pathlib.Path(path).name for path in found], skipped
(['1.txt.gz', '2.txt'], ['cover.jpg'])
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from theano_rnn.settings.base import UserError
from theano_rnn.text.file_formats import PLAIN, TABLES, is_text_name


def text_files(folder: str) -> tuple[list[str], list[str]]:
    """Returns the paths of the text files and tables in a folder, sorted by name, and the names that are skipped.

    Hidden files are skipped without being named. Folders in the folder are not read.

    Raises
    ------
    UserError
        If there is no such file.
    """
    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    found = [name for name in names if is_text_name(name) and os.path.isfile(os.path.join(folder, name))]
    if not found:
        endings = ", ".join([PLAIN[0], *TABLES])
        raise UserError(
            f"{folder} has no text files ({endings}, also compressed): name a file, or a folder that has some"
        )
    return [os.path.join(folder, name) for name in found], [name for name in names if name not in found]


def expand_folders(paths: Iterable[str]) -> list[str]:
    """Returns the paths, with the text files of each folder in its place."""
    expanded: list[str] = []
    for path in paths:
        expanded += text_files(path)[0] if os.path.isdir(path) else [path]
    return expanded


def label_folders(path: str) -> list[Path]:
    """Returns the folders in `path` that have text files, sorted by name. Each is named like the label of its texts."""
    folders = sorted(each for each in Path(path).iterdir() if each.is_dir() and not each.name.startswith("."))
    return [folder for folder in folders if has_text_files(folder)]


def has_label_folders(path: str) -> bool:
    """Returns whether `path` is a folder without text files of its own, but with folders that have some."""
    return os.path.isdir(path) and not has_text_files(Path(path)) and bool(label_folders(path))


def has_text_files(folder: Path) -> bool:
    """Returns whether `text_files` finds a file in the folder."""
    names = [each.name for each in folder.iterdir() if each.is_file()]
    return any(is_text_name(name) and not name.startswith(".") for name in names)
