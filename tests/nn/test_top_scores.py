"""The largest scores of each row: in order, with equal scores from left to right, on both engines and by the kernel."""

import aesara.tensor as T
import numpy as np
import pytest
from conftest import ENGINES

from theano_rnn.engine import kernels
from theano_rnn.engine.compiling import compile_function
from theano_rnn.nn.top_scores import BLOCK, MIN_BLOCKS, likeliest, top_scores

pytestmark = pytest.mark.usefixtures("kernels_are_on")

LARGE = BLOCK * MIN_BLOCKS
WAYS = [*ENGINES, "kernel"]


def found(scores, count, engine):
    symbol = T.matrix("scores", dtype="float32")
    function = compile_function([symbol], list(top_scores(symbol, count)), [], name="top", engine=engine)
    return [np.asarray(each) for each in function(scores)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("columns", [3, 50, LARGE, LARGE + 5])
def test_they_are_the_first_of_a_stable_sort(engine, columns):
    """With few distinct values, most scores have equals; some rows are -inf but for a few columns."""
    rng = np.random.default_rng(0)
    for high in (2, 5, 1_000_000):
        scores = rng.integers(0, high, (6, columns)).astype("float32")
        scores[4:, rng.permutation(columns)[: columns - 4]] = -np.inf
        values, places = found(scores, 10, engine)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        assert places.dtype == np.int32 and np.array_equal(places, order)
        assert np.array_equal(values, np.take_along_axis(scores, order, axis=1))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("columns", [50, LARGE])
def test_scores_that_are_not_numbers_stay_visible(engine, columns):
    if engine == "c":
        pytest.skip("NumPy sorts nan last")
    scores = np.zeros((2, columns), "float32")
    scores[1, 7] = np.nan
    values, _ = found(scores, 3, engine)
    assert np.isfinite(values[0]).all() and np.isnan(values[1]).any()


def found_likeliest(way, count, *arrays):
    """The likeliest words, by an engine, or by engine jax with its kernel."""
    if way == "kernel" and (kernels.extension() is None or "jax" not in ENGINES):
        pytest.skip("there is no kernel here")
    symbols = [T.TensorType(array.dtype, (None,) * array.ndim)() for array in arrays]
    function = compile_function(
        symbols, list(likeliest(*symbols, count)), [], name="top", engine="jax" if way == "kernel" else way,
        device="cpu", kernels="auto" if way == "kernel" else "none",
    )  # fmt: skip
    return [np.asarray(each) for each in function(*arrays)]


def scores_of(rows, columns, high=1_000_000):
    """Scores, biases and banned columns; with a small `high`, most sums have equals."""
    rng = np.random.default_rng(0)
    scores, bias = rng.integers(0, high, (rows, columns)) / high * 9, rng.integers(0, high, columns) / high * 3
    banned = np.where(rng.random(columns) < 0.2, -np.inf, 0)
    return [array.astype("float32") for array in (scores, bias, banned)]


@pytest.fixture
def calls(monkeypatch):
    """The calls of the kernel that are traced."""
    if "jax" not in ENGINES:
        return []
    from theano_rnn.engine import likeliest as module

    made, run = [], module.run_likeliest
    monkeypatch.setattr(module, "run_likeliest", lambda *rest: (result := run(*rest), made.append(result))[0])
    return made


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("columns", [3, 8, 50, 1_000, LARGE + 5])
@pytest.mark.parametrize("rows", [1, 37])
def test_the_likeliest_are_the_first_of_a_stable_sort(way, columns, rows, calls):
    for high in (2, 5, 1_000_000):
        scores, bias, banned = scores_of(rows, columns, high)
        values, places = found_likeliest(way, 10, scores, bias, banned)
        sums = scores + bias + banned
        order = np.argsort(-sums, axis=1, kind="stable")[:, :10]
        assert places.dtype == np.int32 and np.array_equal(places, order)
        normalizer = np.log(np.exp(scores.astype("float64") + bias).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(values, np.take_along_axis(sums, order, 1) - normalizer, atol=4e-6)
    assert [each is not None for each in calls] == [True] * len(calls) and bool(calls) == (way == "kernel")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("place", [0, 7, 999])
def test_what_is_not_a_number_makes_its_row_so(way, place):
    scores, bias, banned = scores_of(3, 1_000)
    scores[1, place] = np.nan
    values, places = found_likeliest(way, 5, scores, bias, banned)
    assert np.isfinite(values[[0, 2]]).all() and np.isnan(values[1]).all()
    assert (places >= 0).all() and (places < 1_000).all()


@pytest.mark.parametrize("way", WAYS)
def test_scores_of_any_size_have_a_normalizer(way):
    scores, bias, banned = scores_of(2, 300)
    for shift in (-1e6, -300, 300, 1e6):
        values, _ = found_likeliest(way, 3, scores + np.float32(shift), bias, banned)
        assert (values <= 0).all() and (values > -8).all()


def test_a_row_has_the_same_numbers_whatever_else_is_computed():
    scores, bias, banned = scores_of(64, 4_001)
    together = found_likeliest("kernel", 10, scores, bias, banned)
    for rows in (slice(3, 4), slice(5, 14), slice(30, 63)):
        for one, other in zip(found_likeliest("kernel", 10, scores[rows], bias, banned), together):
            np.testing.assert_array_equal(one, other[rows])


def test_the_kernel_leaves_other_dtypes_to_xla(calls):
    arrays = [array.astype("float64") for array in scores_of(3, 50)]
    values, places = found_likeliest("kernel", 4, *arrays)
    assert values.dtype == np.float64 and calls == [None]
    np.testing.assert_array_equal(places, found_likeliest("c" if "c" in ENGINES else "jax", 4, *arrays)[1])
