"""The C engine: Aesara's own C linker, with real BLAS, without its wasted work, compiled in a third of the time.

What is set, and why (measured: ../BENCHMARKS.md):

- ``allow_gc=False``: keeps buffers between calls; the largest are tens of megabytes.
- ``local_dot22_to_dot22scalar`` is left out: with it a scaled and an unscaled gradient are two matrix products.
- Shape arithmetic runs in Python: nearly half of the C modules of a training function only add two lengths.
- A precompiled header: most of a module's compilation is reading Python's, NumPy's and C++'s headers. It is made with
  the flags of the modules, else g++ does not use it; other flags have a header of their own.
- ``-g0``: the debugging information that Aesara asks for takes a quarter of g++'s time.
- A scan's inner function gets this linker too; Aesara fixes its mode when the graph is built.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import shlex
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
from theano_rnn.engine.length_arithmetic import python_perform

CompileProgress = Callable[[int], None]  # called before each run of g++ with the number of runs so far

MODULE_FLAGS = ("-O3", "-fno-math-errno")  # as Aesara compiles a module, before its own and the user's flags
NO_DEBUGGING = "-g0"
HEADER = """#include <Python.h>
#include <iostream>
#include <math.h>
#include <numpy/arrayobject.h>
#include <numpy/arrayscalars.h>
"""


class CEngineLinker(VMLinker):  # type: ignore[misc]
    """Aesara's VM linker, told for each operation whether C is worth compiling."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_gc=False, use_cloop=True, **kwargs)

    def clone(self, allow_gc: bool | None = None) -> CEngineLinker:
        return CEngineLinker()

    def make_all(self, **kwargs: Any) -> Any:
        for node in self.fgraph.toposort():
            if isinstance(node.op, Scan):
                node.op = with_our_inner_mode(node.op)
            elif is_bookkeeping(node):
                node.op = in_python(node)
        return super().make_all(**kwargs)


def with_our_inner_mode(scan: Scan) -> Scan:
    """A copy of `scan` whose inner function is compiled as the outer one is."""
    scan = scan.clone()
    scan.mode_instance = Mode(CEngineLinker(), QUERY)
    scan._fn = None
    return scan


def in_python(node: Apply) -> Op:
    """A copy of the operation of `node` that runs in Python: as plain arithmetic, or by its own implementation."""
    op = copy.copy(node.op)
    make_thunk, perform = op.make_thunk, python_perform(node)
    if perform is not None:
        op.perform = perform

    def make_python_thunk(*args: Any, impl: str | None = None) -> Any:
        return make_thunk(*args, impl="py")

    op.make_thunk = make_python_thunk
    return op


def is_bookkeeping(node: Apply) -> bool:
    """Whether a node only computes with lengths and indices: scalars and short vectors of whole numbers."""

    def is_small(variable: Any) -> bool:
        ndim, dtype = getattr(variable.type, "ndim", 0), getattr(variable.type, "dtype", "")
        return ndim == 0 and (dtype.startswith(("int", "uint", "bool")))

    operands = len(node.inputs) + len(node.outputs)
    return operands < 32 and all(is_small(v) for v in node.outputs)  # NumPy's functions take no more


QUERY = RewriteDatabaseQuery(
    include=["fast_run"],
    exclude=[
        "local_dot22_to_dot22scalar",
        "local_adv_sub1_adv_inc_sub1",  # wrong where indices repeat: rows would not be merged for the norm
    ],
)


def precompiled_header_flags() -> str:
    """Flags that make g++ read a precompiled header from the compile cache; empty where that does not work."""
    flags = ["-g", *MODULE_FLAGS, *GCC_compiler.compile_args(), NO_DEBUGGING]
    number = zlib.crc32(" ".join(flags).encode())
    folder = Path(aesara.config.compiledir) / f"theano_rnn_header_{number:08x}"
    header = folder / "prefix.h"
    compiled = folder / "prefix.h.gch"
    if not compiled.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            header.write_text(HEADER)
            includes = [f"-I{path}" for path in (np.get_include(), *python_includes())]
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                unfinished = Path(scratch) / "prefix.h.gch"
                command = [*shlex.split(aesara.config.cxx), *flags, *includes, "-fPIC", "-fvisibility=hidden",
                           "-x", "c++-header", str(header), "-o", str(unfinished)]  # fmt: skip
                subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
                os.replace(unfinished, compiled)
        except (OSError, subprocess.CalledProcessError):
            return ""
    return f"-include {header}"


def python_includes() -> list[str]:
    """Folders of Python's own headers."""
    return [sysconfig.get_paths()["include"]]


@contextlib.contextmanager
def watching_compiler(progress: CompileProgress | None) -> Iterator[None]:
    """Call `progress` whenever Aesara writes a C module, which its log says at a level that is otherwise off.

    A warning of no use, that a library given as ``-l:NAME`` was not looked for, is not passed on.
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

    def is_of_use(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("We did not find a dynamic library")

    compiler.addFilter(count)
    blas.addFilter(is_of_use)
    compiler.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        compiler.removeFilter(count)
        blas.removeFilter(is_of_use)
        compiler.setLevel(level)


class CFunction:
    """A compiled function that first takes back what the XLA engine has put onto a device.

    C reads NumPy arrays and may write into them, so it has copies; XLA copies them in turn when it next runs.
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
        No compiler, or a Python on which Aesara's scan does not compile.
    """
    check_c_engine()
    GCC_compiler.compile_args()  # finds this processor's flags, by trial: a header with Python's in it would fail that
    header = precompiled_header_flags()
    flags = " ".join(filter(None, [aesara.config.gcc__cxxflags, NO_DEBUGGING, header]))
    with aesara.config.change_flags(allow_gc=False, gcc__cxxflags=flags), watching_compiler(progress):
        mode = Mode(CEngineLinker(), QUERY)
        function = aesara.function(inputs, outputs, updates=list(updates), mode=mode, name=name)
    return CFunction(function)
