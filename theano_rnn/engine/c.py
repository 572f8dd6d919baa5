"""The C engine: Aesara's C linker with a fast BLAS, less redundant work and a third of the compilation time.

What it changes, and why (../BENCHMARKS.md has the measurements):

- ``allow_gc=False`` keeps buffers between calls; the largest are tens of megabytes.
- The rewrite ``local_dot22_to_dot22scalar`` is left out: it computes a scaled and an unscaled gradient as two products.
- Length arithmetic runs in Python: nearly half of the C modules of a training function would only add two lengths.
- Headers are precompiled: most of a module's compilation time goes into reading the headers of Python, NumPy and C++.
- ``-g0`` leaves out the debugging information that Aesara asks for. It takes a quarter of g++'s time.
- The linker gold, where it is installed, needs a third of the time of ld. It does not change the code.
- The inner functions of scans use this engine's linker too. Aesara fixes their mode when it builds the graph.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import aesara
import numpy as np
from aesara.compile.mode import Mode
from aesara.compile.sharedvalue import SharedVariable
from aesara.graph.basic import Apply
from aesara.graph.op import Op
from aesara.graph.rewriting.db import RewriteDatabaseQuery
from aesara.link.c.cmodule import GCC_compiler
from aesara.link.vm import VMLinker
from aesara.scan.op import Scan
from aesara.tensor.type import TensorType

from theano_rnn.engine.aesara_flags import check_c_engine
from theano_rnn.engine.changed_flags import changed_flags
from theano_rnn.engine.length_arithmetic import make_perform

CompileProgress = Callable[[int], None]  # called before each run of g++ with the number of runs so far

MODULE_FLAGS = ("-O3", "-fno-math-errno")  # Aesara's flags for a module, before those of its settings
NO_DEBUGGING = "-g0"
GOLD = "-fuse-ld=gold"
HEADER = """#include <Python.h>
#include <iostream>
#include <math.h>
#include <numpy/arrayobject.h>
#include <numpy/arrayscalars.h>
#include <vector>
#include <algorithm>
"""


class CEngineLinker(VMLinker):  # type: ignore[misc]
    """Aesara's VM linker, without garbage collection; runs length arithmetic in Python instead of compiling it to C."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_gc=False, use_cloop=True, **kwargs)

    def clone(self, allow_gc: bool | None = None) -> CEngineLinker:
        return CEngineLinker()

    def make_all(self, **kwargs: Any) -> Any:
        for node in self.fgraph.toposort():
            if isinstance(node.op, Scan):
                node.op = scan_with_engine_mode(node.op)
            elif is_length_arithmetic(node):
                node.op = python_op(node)
        return super().make_all(**kwargs)


def scan_with_engine_mode(scan: Scan) -> Scan:
    """Returns a copy of `scan` whose inner function is compiled by this engine."""
    scan = scan.clone()
    scan.mode_instance = Mode(CEngineLinker(), QUERY)
    scan._fn = None
    return scan


def python_op(node: Apply) -> Op:
    """Returns a copy of the node's operation that runs in Python, as generated arithmetic if possible."""
    op = copy.copy(node.op)
    make_thunk, perform = op.make_thunk, make_perform(node)
    if perform is not None:
        op.perform = perform

    def make_python_thunk(*args: Any, impl: str | None = None) -> Any:
        return make_thunk(*args, impl="py")

    op.make_thunk = make_python_thunk
    return op


def is_length_arithmetic(node: Apply) -> bool:
    """Returns whether a node only computes with lengths and indices: its results are integer or boolean scalars."""

    def is_integer_scalar(variable: Any) -> bool:
        ndim, dtype = getattr(variable.type, "ndim", 0), getattr(variable.type, "dtype", "")
        return ndim == 0 and (dtype.startswith(("int", "uint", "bool")))

    operands = len(node.inputs) + len(node.outputs)
    return operands < 32 and all(is_integer_scalar(v) for v in node.outputs)  # NumPy's functions take at most 32


QUERY = RewriteDatabaseQuery(
    include=["fast_run"],
    exclude=[
        "local_dot22_to_dot22scalar",
        "local_adv_sub1_adv_inc_sub1",  # wrong if indices repeat: the norm would not add up their rows
    ],
)


def precompiled_header_flags() -> str:
    """Returns flags that make g++ use a precompiled header in Aesara's compile cache; "" if it cannot be made."""
    flags = ["-g", *MODULE_FLAGS, *GCC_compiler.compile_args(), NO_DEBUGGING]
    includes = [f"-I{path}" for path in (np.get_include(), *python_includes())]
    # g++ ignores a header that was precompiled with other flags, but not one that read other files of the same names
    folder = (
        Path(aesara.config.compiledir)
        / f"theano_rnn_header_{zlib.crc32(' '.join([*flags, *includes, HEADER]).encode()):08x}"
    )
    header = folder / "prefix.h"
    compiled = folder / "prefix.h.gch"
    if not compiled.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            header.write_text(HEADER)
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                unfinished = Path(scratch) / "prefix.h.gch"
                command = [*shlex.split(aesara.config.cxx), *flags, *includes, "-fPIC", "-fvisibility=hidden",
                           "-x", "c++-header", str(header), "-o", str(unfinished)]  # fmt: skip
                subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
                os.replace(unfinished, compiled)
        except (OSError, subprocess.CalledProcessError):
            return ""
    return f"-include {header}"


def compiler_command() -> str:
    """Returns Aesara's compiler; the one on the PATH if Aesara has none (``cxx=""``), as after the XLA engine was used.

    Without one, Aesara would run its Python code instead and not say so.
    """
    return str(aesara.config.cxx or shutil.which("g++") or shutil.which("clang++") or "")


def python_includes() -> list[str]:
    """Returns the folders of Python's own C headers."""
    return [sysconfig.get_paths()["include"]]


@contextlib.contextmanager
def report_compiler_runs(progress: CompileProgress | None) -> Iterator[None]:
    """Call `progress` with the number of C modules so far whenever Aesara writes one.

    Aesara reports this only in its log, at a level that is normally off. A pointless warning about libraries given as
    ``-l:NAME`` is suppressed.
    """
    compiler, blas = logging.getLogger("aesara.link.c.cmodule"), logging.getLogger("aesara.tensor.blas")
    level, effective = compiler.level, compiler.getEffectiveLevel()
    runs = 0

    def count(record: logging.LogRecord) -> bool:
        nonlocal runs
        if str(record.msg).startswith("Writing module"):
            runs += 1
            if progress is not None:
                progress(runs)
        return record.levelno >= effective

    def is_useful(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("We did not find a dynamic library")

    compiler.addFilter(count)
    blas.addFilter(is_useful)
    compiler.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        compiler.removeFilter(count)
        blas.removeFilter(is_useful)
        compiler.setLevel(level)


class CFunction:
    """A compiled function that first copies shared variables from JAX's devices back into NumPy arrays.

    C code reads NumPy arrays and may write into them. The XLA engine moves them to its device again when it next runs.
    """

    def __init__(self, function: Any) -> None:
        self.function = function
        self.maker, self.vm, self.name = function.maker, function.vm, function.name
        shared = [variable for variable in function.maker.fgraph.inputs if isinstance(variable, SharedVariable)]
        self.shared = [variable.container.storage for variable in shared if isinstance(variable.type, TensorType)]

    def __call__(self, *arguments: Any) -> Any:
        for cell in self.shared:
            if not isinstance(cell[0], np.ndarray):
                cell[0] = np.array(cell[0])
        return self.function(*arguments)


def compile_function(
    inputs: Sequence[Any],
    outputs: Any,
    updates: Sequence[tuple[Any, Any]] = (),
    *,
    name: str = "",
    progress: CompileProgress | None = None,
) -> Callable[..., Any]:
    """Compile an Aesara graph to C.

    Raises
    ------
    UserError
        There is no compiler, or Aesara's C code does not compile with this Python or NumPy.
    """
    check_c_engine()
    with changed_flags(allow_gc=False, cxx=compiler_command()):
        GCC_compiler.compile_args()  # finds the processor's flags by a trial, which our header would break
        header = precompiled_header_flags()
        gold = GOLD if shutil.which("ld.gold") else ""
        flags = " ".join(filter(None, [aesara.config.gcc__cxxflags, NO_DEBUGGING, gold, header]))
        with changed_flags(gcc__cxxflags=flags), report_compiler_runs(progress):
            mode = Mode(CEngineLinker(), QUERY)
            function = aesara.function(inputs, outputs, updates=list(updates), mode=mode, name=name)
    return CFunction(function)
