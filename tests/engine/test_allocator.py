"""Freed memory stays with the process: allocating a large array repeatedly causes page faults only once."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from theano_rnn.engine.allocator import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()

def make():
    np.ones(1 << 24)  # 128 MiB: 32768 pages, fewer where the system's are larger

make()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    make()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    run = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_pages_are_touched_for_the_first_time_only_once():
    assert page_faults("keep") < page_faults("as it is") / 10


def test_other_systems_are_left_alone(monkeypatch):
    from theano_rnn.engine import allocator

    monkeypatch.setattr(sys, "platform", "darwin")
    assert not allocator.keep_freed_memory()
