"""Environment variables of a test session: compilers that take little time, and cache folders of its own.

The processes of a session (the workers of ``-n auto``, and commands that tests start) share what XLA has compiled in a
temporary folder. Aesara's C code has a folder for each worker, because in a shared one all wait while one compiles.

Both compilers optimize less than for users, which takes g++ half and XLA a quarter of the time, unless ``AESARA_FLAGS``
set ``gcc__cxxflags`` and ``XLA_FLAGS`` set ``xla_backend_optimization_level``. Tests of thousands of steps have XLA's
full optimization (`conftest.fully_optimized`), and on Python 3.10 .ci/run tests the code that users get.
"""

import os
import re
import tempfile
from pathlib import Path

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")

flags = os.environ.get("AESARA_FLAGS", "")
added = ["on_opt_error=raise"]  # a rewrite that fails is an error instead of a slower graph
if "gcc__cxxflags" not in flags:
    added.append("gcc__cxxflags=-O1")
folder = Path(re.findall("base_compiledir=([^,]*)", f"base_compiledir=~/.aesara,{flags}")[-1]).expanduser()
if folder.name != WORKER:  # else it is a process that a test started
    added.append(f"base_compiledir={folder / WORKER}")
os.environ["AESARA_FLAGS"] = ",".join(filter(None, [flags, *added]))

if "xla_backend_optimization_level" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = " ".join([
        os.environ.get("XLA_FLAGS", ""), "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
    ])  # fmt: skip
os.environ["JAX_DEFAULT_MATMUL_PRECISION"] = "highest"  # on a GPU products are TF32 otherwise

os.environ["THEANO_RNN_CACHE"] = CACHE = tempfile.mkdtemp(prefix="theano_rnn_tests_")
if not WORKER:  # a worker has that of the process that started it
    os.environ["JAX_COMPILATION_CACHE_DIR"] = os.path.join(CACHE, "xla")
SHARED_CACHE = os.path.dirname(os.environ["JAX_COMPILATION_CACHE_DIR"])  # by all workers
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
