"""A release has one version, in every file that names it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from theano_rnn import __version__

ROOT = Path(__file__).parents[1]


def found(pattern, file):
    return re.search(pattern, (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE).groups()


def test_the_changelog_and_the_citation_name_the_same_version_and_date():
    version, date = found(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", "CHANGELOG.md")
    assert version == __version__
    assert found(r"^version: (.*)$", "CITATION.cff") == (version,)
    assert found(r"^date-released: (.*)$", "CITATION.cff") == (date,)


def test_the_security_policy_supports_this_version():
    major, minor, _ = __version__.split(".")
    assert found(r"^\| (.*) \| yes \|$", "SECURITY.md") == (f"{major}.{minor}.x",)


def test_the_lock_file_pins_every_package_and_holds_no_address():
    text = (ROOT / "requirements-lock.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    names = {line.split("==")[0] for line in lines}
    assert {"aesara", "jax", "numpy", "fastapi", "onnx", "matplotlib", "tensorboard", "pytest"} <= names


def test_the_package_is_built_without_a_compiler(tmp_path):
    """The kernels are then missing, and that is a warning."""
    pytest.importorskip("setuptools")
    compilers = {"CC": "/no/compiler", "CXX": "/no/compiler"}
    folders = ["--build-lib", str(tmp_path / "lib"), "--build-temp", str(tmp_path / "temp")]
    line = [sys.executable, "setup.py", "build_ext", *folders]
    done = subprocess.run(line, cwd=ROOT, env=os.environ | compilers, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'building extension "theano_rnn.engine._window" failed' in done.stdout + done.stderr
    assert not list(tmp_path.rglob("_window*"))
