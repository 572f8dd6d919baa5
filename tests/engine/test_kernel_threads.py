"""Kernels that divide a sum among threads give the same bits with one thread as with all.

XLA counts the cores of a process when it starts, so each number of threads is a process of its own.
"""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("jax")

from theano_rnn.engine import kernels

PROGRAM = """
import hashlib, json, os, sys
os.sched_setaffinity(0, json.loads(sys.argv[1]))
import jax
import numpy as np
from theano_rnn.engine import kernels, likeliest, precision, softmax, squares

rng = np.random.default_rng(0)
scores, bias = rng.normal(0, 3, (203, 1_900)).astype("float32"), rng.normal(0, 1, 1_900).astype("float32")
targets, a = rng.integers(1_900, size=203, dtype="int32"), rng.random(203).astype("float32")
nll, log_normalizer = jax.jit(softmax.run_forward)(scores, bias, targets)
results = {"forward": [nll, log_normalizer]}
results["backward"] = jax.jit(softmax.run_backward)(scores, bias, targets, log_normalizer, a, a)
results["likeliest"] = jax.jit(lambda *arrays: likeliest.run_likeliest(*arrays, 10))(scores, bias, 0 * bias)
results["squares"] = [jax.jit(squares.sum_of_squares)(x := scores.ravel(), x)]
def product(x, y, name):
    with precision.products_in(name, "cpu", True):
        return precision.dot(x, y)

if kernels.extension().bfloat16_unit():
    for name in ("bfloat16", "bfloat16x3"):
        results[name] = [jax.jit(lambda x, y: product(x, y, name))(scores, scores.reshape(1_900, 203))]
sums = {name: hashlib.sha256(b"".join(np.asarray(x).tobytes() for x in arrays)).hexdigest()
        for name, arrays in results.items()}
print(json.dumps(sums))
"""


@pytest.mark.slow
@pytest.mark.usefixtures("kernels_are_on")
@pytest.mark.skipif(kernels.extension() is None, reason="there is no kernel here")
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the cores of a process cannot be chosen here")
def test_one_thread_and_all_give_the_same_bits():
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("there is one core")
    one, several = (
        json.loads(subprocess.run([sys.executable, "-c", PROGRAM, json.dumps(chosen)], check=True,
                                  capture_output=True, text=True).stdout)
        for chosen in (cores[:1], cores)
    )  # fmt: skip
    assert one == several
