"""Gradients of looked-up rows, with repeated ids, equal the matrix that they stand for, on every engine."""

import aesara.tensor as T
import numpy as np
import pytest

from theano_rnn.engine.compiling import compile_function
from theano_rnn.learning.gradients import RowGradient, global_norm

NUM_ROWS, COLUMNS = 6, 2
ROWS = np.random.default_rng(0).normal(size=(7, COLUMNS))
IDS = {"all different": [5, 0, 3, 1, 2, 4], "repeated": [1, 2, 1, 1, 5, 2, 0], "one": [4], "the same": [3, 3, 3]}


def dense(rows, ids):
    matrix = np.zeros((NUM_ROWS, COLUMNS))
    for row, place in zip(rows, ids):
        matrix[place] += row
    return matrix


@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
def test_its_norm_and_matrix_are_those_of_the_rows_added_up(ids, engine):
    """Aesara's rewrite reads values that it has just written as if no index were repeated."""
    rows, symbols = ROWS[: len(ids)], (T.dmatrix("rows"), T.ivector("ids"))
    gradient = RowGradient(*symbols, NUM_ROWS)
    other = np.ones(3)
    outputs = [gradient.to_dense(), gradient.merge_repeated(), global_norm({"embedding": gradient,
                                                                 "b": T.as_tensor_variable(other)}),
               gradient.scale(T.constant(2.0)).to_dense()]  # fmt: skip
    matrix, merged, norm, doubled = compile_function(symbols, outputs, engine=engine)(rows, np.array(ids, "int32"))
    expected = dense(rows, ids)
    np.testing.assert_allclose(matrix, expected)
    np.testing.assert_allclose(doubled, 2 * expected)
    np.testing.assert_allclose(norm, np.sqrt((expected**2).sum() + 3))
    found = [row for row in merged if row.any()]
    np.testing.assert_allclose(sorted(map(tuple, found)), sorted(tuple(row) for row in expected if row.any()))
