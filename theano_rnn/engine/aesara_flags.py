"""Aesara's traps around importing and compiling, each worked around here and nowhere else.

`prepare()` runs before the first `import aesara` of this package; it adds a flag and takes nothing from the user,
whose own ``AESARA_FLAGS`` wins, and one variable for OpenBLAS (`choose_blas_kernels`); under NumPy 2, where no C code
runs, it also silences a warning about its speed:

- ``blas__ldflags``: without it Aesara 2.9.4 asks NumPy 1.26 for settings that are gone, then imports
  ``numpy.distutils``, which fails where setuptools is new, and at best ends without BLAS. We link the OpenBLAS inside
  scipy's wheel (LP64, plain ``sgemm_``). ``--disable-new-dtags`` makes its libgfortran be found beside it.

Everything else is set for the time of our own compilations only; `static_shapes` is such a thing.
"""

from __future__ import annotations

import glob
import importlib.util
import logging
import os
import shlex
import shutil
import sys

from theano_rnn.engine import numpy2
from theano_rnn.settings.base import UserError


def scipy_blas_flags() -> str:
    """Linker flags for the OpenBLAS inside scipy's wheel; empty where scipy has none (Aesara then uses NumPy's)."""
    spec = importlib.util.find_spec("scipy")
    if spec is None or not spec.submodule_search_locations:
        return ""
    package = spec.submodule_search_locations[0]
    folders = [os.path.join(os.path.dirname(package), "scipy.libs"), os.path.join(package, ".dylibs")]
    for folder in folders:
        for path in sorted(glob.glob(os.path.join(folder, "libopenblasp*")) + glob.glob(f"{folder}/libopenblas*")):
            if sys.platform == "darwin":
                return f"-L{folder} {path}"
            return f"-L{folder} -l:{os.path.basename(path)} -Wl,--disable-new-dtags"
    return ""


def prepare() -> None:
    """Set what Aesara reads when it is imported. No effect once it is, or where the user's flags say otherwise."""
    if numpy2.is_numpy_2():
        numpy2.prepare()
        without_compiler()
        logging.getLogger("aesara.tensor.blas").setLevel(logging.ERROR)  # it warns of slow C code, and there is none
    else:
        choose_blas_kernels()
    flags = os.environ.get("AESARA_FLAGS", "")
    if "aesara" not in sys.modules and "blas__ldflags" not in flags:
        libraries = "" if numpy2.is_numpy_2() else scipy_blas_flags()
        ours = f"blas__ldflags={shlex.quote(libraries)}"
        os.environ["AESARA_FLAGS"] = f"{ours},{flags}" if flags else ours


def choose_blas_kernels() -> None:
    """Tell OpenBLAS which of its kernels to use, where the user's ``OPENBLAS_CORETYPE`` does not.

    Aesara needs NumPy 1 and with it an OpenBLAS that is older than many processors: one that it does not know gets
    the kernels of the year 2004, four times slower. Newer versions go by the instructions that there are; so do we.
    Without effect once numpy is imported, and where instructions cannot be read (macOS does not need it).
    """
    if "numpy" in sys.modules or "OPENBLAS_CORETYPE" in os.environ:
        return
    instructions = x86_instructions()
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"} <= instructions:
        os.environ["OPENBLAS_CORETYPE"] = "SkylakeX"
    elif {"avx2", "fma"} <= instructions:
        os.environ["OPENBLAS_CORETYPE"] = "Haswell"


def x86_instructions(path: str = "/proc/cpuinfo") -> set[str]:
    """Names of the instruction sets of an x86 processor, as Linux gives them; empty elsewhere."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return next((set(line.split()) for line in file if line.startswith("flags")), set())
    except OSError:
        return set()


def set_threads(count: int) -> None:
    """Let matrix products use `count` threads. Must come before numpy is imported.

    Raises
    ------
    RuntimeError
        numpy has been imported: its BLAS has already started its threads.
    """
    if "numpy" in sys.modules:
        raise RuntimeError("set_threads must be called before numpy is imported")
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(count)


def has_jax() -> bool:
    """Whether JAX is installed."""
    return importlib.util.find_spec("jax") is not None


def resolved_engine(engine: str) -> str:
    """The engine that ``auto`` stands for: jax where it is installed, else c, which Python 3.12 does not have.

    Raises
    ------
    UserError
        `engine` is jax, and JAX is not installed.
    """
    if engine == "auto":
        engine = "jax" if has_jax() or sys.version_info >= (3, 12) else "c"
    if engine == "jax" and not has_jax():
        raise UserError("engine jax needs JAX: pip install 'theano_rnn[jax]' (with a GPU: [cuda12] or [cuda13])")
    return engine


def without_compiler() -> None:
    """Keep Aesara from looking for a C++ compiler and using it, which the XLA engine does not need.

    Without effect once aesara is imported, or where the user's ``AESARA_FLAGS`` name a compiler.
    """
    flags = os.environ.get("AESARA_FLAGS", "")
    if "aesara" not in sys.modules and "cxx=" not in flags:
        os.environ["AESARA_FLAGS"] = f"cxx=,{flags}" if flags else "cxx="


def check_c_engine() -> None:
    """Raise `UserError` with what to do where the C engine cannot run.

    Raises
    ------
    UserError
        Python is newer than 3.11, or no C++ compiler is found.
    """
    advice = "use engine jax (pip install 'theano_rnn[jax]')"
    if sys.version_info >= (3, 12):
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise UserError(
            f"the C engine needs Python 3.10 or 3.11 (Aesara's scan does not compile on {version}): {advice}"
        )
    if numpy2.is_numpy_2():
        raise UserError(f"the C engine needs NumPy 1 (Aesara's C code does not compile against NumPy 2): {advice}")
    if not any(shutil.which(name) for name in ("g++", "clang++")):
        raise UserError(
            "no C++ compiler found; install g++ (Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++; "
            "macOS: xcode-select --install)"
        )
