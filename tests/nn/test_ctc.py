"""CTC against PyTorch and against the sum over all paths; what may not have any effect; what cannot be aligned."""

import functools
import itertools

import aesara
import aesara.tensor as T
import numpy as np
import pytest
from aesara.compile.mode import Mode
from conftest import ENGINES

from theano_rnn.engine.compiling import compile_function
from theano_rnn.model import gradients
from theano_rnn.nn.ctc import ctc_losses, finite_losses, mean_per_label

SYMBOLS = 5  # with the blank
COLUMNS = [  # time steps, labels
    (9, [1, 2, 3]),
    (9, [2, 2, 4, 4]),  # repetitions
    (6, [3]),
    (5, []),  # only blanks
    (3, [1, 2, 3, 4]),  # too short
    (2, [1, 1]),  # too short for the blank between
    (3, [1, 1]),  # just long enough
    (4, [4, 3, 2, 1]),  # one path only
    (0, []),  # an empty column of a batch
    (0, [2]),
]
INFEASIBLE = [4, 5, 9]
engines = pytest.mark.parametrize("engine", ENGINES)


@functools.cache
def compiled(engine, dtype):
    """(scores, mask, labels, weights) -> [losses, the gradient of their weighted sum with respect to the scores]"""
    scores, mask, weights = T.tensor3("scores", dtype=dtype), T.matrix("mask", dtype=dtype), T.vector(dtype=dtype)
    labels = T.imatrix("labels")
    flat = scores.reshape((scores.shape[0] * scores.shape[1], scores.shape[2]))
    losses = ctc_losses(T.special.log_softmax(flat, axis=-1).reshape(scores.shape), mask, labels)
    finite, is_finite = finite_losses(losses)
    total = T.sum(finite * weights, dtype=dtype, acc_dtype=dtype)
    slope = gradients(total, {"scores": scores})["scores"]
    return compile_function([scores, mask, labels, weights], [losses, slope, is_finite], engine=engine)


def batch(columns=COLUMNS, *, dtype="float64", time=None, places=None, seed=0, scale=2.0):
    """Random scores (time, batch, symbols), the mask and the padded labels of columns."""
    time = time or max(length for length, _ in columns)
    places = places or max(len(labels) for _, labels in columns)
    scores = np.random.default_rng(seed).normal(0, scale, (time, len(columns), SYMBOLS)).astype(dtype)
    mask = (np.arange(time)[:, None] < [length for length, _ in columns]).astype(dtype)
    padded = np.array([labels + [0] * (places - len(labels)) for _, labels in columns], "int32").T
    return scores, mask, padded.reshape(places, len(columns))


def ours(engine, scores, mask, labels, weights=None):
    dtype = str(scores.dtype)
    weights = np.ones(mask.shape[1], dtype) if weights is None else weights.astype(dtype)
    return [np.asarray(value) for value in compiled(engine, dtype)(scores, mask, labels, weights)]


def log_softmax(scores):
    return scores - np.log(np.exp(scores - scores.max(-1, keepdims=True)).sum(-1, keepdims=True)) - scores.max(
        -1, keepdims=True
    )


def theirs(scores, columns, weights):
    """PyTorch's losses, and the gradient of the weighted sum of those that are finite."""
    torch = pytest.importorskip("torch")
    given = torch.tensor(scores.astype("float64"), requires_grad=True)
    losses = torch.nn.functional.ctc_loss(
        given.log_softmax(-1), torch.tensor([label for _, labels in columns for label in labels]),
        torch.tensor([length for length, _ in columns]), torch.tensor([len(labels) for _, labels in columns]),
        reduction="none",
    )  # fmt: skip
    kept = [i for i in range(len(columns)) if i not in INFEASIBLE]
    (losses[kept] * torch.tensor(weights[kept])).sum().backward()
    slopes = given.grad.numpy()
    slopes[:, INFEASIBLE] = 0  # PyTorch's are nan
    return losses.detach().numpy(), slopes


@pytest.mark.slow
@engines
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-4)])
def test_pytorch_gives_the_same_losses_and_gradients(engine, dtype, tolerance):
    weights = np.random.default_rng(1).uniform(0.5, 2, len(COLUMNS))
    scores, mask, labels = batch(dtype=dtype)
    losses, slopes, is_finite = ours(engine, scores, mask, labels, weights)
    expected, expected_slopes = theirs(scores, COLUMNS, weights)
    assert np.flatnonzero(np.isinf(losses)).tolist() == np.flatnonzero(np.isinf(expected)).tolist() == INFEASIBLE
    np.testing.assert_array_equal(is_finite, np.isfinite(expected))
    finite = is_finite > 0
    np.testing.assert_allclose(losses[finite], expected[finite], atol=tolerance, rtol=0)
    np.testing.assert_allclose(slopes, expected_slopes, atol=tolerance, rtol=0)
    assert losses.dtype == slopes.dtype == dtype


def spelled(path):
    """The labels that a path spells: repetitions merged, blanks removed."""
    return [symbol for symbol, _ in itertools.groupby(path) if symbol]


@pytest.mark.slow
@pytest.mark.parametrize("length", [1, 2, 4])
def test_losses_are_those_of_the_sum_over_all_paths(length):
    targets = [[], [1], [2, 2], [1, 2], [3, 1, 3], [4, 4, 4]]
    scores, mask, labels = batch([(length, target) for target in targets], seed=3)
    p = np.exp(log_softmax(scores))
    found = ours(ENGINES[-1], scores, mask, labels)[0]
    for column, target in enumerate(targets):
        paths = [path for path in itertools.product(range(SYMBOLS), repeat=length) if spelled(path) == target]
        total = sum(np.prod([p[t, column, symbol] for t, symbol in enumerate(path)]) for path in paths)
        expected = -np.log(total) if total else np.inf
        np.testing.assert_allclose(found[column], expected, rtol=1e-12)


@pytest.mark.slow
def test_probabilities_of_all_label_sequences_sum_to_one():
    length = 3
    every = [list(each) for n in range(length + 1) for each in itertools.product(range(1, SYMBOLS), repeat=n)]
    scores, mask, labels = batch([(length, each) for each in every], seed=4)
    scores[:] = scores[:, :1]
    np.testing.assert_allclose(np.exp(-ours(ENGINES[-1], scores, mask, labels)[0]).sum(), 1, rtol=1e-12)


@engines
def test_padding_and_impossible_columns_have_a_gradient_of_exactly_zero(engine):
    scores, mask, labels = batch(dtype="float32", scale=20.0)
    _, slopes, _ = ours(engine, scores, mask, labels)
    assert np.isfinite(slopes).all()
    assert not slopes[mask == 0].any()
    assert not slopes[:, INFEASIBLE].any()
    assert all(slopes[: COLUMNS[i][0], i].any() for i in (0, 1, 2, 3, 6, 7))


def test_padding_has_no_effect():
    scores, mask, labels = batch()
    losses, slopes, _ = ours(ENGINES[-1], scores, mask, labels)
    more = np.concatenate([scores, np.full((4, *scores.shape[1:]), 99.0)])
    more[: len(scores)][mask == 0] = -50.0
    mask = np.concatenate([mask, np.zeros((4, mask.shape[1]))])
    labels = np.concatenate([labels, np.zeros((3, labels.shape[1]), "int32")])
    padded, padded_slopes, _ = ours(ENGINES[-1], more, mask, labels)
    np.testing.assert_allclose(padded, losses, rtol=1e-12)
    np.testing.assert_allclose(padded_slopes[: len(slopes)], slopes, atol=1e-12)


def test_a_column_does_not_depend_on_the_others():
    scores, mask, labels = batch()
    together = ours(ENGINES[-1], scores, mask, labels)[0]
    for column in range(len(COLUMNS)):
        alone = ours(ENGINES[-1], *(array[:, column : column + 1] for array in (scores, mask, labels)))[0]
        np.testing.assert_allclose(alone, together[column : column + 1], rtol=1e-12)


def test_a_certain_network_has_a_loss_of_zero_and_not_less():
    path = [0, 1, 1, 0, 2, 3, 0, 3]
    scores, mask, labels = batch([(len(path), spelled(path))], dtype="float32")
    scores[:] = -100 + 200 * np.eye(SYMBOLS, dtype="float32")[path][:, None]
    losses, slopes, _ = ours(ENGINES[-1], scores, mask, labels)
    assert losses.tolist() == [0] and not np.signbit(losses).any()
    assert np.isfinite(slopes).all()


@pytest.mark.slow
def test_a_long_sequence_stays_finite_in_float32():
    target = [1, 2, 3, 4] * 30
    scores, mask, labels = batch([(1_000, target)], dtype="float32", scale=10.0)
    losses, slopes, _ = ours(ENGINES[-1], scores, mask, labels)
    expected = ours(ENGINES[-1], scores.astype("float64"), mask.astype("float64"), labels)
    np.testing.assert_allclose(losses, expected[0], rtol=1e-5)
    np.testing.assert_allclose(slopes, expected[1], atol=5e-3)


def test_the_mean_per_label_leaves_out_what_cannot_be_aligned_and_empty_columns():
    losses, mask, labels = T.dvector(), T.dmatrix(), T.imatrix()
    mean = compile_function([losses, mask, labels], [mean_per_label(losses, mask, labels)], engine=ENGINES[-1])
    real, padded = [[1.0] * 5 + [0.0]] * 2, np.array([[1, 1, 0, 2, 3, 0], [1, 0, 0, 2, 0, 0]], "int32")
    values = np.array([3.0, 4.0, 0.5, np.inf, 2.0, 0.0])
    found = mean(values, np.array(real), padded)[0]
    np.testing.assert_allclose(found, (3.0 + 4.0 + 0.5 + 2.0) / (2 + 1 + 1 + 1))
    assert mean(np.full(6, np.inf), np.array(real), padded)[0] == 0


def test_the_mean_per_label_is_the_same_in_aesaras_fused_python_code():
    """There ``T.invert`` of a boolean is -1 or -2, which made the mean minus the sum."""
    arrays = T.dvector(), T.dmatrix(), T.imatrix()
    with aesara.config.change_flags(cxx=""):
        mean = aesara.function(arrays, mean_per_label(*arrays), mode=Mode("py", "fast_run"))
    found = mean([3.0, 5.0], np.ones((2, 2)), np.array([[1, 2], [3, 0]], "int32"))
    np.testing.assert_allclose(found, (3.0 + 5.0) / (2 + 1))


def test_finite_differences_give_the_same_gradient():
    scores, mask, labels = batch([(4, [1, 1]), (3, [2])], seed=5)
    _, slopes, _ = ours(ENGINES[-1], scores, mask, labels)
    for index in itertools.product(range(4), range(2), range(SYMBOLS)):
        values = []
        for sign in (1, -1):
            moved = scores.copy()
            moved[index] += sign * 1e-5
            values.append(ours(ENGINES[-1], moved, mask, labels)[0].sum())
        np.testing.assert_allclose((values[0] - values[1]) / 2e-5, slopes[index], atol=1e-8)
