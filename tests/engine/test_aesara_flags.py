"""The flags and variables set before Aesara's import; importing most of the package does not import Aesara."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

from theano_rnn.engine import aesara_flags
from theano_rnn.engine.aesara_flags import check_c_engine, prepare, scipy_blas_flags, set_threads
from theano_rnn.settings.base import UserError

ROOT = Path(__file__).parents[2]


class Version(NamedTuple):
    major: int
    minor: int
    micro: int = 0


@pytest.fixture
def aesara_not_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "aesara", raising=False)


def test_scipys_blas_is_found():
    flags = scipy_blas_flags()
    folder, name = re.match(r"-L(\S+) (?:-l:)?(\S+)", flags).groups()
    assert (Path(folder) / name).is_file()


def test_aesara_links_scipys_blas():
    """Without a fast BLAS, matrix products are several times slower, without any warning."""
    import aesara

    if "blas__ldflags" in re.sub(re.escape(scipy_blas_flags()), "", os.environ["AESARA_FLAGS"]).replace(
        "blas__ldflags=''", ""
    ):
        pytest.skip("the user's own AESARA_FLAGS name a BLAS")
    assert aesara.config.blas__ldflags == scipy_blas_flags() != ""


@pytest.mark.parametrize("spec", [None, SimpleNamespace(submodule_search_locations=None)])
def test_without_scipy_nothing_is_linked(spec, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert scipy_blas_flags() == ""


def test_a_scipy_without_blas_is_passed_over(monkeypatch, tmp_path):
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path / "scipy")])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert scipy_blas_flags() == ""


def test_prepare_sets_the_blas(aesara_not_imported, monkeypatch):
    monkeypatch.delenv("AESARA_FLAGS", raising=False)
    prepare()
    assert os.environ["AESARA_FLAGS"] == f"blas__ldflags={shlex.quote(scipy_blas_flags())}"


def test_prepare_keeps_the_users_other_flags(aesara_not_imported, monkeypatch):
    monkeypatch.setenv("AESARA_FLAGS", "floatX=float32,cxx=clang++")
    prepare()
    assert os.environ["AESARA_FLAGS"].startswith("blas__ldflags=")
    assert os.environ["AESARA_FLAGS"].endswith(",floatX=float32,cxx=clang++")


@pytest.mark.parametrize("flags", ["blas__ldflags=-lblas", "floatX=float32,blas__ldflags="])
def test_the_users_own_blas_wins(flags, aesara_not_imported, monkeypatch):
    monkeypatch.setenv("AESARA_FLAGS", flags)
    prepare()
    assert os.environ["AESARA_FLAGS"] == flags


def test_prepare_twice_is_prepare_once(aesara_not_imported, monkeypatch):
    monkeypatch.delenv("AESARA_FLAGS", raising=False)
    prepare()
    once = os.environ["AESARA_FLAGS"]
    prepare()
    assert os.environ["AESARA_FLAGS"] == once


def test_prepare_does_nothing_once_aesara_is_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "aesara", SimpleNamespace())
    monkeypatch.delenv("AESARA_FLAGS", raising=False)
    prepare()
    assert "AESARA_FLAGS" not in os.environ


THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def test_threads_are_set_for_every_blas(monkeypatch):
    for name in THREADS:
        monkeypatch.setenv(name, "9")  # remembered, so that it is put back
    monkeypatch.setattr(aesara_flags, "sys", SimpleNamespace(modules={}))
    set_threads(3)
    assert {os.environ[name] for name in THREADS} == {"3"}


def test_threads_cannot_be_set_once_numpy_is_imported():
    before = dict(os.environ)
    with pytest.raises(RuntimeError, match="set_threads must be called before numpy is imported"):
        set_threads(1)
    assert dict(os.environ) == before


AVX512 = "avx512f avx512bw avx512dq avx512vl avx512cd"


@pytest.mark.parametrize(
    ("flags", "modules", "given", "expected"),
    [
        (f"fpu avx2 fma {AVX512}", {}, None, "SkylakeX"),
        ("fpu avx2 fma avx512f", {}, None, "Haswell"),
        ("fpu avx avx2", {}, None, None),
        (f"avx2 fma {AVX512}", {}, "Zen", "Zen"),
        (f"avx2 fma {AVX512}", {"numpy": None}, None, None),
    ],
)
def test_openblas_gets_the_kernels_that_the_processor_can_run(flags, modules, given, expected, monkeypatch, tmp_path):
    """NumPy 1's OpenBLAS uses kernels from 2004 on a processor that it does not know; the user's choice wins."""
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: {flags}\nprocessor : 1\nflags\t\t: fpu\n")
    instructions = aesara_flags.x86_instructions(str(tmp_path / "cpuinfo"))
    assert instructions >= set(flags.split())
    monkeypatch.setattr(aesara_flags, "x86_instructions", lambda: instructions)
    monkeypatch.setattr(aesara_flags, "sys", SimpleNamespace(modules=modules))
    monkeypatch.setattr(os, "environ", {} if given is None else {"OPENBLAS_CORETYPE": given})
    aesara_flags.choose_blas_kernels()
    assert os.environ.get("OPENBLAS_CORETYPE") == expected


def test_instructions_that_cannot_be_read_are_none():
    assert aesara_flags.x86_instructions("/no/such/file") == set()


@pytest.mark.parametrize("version", [Version(3, 12), Version(3, 13, 1), Version(4, 0)])
def test_a_python_too_new_is_refused_in_one_line(version, monkeypatch):
    monkeypatch.setattr(aesara_flags, "sys", SimpleNamespace(version_info=version))
    with pytest.raises(UserError, match=rf"needs Python 3\.10 or 3\.11 .*{version.major}\.{version.minor}\)") as caught:
        check_c_engine()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_one_compiler_is_enough(compiler, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name == compiler else None)
    monkeypatch.setattr(aesara_flags, "sys", SimpleNamespace(version_info=Version(3, 11)))
    check_c_engine()


def test_no_compiler_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(aesara_flags, "sys", SimpleNamespace(version_info=Version(3, 11)))
    with pytest.raises(UserError, match=r"no C\+\+ compiler found; install g\+\+") as caught:
        check_c_engine()
    assert "\n" not in str(caught.value)


LIGHT = (
    "theano_rnn",
    "theano_rnn.settings.training",
    "theano_rnn.text.words",
    "theano_rnn.preprocessing",
    "theano_rnn.learning.batching",
    "theano_rnn.cli.main",
)


def test_importing_the_package_has_no_effects_and_imports_no_engine():
    """Importing Aesara takes a second and must come after its flags are set; a help text needs neither."""
    code = f"""
import importlib, json, os, random, sys
heavy = {{}}
before = (dict(os.environ), os.getcwd(), random.getstate())
for name in {LIGHT!r}:
    importlib.import_module(name)
    heavy[name] = [module for module in ("aesara", "jax", "torch", "matplotlib") if module in sys.modules]
after = (dict(os.environ), os.getcwd(), random.getstate())
changed = [key for key in after[0] if after[0][key] != before[0].get(key)]
print(json.dumps([heavy, changed, after[1:] == before[1:]]))
"""
    ours = ("AESARA_FLAGS", "OPENBLAS_CORETYPE", *THREADS)
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    heavy, changed, is_unchanged = json.loads(done.stdout)
    assert heavy == {name: [] for name in LIGHT}
    assert "AESARA_FLAGS" in changed
    assert set(changed) <= {"AESARA_FLAGS", "OPENBLAS_CORETYPE"}
    assert is_unchanged
