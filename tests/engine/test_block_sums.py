"""Blocks of rows that are added to zeros are put together, and looked-up rows are added to the result."""

import aesara.tensor as T
import numpy as np
import pytest

pytest.importorskip("jax")

from theano_rnn.engine import xla
from theano_rnn.engine.block_sums import BlockSum
from theano_rnn.engine.compiling import compile_function

ROWS, COLUMNS = 10, 3


@pytest.fixture
def joined(monkeypatch):
    """The bounds of the blocks that were put together."""
    found, join = [], xla.join_blocks

    def spy(graph):
        join(graph)
        found.extend(node.op.bounds for node in graph.apply_nodes if isinstance(node.op, BlockSum))

    monkeypatch.setattr(xla, "join_blocks", spy)
    return found


def added(total, blocks, values):
    for (start, stop), value in zip(blocks, values):
        total = T.inc_subtensor(total[start:stop], value)
    return total


def check(graph, symbols, arrays, exact):
    function = compile_function(symbols, [graph], [], name="sum", engine="jax", device="cpu")
    np.testing.assert_allclose(np.asarray(function(*arrays)[0]), exact, rtol=1e-6)


@pytest.mark.parametrize("blocks", [[(0, 4), (4, 10)], [(5, 9), (1, 3)], [(None, 4)], [(2, 3), (3, 4), (9, 10)]])
@pytest.mark.parametrize("first", ["rows", "blocks"])
def test_blocks_and_looked_up_rows(joined, blocks, first):
    rng = np.random.default_rng(0)
    ids, y = T.ivector("ids"), T.fmatrix("y")
    symbols = [T.fmatrix(f"block{i}") for i in range(len(blocks))]
    values = [rng.normal(size=(stop - (start or 0), COLUMNS)).astype("float32") for start, stop in blocks]
    numbers, rows = np.array([1, 7, 1, 9, 1], "int32"), rng.normal(size=(5, COLUMNS)).astype("float32")
    exact = np.zeros((ROWS, COLUMNS))
    np.add.at(exact, numbers, rows)
    for (start, stop), value in zip(blocks, values):
        exact[start:stop] += value
    zeros = T.zeros((ROWS, COLUMNS), dtype="float32")
    if first == "rows":
        graph = added(T.inc_subtensor(zeros[ids], y), blocks, symbols)
    else:
        graph = T.inc_subtensor(added(zeros, blocks, symbols)[ids], y)
    check(graph, [ids, y, *symbols], [numbers, rows, *values], exact)
    assert joined == [tuple(sorted((start or 0, stop) for start, stop in blocks))]


def test_a_block_may_be_repeated_and_end_beyond_the_last_row(joined):
    block, ids, y = T.fmatrix("block"), T.ivector("ids"), T.fmatrix("y")
    total = T.inc_subtensor(T.zeros((6, 2), dtype="float32")[ids], y)
    arrays = [np.full((1, 2), 3, "float32"), np.array([5, 5], "int32"), np.ones((2, 2), "float32")]
    check(added(total, [(2, 99)], [block]), [block, ids, y], arrays, [[0, 0]] * 2 + [[3, 3]] * 3 + [[5, 5]])
    assert joined == [((2, 99),)]


def test_what_is_something_else_stays(joined):
    """Blocks that overlap, a sum between that something else reads, an initial value that is not zero."""
    block, ids, y = T.fmatrix("block"), T.ivector("ids"), T.fmatrix("y")
    value, numbers, rows = np.ones((4, 2), "float32"), np.array([1, 1], "int32"), np.ones((2, 2), "float32")
    zeros = T.zeros((6, 2), dtype="float32")
    between = T.inc_subtensor(zeros[ids], y)
    for graph, exact in (
        (added(zeros, [(0, 4), (2, 6)], [block, block]), [1, 1, 2, 2, 1, 1]),
        (added(between, [(0, 4)], [block]) + 10 * between, [1, 23, 1, 1, 0, 0]),
        (added(T.inc_subtensor(T.ones((6, 2), dtype="float32")[ids], y), [(0, 4)], [block]), [2, 4, 2, 2, 1, 1]),
    ):
        symbols = [v for v in (block, ids, y) if v is block or "ids" in {i.name for i in ancestors_of(graph)}]
        arrays = [array for v, array in ((block, value), (ids, numbers), (y, rows)) if v in symbols]
        check(graph, symbols, arrays, np.repeat(np.array(exact, float)[:, None], 2, axis=1))
    assert not joined


def ancestors_of(graph):
    from aesara.graph.basic import ancestors

    return ancestors([graph])
