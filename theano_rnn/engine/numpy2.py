"""The names of NumPy 1 that Aesara 2.9.4 still uses, for NumPy 2: nothing else of the package speaks of them.

Aesara's C code does not compile against NumPy 2, but its graphs, rewrites and Python implementations work once a few
names are there. `prepare` waits for the first import of aesara, since importing numpy fixes its threads.
"""

from __future__ import annotations

import importlib.abc
import importlib.metadata
import sys
from collections.abc import Callable
from typing import Any


def is_numpy_2() -> bool:
    """Whether the installed NumPy, which is not imported, is of version 2 or newer."""
    try:
        return int(importlib.metadata.version("numpy").split(".")[0]) >= 2
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return False


class Cast(dict[Any, Callable[[Any], Any]]):
    """NumPy 1's ``cast``: a function for every dtype."""

    def __missing__(self, dtype: Any) -> Callable[[Any], Any]:
        import numpy as np

        return lambda x: np.asarray(x).astype(dtype)


def supply_names() -> None:
    """Give NumPy 2 what Aesara asks it for; names that it has stay as they are."""
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


class BeforeAesara(importlib.abc.MetaPathFinder):
    """Finds no module; supplies the names when somebody looks for aesara."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname == "aesara":
            sys.meta_path.remove(self)
            supply_names()


def prepare() -> None:
    """Have the names supplied when aesara is first imported, where NumPy is new."""
    if "aesara" not in sys.modules and not any(isinstance(finder, BeforeAesara) for finder in sys.meta_path):
        sys.meta_path.insert(0, BeforeAesara())
