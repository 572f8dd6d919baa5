"""The softmax cross-entropy in C, in Python and by its kernels, compared with NumPy in double precision."""

import functools

import aesara
import aesara.tensor as T
import numpy as np
import pytest
from aesara.gradient import verify_grad
from conftest import ENGINES

from theano_rnn.engine import kernels
from theano_rnn.engine.compiling import compile_function
from theano_rnn.nn import losses
from theano_rnn.nn.losses import SoftmaxCrossEntropy, SoftmaxCrossEntropyGrad, cross_entropy, masked_mean

pytestmark = pytest.mark.usefixtures("kernels_are_on")

# The C code runs 16 columns at a time: fewer, exactly that, one more, several times and a rest. The kernels run 8 or 32
# at a time, and sum over rows for 1,024.
COLUMNS = [1, 7, 16, 17, 100, 1_030]
ROWS = 5
WAYS = ["c", "python", "kernel"]


def graph(dtype):
    scores, bias, targets = T.matrix("scores", dtype), T.vector("bias", dtype), T.ivector("targets")
    nll, log_normalizer = SoftmaxCrossEntropy()(scores, bias, targets)
    weights = T.vector("weights", dtype)  # of the two outputs' gradients
    slopes = T.grad(T.dot(weights[:-1], nll) + weights[-1] * T.sum(log_normalizer), [scores, bias])
    return [scores, bias, targets, weights], [nll, log_normalizer, *slopes]


@functools.cache
def compiled(engine, dtype):
    """Compile (scores, bias, targets, weights) -> [nll, log_normalizer, d_scores, d_bias], in one of `WAYS`."""
    if engine == "kernel":
        if kernels.extension() is None or "jax" not in ENGINES:
            pytest.skip("there is no kernel here")
        if dtype != "float32":
            pytest.skip("the kernels are for float32")
        function = compile_function(*graph(dtype), [], name="cross_entropy", engine="jax", device="cpu")
        return lambda *arrays: [np.array(each) for each in function(*arrays)]
    if engine == "c":
        if "c" not in ENGINES:
            pytest.skip("engine c cannot run here")
        return compile_function(*graph(dtype), name="cross_entropy")
    with aesara.config.change_flags(mode="FAST_COMPILE", cxx=""):
        return aesara.function(*graph(dtype))


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture(params=WAYS)
def function(request, dtype):
    return compiled(request.param, dtype)


@pytest.fixture(params=["c", "python"])
def checking_function(request, dtype):
    """One that refuses targets that are no columns."""
    return compiled(request.param, dtype)


@pytest.fixture
def in_c(dtype):
    return compiled("c", dtype)


def arguments(columns, dtype, *, scale=3.0, seed=0):
    rng = np.random.default_rng(seed)
    scores, bias = rng.normal(0, scale, (ROWS, columns)), rng.normal(0, 1, columns)
    targets = rng.integers(columns, size=ROWS, dtype="int32")
    weights = np.append(rng.uniform(0.1, 1, ROWS), 0.5)
    return scores.astype(dtype), bias.astype(dtype), targets, weights.astype(dtype)


def expected(scores, bias, targets, weights):
    """Returns the four results in double precision, by the equations in `theano_rnn.nn.losses`."""
    logits = scores.astype("float64") + bias.astype("float64")
    top = logits.max(axis=1, keepdims=True)
    log_normalizer = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    rows = np.arange(len(targets))
    nll = log_normalizer - logits[rows, targets]
    weights = weights.astype("float64")
    d_scores = (weights[:-1] + weights[-1])[:, None] * np.exp(logits - log_normalizer[:, None])
    d_scores[rows, targets] -= weights[:-1]
    return nll, log_normalizer, d_scores, d_scores.sum(axis=0)


def error_bound(scores, bias, dtype):
    """Returns a few roundings of the largest logit: both losses are sums and differences of logits and logarithms."""
    return 4 * np.finfo(dtype).eps * (1 + np.abs(scores).max() + np.abs(bias).max() + np.log(scores.shape[1]))


@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
@pytest.mark.parametrize("columns", COLUMNS)
def test_results_are_those_of_double_precision(function, columns, scale, dtype):
    inputs = arguments(columns, dtype, scale=scale)
    nll, log_normalizer, d_scores, d_bias = function(*inputs)
    assert {array.dtype.name for array in (nll, log_normalizer, d_scores, d_bias)} == {dtype}
    nll_64, log_normalizer_64, d_scores_64, d_bias_64 = expected(*inputs)
    bound = error_bound(*inputs[:2], dtype)
    np.testing.assert_allclose(nll, nll_64, rtol=0, atol=bound)
    np.testing.assert_allclose(log_normalizer, log_normalizer_64, rtol=0, atol=bound)
    # A probability is an exponential: the absolute error of its exponent is its relative error.
    np.testing.assert_allclose(d_scores, d_scores_64, rtol=3 * bound, atol=3 * bound)
    np.testing.assert_allclose(d_bias, d_bias_64, rtol=3 * bound, atol=3 * ROWS * bound)


def test_exponential_is_right_to_two_units_in_the_last_place(in_c, dtype):
    """Of two columns, the first score is 0 and far above; the second's gradient is then exp(x) / (1 + exp(x))."""
    x = -np.linspace(0, 79, 4001).astype(dtype)
    scores = np.stack([0 * x, x], axis=1)
    weights = np.append(np.ones(len(x)), 0).astype(dtype)
    _, log_normalizer, d_scores, _ = in_c(scores, np.zeros(2, dtype), np.zeros(len(x), "int32"), weights)
    exact = np.exp(x.astype("float64") - log_normalizer.astype("float64"))
    # the exponent itself is rounded once, which counts as many units as it is large
    units = 2 + np.abs(x - log_normalizer)
    assert (np.abs(d_scores[:, 1] - exact) <= units * np.finfo(dtype).eps * exact).all()


@pytest.mark.parametrize("columns", COLUMNS)
def test_c_and_python_agree(columns, dtype):
    inputs = arguments(columns, dtype)
    bound = 6 * error_bound(*inputs[:2], dtype)
    for c, python in zip(compiled("c", dtype)(*inputs), compiled("python", dtype)(*inputs)):
        assert c.dtype == python.dtype
        np.testing.assert_allclose(c, python, rtol=bound, atol=bound)


@pytest.mark.parametrize("columns", [7, 17, 100])
def test_huge_scores_neither_overflow_nor_vanish(function, columns, dtype):
    scores, bias, _, weights = arguments(columns, dtype)
    for size in (1e4, -1e4):
        huge = scores.copy()
        huge[:, 2] = size
        targets = np.array([2, 2, 0, 1, 3], "int32")
        results = function(huge, bias, targets, weights)
        bound = error_bound(huge, bias, dtype)
        for actual, exact in zip(results, expected(huge, bias, targets, weights)):
            assert np.isfinite(actual).all()
            np.testing.assert_allclose(actual, exact, rtol=1e-6, atol=5 * bound)
        if size > 0:
            np.testing.assert_allclose(results[0][:2], 0, atol=1e-9)  # certain and right costs nothing


@pytest.mark.parametrize("columns", [7, 17, 100])
def test_a_score_of_minus_infinity_is_a_probability_of_zero(function, columns, dtype):
    scores, bias, targets, weights = arguments(columns, dtype)
    targets[:] = np.arange(ROWS)
    scores[:, [5, columns - 1]] = -np.inf
    nll, log_normalizer, d_scores, d_bias = function(scores, bias, targets, weights)
    exact = expected(scores, bias, targets, weights)
    assert not d_scores[:, [5, columns - 1]].any()
    for actual, value in zip((nll, log_normalizer, d_scores, d_bias), exact):
        np.testing.assert_allclose(actual, value, rtol=1e-4 if dtype == "float32" else 1e-12, atol=1e-6)


def test_an_impossible_target_has_infinite_loss(function, dtype):
    scores, bias, targets, weights = arguments(20, dtype)
    scores[1, targets[1]] = -np.inf
    nll = function(scores, bias, targets, weights)[0]
    assert nll[1] == np.inf
    assert np.isfinite(np.delete(nll, 1)).all()


@pytest.mark.parametrize("column", [0, 3, 18, 99])
def test_nan_is_passed_on(function, column, dtype):
    scores, bias, targets, weights = arguments(100, dtype)
    scores[1, column] = np.nan
    nll, log_normalizer, d_scores, d_bias = function(scores, bias, targets, weights)
    assert np.isnan([nll[1], log_normalizer[1]]).all()
    assert np.isnan(d_scores[1]).all()
    assert np.isnan(d_bias).all()
    for array in (nll, log_normalizer, d_scores):
        assert np.isfinite(np.delete(array, 1, axis=0)).all()


@pytest.mark.parametrize("target", [-1, 7, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("row", [0, ROWS - 1])
def test_a_target_that_is_no_column_is_refused(checking_function, target, row, dtype):
    scores, bias, targets, weights = arguments(7, dtype)
    targets[row] = target
    with pytest.raises(IndexError, match=r"targets must be in 0 \.\. 6, got "):
        checking_function(scores, bias, targets, weights)


@pytest.mark.parametrize("target", [-1, 7])
def test_the_kernel_makes_the_loss_of_such_a_target_nan_and_writes_nowhere_else(target):
    scores, bias, targets, weights = arguments(7, "float32")
    exact = compiled("kernel", "float32")(scores, bias, targets, weights)
    targets[2] = target
    nll, log_normalizer, d_scores, _ = compiled("kernel", "float32")(scores, bias, targets, weights)
    assert np.isnan(nll[2]) and np.isfinite(np.delete(nll, 2)).all()
    np.testing.assert_array_equal(log_normalizer, exact[1])
    np.testing.assert_array_equal(np.delete(d_scores, 2, axis=0), np.delete(exact[2], 2, axis=0))


@pytest.mark.parametrize("rows", [1, 8, 33, 200])
def test_rows_that_the_kernels_divide_into_groups_give_the_same_in_every_run(rows):
    """200 rows are 16 groups. A row without a gradient gets zeros."""
    if kernels.extension() is None or "jax" not in ENGINES:
        pytest.skip("there is no kernel here")
    import jax

    from theano_rnn.engine.softmax import run_backward, run_forward

    rng = np.random.default_rng(0)
    scores, bias = rng.normal(0, 3, (rows, 70)).astype("float32"), rng.normal(0, 1, 70).astype("float32")
    targets, a = rng.integers(70, size=rows, dtype="int32"), rng.random(rows).astype("float32")
    a[::3] = 0
    _, log_normalizer = jax.jit(run_forward)(scores, bias, targets)
    results = [jax.jit(run_backward)(scores, bias, targets, log_normalizer, a, a) for _ in range(20)]
    exact = np.exp(scores + bias - np.asarray(log_normalizer)[:, None], dtype="float64") * a[:, None]
    exact[np.arange(rows), targets] -= a
    np.testing.assert_allclose(results[0][0], exact, atol=2e-6)
    np.testing.assert_allclose(results[0][1], exact.sum(axis=0), atol=2e-5)
    assert not np.asarray(results[0][0])[::3].any()
    for other in results[1:]:
        assert all(np.array_equal(one, two) for one, two in zip(results[0], other))


def test_rows_that_are_not_contiguous_are_read_rightly(function, dtype):
    scores, bias, targets, weights = arguments(20, dtype)
    direct = function(scores, bias, targets, weights)
    strided = function(np.asfortranarray(scores), bias[::-1].copy()[::-1], np.repeat(targets, 2)[::2], weights)
    for actual, exact in zip(strided, direct):
        np.testing.assert_array_equal(actual, exact)


def test_shapes_that_do_not_fit_are_refused(in_c, dtype):
    scores, bias, targets, weights = arguments(7, dtype)
    with pytest.raises(ValueError, match="must be"):
        in_c(scores, bias[:-1], targets, weights)
    with pytest.raises(ValueError, match="must be"):
        in_c(scores, bias, targets[:-1], weights)


def test_shapes_may_change_from_call_to_call(in_c, dtype):
    for columns in (17, 7, 100, 17):
        inputs = arguments(columns, dtype)
        np.testing.assert_allclose(in_c(*inputs)[0], expected(*inputs)[0], rtol=1e-4)


@pytest.mark.parametrize("output", [0, 1], ids=["nll", "log_normalizer"])
def test_gradient_is_that_of_finite_differences(output, python_mode):
    scores, bias, targets, _ = arguments(7, "float64")
    verify_grad(
        lambda scores, bias: SoftmaxCrossEntropy()(scores, bias, targets)[output],
        [scores, bias],
        rng=np.random.default_rng(0),
    )


@pytest.mark.parametrize("columns", [1, 2, 1000])
def test_equal_scores_cost_the_log_of_their_number(columns, python_mode):
    scores, bias, targets = np.full((ROWS, columns), 3.7), np.full(columns, -1.2), np.zeros(ROWS, "int32")
    np.testing.assert_allclose(cross_entropy(scores, bias, targets).eval(), np.log(columns), atol=1e-14)


def test_shape_is_known_without_computing(python_mode):
    """Without `infer_shape` in both operations, asking for a length would compute a large matrix."""
    inputs, outputs = graph("float64")
    function = aesara.function(inputs, [output.shape for output in outputs], mode="FAST_RUN", on_unused_input="ignore")
    operations = {type(node.op) for node in function.maker.fgraph.apply_nodes}
    assert not operations & {SoftmaxCrossEntropy, SoftmaxCrossEntropyGrad}
    scores, bias, targets, weights = arguments(7, "float64")
    shapes = [tuple(shape) for shape in function(scores, bias, targets, weights)]
    assert shapes == [(ROWS,), (ROWS,), (ROWS, 7), (7,)]


@pytest.mark.parametrize(
    ("scores", "bias", "targets"),
    [
        (T.dtensor3(), T.dvector(), T.ivector()),
        (T.dmatrix(), T.dmatrix(), T.ivector()),
        (T.dmatrix(), T.dvector(), T.imatrix()),
        (T.dmatrix(), T.dvector(), T.lvector()),
    ],
)
def test_operands_of_another_kind_are_refused(scores, bias, targets):
    with pytest.raises(TypeError, match=r"expected float \(rows, vocab\), \(vocab,\) and int32 \(rows,\)"):
        cross_entropy(scores, bias, targets)


@pytest.mark.parametrize(("scores", "bias"), [(T.fmatrix(), T.dvector()), (T.imatrix(), T.ivector())])
def test_operands_of_mixed_or_whole_numbers_are_refused(scores, bias):
    with pytest.raises(TypeError, match="must be of one float dtype, got"):
        cross_entropy(scores, bias, T.ivector())


def test_masked_mean_counts_real_tokens_only(python_mode):
    values = np.array([[1.0, 10.0], [3.0, 99.0]])
    mask = np.array([[1.0, 1.0], [1.0, 0.0]])
    mean = masked_mean(T.as_tensor_variable(values), T.as_tensor_variable(mask))
    assert float(mean.eval()) == pytest.approx(14 / 3, rel=1e-15)


def test_masked_mean_keeps_single_precision():
    mean = masked_mean(T.fmatrix(), T.fmatrix())
    assert mean.dtype == "float32"


@pytest.mark.parametrize("operation", [SoftmaxCrossEntropy, SoftmaxCrossEntropyGrad])
def test_changed_c_code_is_compiled_anew(operation, monkeypatch):
    """Aesara identifies a compiled module by this version, not by its code. Otherwise it would reuse an older one."""
    before = operation().c_code_cache_version()
    assert before == operation().c_code_cache_version() != ()
    monkeypatch.setattr(losses, "SUPPORT", losses.SUPPORT.replace("-80.0f", "-81.0f"))
    assert operation().c_code_cache_version() != before
