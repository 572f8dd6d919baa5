"""Workarounds for problems when Aesara is imported or compiles.

`prepare()` must run before the first `import aesara`. It adds one Aesara flag, ``blas__ldflags``; the user's own
``AESARA_FLAGS`` win. It also chooses OpenBLAS's kernels (`choose_blas_kernels`). Under NumPy 2, which Aesara's C code
does not support, it switches the C compiler off and silences a warning about slow matrix products.

``blas__ldflags`` links the OpenBLAS inside scipy's wheel (LP64, plain ``sgemm_``). Without the flag, Aesara 2.9.4 reads
settings that NumPy 1.26 no longer has, then imports ``numpy.distutils``, which fails with a new setuptools; at best it
finds no BLAS. ``--disable-new-dtags`` lets the loader find the libgfortran next to that OpenBLAS.

All other changes to Aesara, such as `static_shapes`, last only while this package compiles.
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
    """Returns linker flags for the OpenBLAS in scipy's wheel; "" if it has none (Aesara then uses NumPy's)."""
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
    """Set what Aesara reads when it is imported. No effect after that, or if the user sets the same flag."""
    if numpy2.is_numpy_2():
        numpy2.prepare()
        disable_c_compiler()
        logging.getLogger("aesara.tensor.blas").setLevel(logging.ERROR)  # it warns about slow C code; none runs
    else:
        choose_blas_kernels()
    flags = os.environ.get("AESARA_FLAGS", "")
    if "aesara" not in sys.modules and "blas__ldflags" not in flags:
        libraries = "" if numpy2.is_numpy_2() else scipy_blas_flags()
        ours = f"blas__ldflags={shlex.quote(libraries)}"
        os.environ["AESARA_FLAGS"] = f"{ours},{flags}" if flags else ours


def choose_blas_kernels() -> None:
    """Set OpenBLAS's kernels for this processor, unless the user has set ``OPENBLAS_CORETYPE``.

    Aesara's C code needs NumPy 1, whose OpenBLAS is older than many processors. On a processor that it does not know,
    it falls back to kernels from 2004, which are four times slower. Newer versions choose by instruction set, as here.
    No effect after numpy is imported, or if the instruction sets cannot be read (macOS does not need it).
    """
    if "numpy" in sys.modules or "OPENBLAS_CORETYPE" in os.environ:
        return
    instructions = x86_instructions()
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"} <= instructions:
        os.environ["OPENBLAS_CORETYPE"] = "SkylakeX"
    elif {"avx2", "fma"} <= instructions:
        os.environ["OPENBLAS_CORETYPE"] = "Haswell"


def x86_instructions(path: str = "/proc/cpuinfo") -> set[str]:
    """Returns the names of an x86 processor's instruction sets, as Linux lists them; elsewhere none."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return next((set(line.split()) for line in file if line.startswith("flags")), set())
    except OSError:
        return set()


def set_threads(count: int) -> None:
    """Set the number of threads for matrix products. Call it before numpy is imported.

    Raises
    ------
    RuntimeError
        numpy is already imported, so its BLAS has started its threads.
    """
    if "numpy" in sys.modules:
        raise RuntimeError("set_threads must be called before numpy is imported")
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(count)


def has_jax() -> bool:
    """Returns whether JAX is installed."""
    return importlib.util.find_spec("jax") is not None


def resolve_engine(engine: str) -> str:
    """Returns "jax" or "c"; "auto" is jax if JAX is installed or Python is 3.12 or newer, which C does not support.

    Raises
    ------
    UserError
        The result is jax, but JAX is not installed.
    """
    if engine == "auto":
        engine = "jax" if has_jax() or sys.version_info >= (3, 12) else "c"
    if engine == "jax" and not has_jax():
        raise UserError("engine jax needs JAX: pip install 'theano_rnn[jax]' (with a GPU: [cuda12] or [cuda13])")
    return engine


def disable_c_compiler() -> None:
    """Keep Aesara from searching for a C++ compiler and using it: the XLA engine needs none.

    No effect after aesara is imported, or if the user's ``AESARA_FLAGS`` set ``cxx``.
    """
    flags = os.environ.get("AESARA_FLAGS", "")
    if "aesara" not in sys.modules and "cxx=" not in flags:
        os.environ["AESARA_FLAGS"] = f"cxx=,{flags}" if flags else "cxx="


def check_c_engine() -> None:
    """Raise an error that says what to install if the C engine cannot run here.

    Raises
    ------
    UserError
        Python is newer than 3.11, NumPy is newer than 1, or there is no C++ compiler.
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
