"""NumPy 1 names that Aesara 2.9.4 still uses, added to NumPy 2.

Aesara's C code does not compile against NumPy 2, but its graphs, rewrites and Python implementations work with a few
names added. `prepare` delays that until aesara is imported, because importing numpy fixes its number of threads.
"""

from __future__ import annotations

import importlib.abc
import importlib.metadata
import sys
from collections.abc import Callable
from typing import Any


def is_numpy_2() -> bool:
    """Returns whether the installed NumPy is version 2 or newer, without importing it."""
    try:
        return int(importlib.metadata.version("numpy").split(".")[0]) >= 2
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return False


class Cast(dict[Any, Callable[[Any], Any]]):
    """NumPy 1's ``cast``: a conversion function for each dtype."""

    def __missing__(self, dtype: Any) -> Callable[[Any], Any]:
        import numpy as np

        return lambda x: np.asarray(x).astype(dtype)


def add_removed_names() -> None:
    """Add the names that Aesara needs to NumPy 2; names that exist stay as they are."""
    import numpy as np

    names: dict[str, Any] = {
        "AxisError": np.exceptions.AxisError,
        "ComplexWarning": np.exceptions.ComplexWarning,
        "cast": Cast(),
        "obj2sctype": lambda kind, default=None: np.dtype(kind).type,
        "sctype2char": lambda kind: np.dtype(kind).char,
        "MAXDIMS": 64,
    }
    for name, value in names.items():
        if not hasattr(np, name):
            setattr(np, name, value)


class AesaraImportHook(importlib.abc.MetaPathFinder):
    """An import hook that adds the names just before aesara is imported. It finds no modules itself."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname == "aesara":
            sys.meta_path.remove(self)
            add_removed_names()


def prepare() -> None:
    """Install the import hook, unless aesara is already imported."""
    if "aesara" not in sys.modules and not any(isinstance(finder, AesaraImportHook) for finder in sys.meta_path):
        sys.meta_path.insert(0, AesaraImportHook())
