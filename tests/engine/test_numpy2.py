"""NumPy 1 names that Aesara needs from NumPy 2."""

import importlib.metadata
import subprocess
import sys

import numpy as np
import pytest

from theano_rnn.engine import numpy2

IS_NEW = np.lib.NumpyVersion(np.__version__) >= "2.0.0"


@pytest.mark.parametrize(("version", "expected"), [("1.26.4", False), ("2.0.0", True), ("10.1", True), ("?", False)])
def test_the_version_is_read_without_importing_numpy(version, expected, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    assert numpy2.is_numpy_2() is expected


def test_without_numpy_nothing_is_new(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert numpy2.is_numpy_2() is False


@pytest.mark.skipif(not IS_NEW, reason="this NumPy has the names itself")
def test_supplied_names_do_what_numpy_1_did():
    numpy2.add_removed_names()
    assert np.obj2sctype(np.dtype("float32")) is np.float32
    assert np.sctype2char(np.float64) == "d"
    assert np.cast["int32"](1.7) == 1
    assert issubclass(np.AxisError, IndexError)
    assert issubclass(np.ComplexWarning, Warning)


@pytest.mark.skipif(IS_NEW, reason="NumPy 2 lacks the names")
def test_names_that_are_there_stay_as_they_are():
    before = {name: getattr(np, name, None) for name in ("cast", "obj2sctype", "AxisError", "MAXDIMS")}
    numpy2.add_removed_names()
    assert {name: getattr(np, name, None) for name in before} == before


def test_a_cast_is_a_function_for_every_dtype():
    cast = numpy2.Cast()
    assert cast["float32"]([1, 2]).dtype == np.float32
    assert cast["int8"](3.9) == 3


def test_names_are_supplied_when_aesara_is_looked_for_and_not_before():
    code = """
import sys
from theano_rnn.engine import numpy2
calls = []
numpy2.add_removed_names = lambda: calls.append("numpy" in sys.modules)
numpy2.prepare()
numpy2.prepare()
import json
assert not calls and "numpy" not in sys.modules
import importlib.util
importlib.util.find_spec("aesara")
assert calls == [False], calls
importlib.util.find_spec("aesara")
assert len(calls) == 1 and not any(isinstance(f, numpy2.AesaraImportHook) for f in sys.meta_path)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
