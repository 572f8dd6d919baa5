"""Products by the kernel, and windows with products of bfloat16 numbers, compared with those of XLA.

Each set of instructions that this processor has is tried in a process of its own, because the kernels choose once.
"""

import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import aesara.tensor as T
import numpy as np
import pytest

pytest.importorskip("jax")

import jax

from theano_rnn.engine import kernels, precision, products
from theano_rnn.engine.compiling import compile_function

instructions = getattr(kernels.extension(), "instructions", "")
has_unit = bool(instructions) and bool(kernels.extension().bfloat16_unit())
needs_unit = pytest.mark.skipif(not has_unit, reason="this processor has no instructions for bfloat16, or no kernel")
needs_avx512 = pytest.mark.skipif(instructions != "avx512", reason="this processor has no AVX-512, or no kernel")
pytestmark = [
    pytest.mark.skipif(not instructions, reason="there are no kernels here"),
    pytest.mark.usefixtures("kernels_are_on"),
]

TRANSPOSED = [(False, False), (True, False), (False, True), (True, True)]

# Tiles are of 16 rows and 32 x 16 numbers; 20 tiles stay in the cache; rows are taken 32 at a time
SHAPES = [(1, 700, 100), (16, 32, 128), (17, 65, 61), (33, 641, 66), (70, 1_300, 33), (200, 33, 1_000)]
PRECISIONS = ["bfloat16", "bfloat16x3"]
# In float32, rows are taken 48 at a time and 384 of the right factor; the last columns are fewer than 32
WIDE = [(64, 5, 2_000), (64, 384, 2_001), (97, 385, 2_047), (200, 1_000, 2_016)]


def product(x, y, name, transposed=(False, False), by_kernel=True):
    """x y for arrays that are given as they are or transposed."""

    def function(x, y):
        with precision.products_in(name, "cpu", by_kernel):
            x, y = (a.T if is_transposed else a for a, is_transposed in zip((x, y), transposed))
            return precision.dot(x, y, transposed)

    return np.asarray(jax.jit(function)(x, y))


def factors(rows, inner, columns, transposed=(False, False), seed=0):
    rng = np.random.default_rng(seed)
    arrays = (rng.normal(size=shape).astype("float32") for shape in ((rows, inner), (inner, columns)))
    return [np.ascontiguousarray(a.T) if is_transposed else a for a, is_transposed in zip(arrays, transposed)]


@pytest.fixture
def num_calls(monkeypatch):
    """How many products were calls of the kernel."""
    found, run = [], products.run_product

    def spy(*arguments):
        result = run(*arguments)
        found.extend([] if result is None else [result])
        return result

    monkeypatch.setattr(precision, "run_product", spy)
    return lambda: len(found)


@needs_avx512
@pytest.mark.parametrize("transposed", TRANSPOSED)
@pytest.mark.parametrize("shape", WIDE)
def test_float32_with_many_columns(shape, transposed, num_calls):
    x, y = factors(*shape, transposed)
    ours = product(x, y, "auto", transposed)
    assert num_calls() == 1
    exact = np.matmul(*(a.astype("float64").T if t else a.astype("float64") for a, t in zip((x, y), transposed)))
    np.testing.assert_allclose(ours, exact, atol=5e-6 * np.abs(exact).max())


def test_other_float32_products_are_left_to_xla(num_calls):
    for shape in ((63, 20, 3_000), (100, 20, 1_999)):
        product(*factors(*shape), "float32")
    assert num_calls() == 0


@needs_unit
@pytest.mark.parametrize("transposed", TRANSPOSED)
@pytest.mark.parametrize("name", PRECISIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_any_shape(shape, name, transposed, num_calls):
    x, y = factors(*shape, transposed)
    ours = product(x, y, name, transposed)
    assert num_calls() == 1
    expected = product(x, y, name, transposed, by_kernel=False)
    assert num_calls() == 1
    np.testing.assert_allclose(ours, expected, atol=1e-5 * np.abs(expected).max())


@needs_unit
def test_three_terms_are_almost_float32():
    x, y = factors(100, 300, 200)
    exact = x.astype("float64") @ y
    errors = [np.abs(product(x, y, name) - exact).max() / np.abs(exact).max() for name in PRECISIONS]
    assert errors[1] < 1e-5 < 5e-4 < errors[0] < 1e-2


@needs_unit
@pytest.mark.parametrize("name", PRECISIONS)
def test_what_is_not_a_number_stays_in_its_row(name):
    x, y = factors(40, 64, 50)
    x[3, 5], x[20, 0] = np.nan, np.inf
    assert np.array_equal(np.isfinite(product(x, y, name)).all(axis=1), ~np.isin(np.arange(40), [3, 20]))


@needs_unit
def test_small_products_and_other_types_are_left_to_xla(num_calls):
    product(*factors(4, 5, 6), "bfloat16")
    product(*(a.astype("float16") for a in factors(40, 64, 50)), "bfloat16")
    product(*factors(40, 64, 50), "tensorfloat32")
    assert num_calls() == 0


@needs_unit
def test_a_transposed_matrix_of_a_graph_is_not_copied(num_calls):
    x, y = T.fmatrix("x"), T.fmatrix("y")
    arrays = factors(40, 64, 50, (True, True))
    function = functools.partial(compile_function, [x, y], [T.dot(x.T, y.T)], engine="jax", device="cpu")
    ours, exact = (function(precision=name)(*arrays)[0] for name in ("bfloat16x3", "float32"))
    assert num_calls() == 1
    np.testing.assert_allclose(ours, exact, atol=1e-3)
    text = jax.jit(product_of_transposes).lower(*arrays).compile().as_text()
    assert " custom-call(" in text
    assert not {" transpose(", " copy(", " fusion("} & set(re.findall(r" [\w-]+\(", text))


def product_of_transposes(x, y):
    with precision.products_in("bfloat16", "cpu", True):
        return precision.dot(x.T, y.T, (True, True))


@functools.cache
def window_errors(cell, size, name):
    """The largest relative differences of a window's results with kernels and without."""
    from engine.test_windows import window

    ours, scan = (window(cell, size, which=which, precision=name) for which in ("auto", "none"))
    return {key: np.abs(ours[key] - scan[key]).max() / np.abs(scan[key]).max() for key in scan}


@needs_unit
@pytest.mark.slow
@pytest.mark.parametrize("name", PRECISIONS)
@pytest.mark.parametrize("size", [37, 64])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_window_has_the_numbers_of_the_scan(cell, size, name):
    assert all(error < 2e-5 for error in window_errors(cell, size, name).values())


@pytest.mark.slow
@pytest.mark.skipif("THEANO_RNN_KERNELS" in os.environ, reason="this is one of the processes that the test starts")
@pytest.mark.parametrize(
    ("most", "module", "chosen"),
    [
        ("avx2", "test_windows.py", "as_exact"),
        pytest.param("avx512", "test_windows.py", "as_exact", marks=needs_avx512),
        pytest.param("avx512_bf16", "test_products.py", "shape or window", marks=needs_unit),
    ],
)
def test_every_set_of_instructions(most, module, chosen):
    environment = os.environ | {"THEANO_RNN_KERNELS": most}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "", "-p", "no:cacheprovider", "-k", chosen]
    command.append(str(Path(__file__).with_name(module)))
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-2_000:]
    assert " passed" in result.stdout
