"""The largest scores of each row: in order, with equal scores from left to right, on both engines."""

import aesara.tensor as T
import numpy as np
import pytest
from conftest import ENGINES

from theano_rnn.engine.compiling import compile_function
from theano_rnn.nn.top_scores import BLOCK, MIN_BLOCKS, top_scores

LARGE = BLOCK * MIN_BLOCKS


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
