"""All kinds of scans and their gradients on JAX, compared with Aesara's Python mode and plain loops."""

import aesara
import aesara.tensor as T
import numpy as np
import pytest
from aesara.scan.utils import until
from both_modes import by_xla, check, check_with_gradients

from theano_rnn.nn.unrolling import unroll
from theano_rnn.settings.base import UserError

jax = pytest.importorskip("jax")

from theano_rnn.engine.xla import compile_function  # noqa: E402

RNG = np.random.default_rng(6)
TIME, BATCH, UNITS = 5, 2, 3
X = RNG.normal(size=(TIME, BATCH, UNITS))
W = RNG.normal(size=(UNITS, UNITS)) / 2
H0 = RNG.normal(size=(BATCH, UNITS))
MASK = np.array([[1, 1], [1, 0], [0, 1], [1, 1], [1, 0]], "float64")


def parts(trace):
    """Returns the whole trace, its end, all but its end, and every other step: Aesara stores different parts."""
    return [trace, trace[-1], trace[:-1], trace[::2], trace[-2:]]


PART_NAMES = ["all", "last", "all but last", "every other", "last two"]


@pytest.mark.parametrize("part", range(5), ids=PART_NAMES)
def test_the_state_of_the_step_before(part):
    """Sit-sot; its gradient's mit-mot is the only one that training needs."""

    def expression(x, h, w):
        return parts(aesara.scan(lambda x_t, h, w: T.tanh(x_t + T.dot(h, w)), [x], [h], [w])[0])[part]

    (trace, *slopes) = check_with_gradients(expression, X, H0, W)
    assert all(np.abs(slope).max() > 0 for slope in slopes)
    h, expected = H0, []
    for x_t in X:
        h = np.tanh(x_t + h @ W)
        expected.append(h)
    np.testing.assert_allclose(trace, parts(np.array(expected))[part], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(5), ids=PART_NAMES)
@pytest.mark.parametrize("taps", [[-1, -3], [-3, -1], [-2], [-1, -2], [-4, -2, -1]])
def test_states_of_several_steps_back(taps, part):
    """Mit-sot; its gradient reads and writes several places of a buffer."""

    def expression(x, h, w):
        start = {"initial": h, "taps": taps}
        trace, _ = aesara.scan(lambda x_t, *rest: T.tanh(x_t + sum(rest[:-1]) * rest[-1][0]), [x], [start], [w])
        return parts(trace)[part]

    before = RNG.normal(size=(-min(taps), BATCH, UNITS))
    (trace, *slopes) = check_with_gradients(expression, X, before, W)
    assert all(np.abs(slope).max() > 0 for slope in slopes)
    everything = list(before)
    for x_t in X:
        everything.append(np.tanh(x_t + sum(everything[tap] for tap in taps) * W[0]))
    np.testing.assert_allclose(trace, parts(np.array(everything[len(before) :]))[part], rtol=1e-12)


def test_outputs_that_are_not_read_back():
    """Nit-sot, next to an unused output."""

    def expression(x, w):
        (squares, products, _), _ = aesara.scan(lambda x_t, w: [x_t**2, T.dot(x_t, w), T.exp(x_t)], [x], [None] * 3,
                                                [w])
        return [squares, products[-1]]

    squares, products, *_ = check_with_gradients(expression, X, W)
    np.testing.assert_allclose(squares, X**2)
    np.testing.assert_allclose(products, X[-1] @ W)


@pytest.mark.slow
def test_kinds_of_outputs_at_once():
    def step(x_t, x_next, h3, h1, c, w):
        h = T.tanh(x_t + T.dot(h1, w) - h3)
        return [h, c * x_next + h, T.square(c), h.sum()]

    def expression(x, h, c, w):
        outputs = [{"initial": h, "taps": [-3, -1]}, c, None, None]
        traces, _ = aesara.scan(step, [{"input": x, "taps": [0, 1]}], outputs, [w])
        return [traces[0], traces[1][-1], traces[2], traces[3]]

    before = RNG.normal(size=(3, BATCH, UNITS))
    h, c, squares, sums, *_ = check_with_gradients(expression, X, before, H0, W)
    h_all, c_now, expected = list(before), H0, []
    for t in range(TIME - 1):
        expected.append(c_now**2)
        h_all.append(np.tanh(X[t] + h_all[-1] @ W - h_all[-3]))
        c_now = c_now * X[t + 1] + h_all[-1]
    np.testing.assert_allclose(h, h_all[3:], rtol=1e-12)
    np.testing.assert_allclose(c, c_now, rtol=1e-12)
    np.testing.assert_allclose(squares, expected, rtol=1e-12)
    np.testing.assert_allclose(sums, [h.sum() for h in h_all[3:]], rtol=1e-10)


def test_sequences_with_taps_and_backwards():
    def expression(x, h):
        taps = {"input": x, "taps": [-1, 0, 2]}
        forwards, _ = aesara.scan(lambda a, b, c, h: a - 2 * b + c * h, [taps], [h])
        backwards, _ = aesara.scan(lambda x_t, h: T.tanh(x_t * h), [x], [h], go_backwards=True)
        return [forwards, backwards, backwards[-1]]

    forwards, backwards, *_ = check_with_gradients(expression, X, H0)
    np.testing.assert_allclose(forwards[0], X[0] - 2 * X[1] + X[3] * H0)
    np.testing.assert_allclose(backwards[0], np.tanh(X[-1] * H0))


@pytest.mark.slow
def test_the_number_of_steps_comes_from_the_shape_of_any_input():
    def expression(x, h, w):
        powers, _ = aesara.scan(lambda h, w: T.dot(h, w), None, [h], [w], n_steps=x.shape[0] - 2)
        counted, _ = aesara.scan(lambda i, h: h + i * x[i], [T.arange(x.shape[0])], [h])
        cut, _ = aesara.scan(lambda x_t, h: h + x_t, [x], [h], n_steps=3)
        return [powers, counted[-1], cut]

    powers, counted, cut, *_ = check_with_gradients(expression, X, H0, W)
    np.testing.assert_allclose(powers, [H0 @ W, H0 @ W @ W, H0 @ W @ W @ W])
    np.testing.assert_allclose(counted, H0 + sum(t * X[t] for t in range(TIME)))
    assert len(cut) == 3


def test_one_step():
    def expression(x, h, w):
        return aesara.scan(lambda x_t, h, w: T.tanh(x_t + T.dot(h, w)), [x], [h], [w])[0]

    trace, *_ = check_with_gradients(expression, X[:1], H0, W)
    np.testing.assert_allclose(trace, np.tanh(X[:1] + H0 @ W))
    check_with_gradients(lambda x, h, w: [expression(x, h, w)[-1]], X[:1], H0, W)


@pytest.mark.slow
@pytest.mark.parametrize("taps", [[-1], [-1, -3]])
def test_second_derivatives(taps):
    def expression(x, h, w):
        trace, _ = aesara.scan(lambda x_t, *rest: T.tanh(x_t + T.dot(sum(rest[:-1]), rest[-1])), [x],
                               [{"initial": h, "taps": taps}], [w])  # fmt: skip
        return T.grad(T.sum(trace[-1] ** 2), [w, h, x])

    check_with_gradients(expression, X[:4], H0 if taps == [-1] else RNG.normal(size=(3, BATCH, UNITS)), W)


@pytest.mark.slow
def test_a_scan_in_a_scan():
    """The inner scan's number of steps is known although it is an argument of the outer scan's step."""

    def expression(x, h, w):
        def inner(h, w):
            return T.tanh(T.dot(h, w))

        def outer(x_t, h, w):
            rounds, _ = aesara.scan(inner, None, [h + x_t], [w], n_steps=x.shape[0] - 3, name="rounds")
            return rounds[-1]

        return aesara.scan(outer, [x], [h], [w], name="sentences")[0]

    trace, *_ = check_with_gradients(expression, X, H0, W)
    h = H0
    for t in range(TIME):
        h = np.tanh(np.tanh((h + X[t]) @ W) @ W)
        np.testing.assert_allclose(trace[t], h, rtol=1e-12)


@pytest.mark.parametrize("steps", [1, 2, TIME - 1, TIME, TIME + 2])
@pytest.mark.parametrize("taps", [[-1], pytest.param([-1, -3], marks=pytest.mark.slow)])
def test_a_truncated_gradient_is_zero_before_the_last_steps(steps, taps):
    """With respect to a sequence, and to weights that the sequence was computed with, which lie outside of the scan."""

    def expression(x, h, w):
        trace, _ = aesara.scan(lambda x_t, *rest: T.tanh(x_t + T.dot(sum(rest[:-1]), rest[-1])), [T.dot(x, w)],
                               [{"initial": h, "taps": taps}], [w], truncate_gradient=steps)  # fmt: skip
        return trace

    _, slope, _, slope_of_w = check_with_gradients(expression, X, H0 if taps == [-1] else np.stack([H0] * 3), W)
    is_reached = np.abs(slope).max(axis=(1, 2)) > 0
    np.testing.assert_array_equal(is_reached, np.arange(TIME) >= TIME - steps)
    assert np.abs(slope_of_w).max() > 0


def test_a_shared_variable_updated_in_every_step():
    from theano_rnn.engine.xla import compile_function

    count = aesara.shared(np.array(10.0), name="count")
    x = T.dvector("x")
    trace, updates = aesara.scan(lambda x_t: (x_t * count, {count: count + x_t}), [x])
    function = compile_function([x], [trace], list(updates.items()))
    np.testing.assert_allclose(function(np.array([1.0, 2.0, 3.0]))[0], [10, 22, 39])
    np.testing.assert_allclose(count.get_value(), 16)
    np.testing.assert_allclose(function(np.array([1.0]))[0], [16])


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_other_dtypes(dtype):
    x, h = (10 * X).astype(dtype), (10 * H0).astype(dtype)
    check(lambda x, h: aesara.scan(lambda x_t, h: [T.maximum(x_t, h) - x_t, T.eq(x_t, h)], [x], [h, None])[0], x, h)


def test_a_compiled_scan_takes_other_shapes():
    from theano_rnn.engine.xla import compile_function

    x, h = T.dmatrix("x"), T.dvector("h")
    trace, _ = aesara.scan(lambda x_t, h: x_t + 2 * h, [x], [h])
    function = compile_function([x, h], [trace[-1], T.grad(trace[-1].sum(), h)])
    for time, units in [(4, 3), (1, 3), (7, 2), (4, 3)]:
        last, slope = function(np.ones((time, units)), np.zeros(units))
        np.testing.assert_allclose(last, np.full(units, 2.0**time - 1))
        np.testing.assert_allclose(slope, np.full(units, 2.0**time))


def test_a_scan_that_ends_on_a_condition_is_refused_by_name():
    x = T.dvector("x")
    trace, _ = aesara.scan(lambda x_t: (2 * x_t, until(x_t > 1)), [x], name="until_one")
    with pytest.raises(UserError, match=r"scans that end on a condition \(until_one\): use the C engine"):
        by_xla([x], [trace], np.ones(3))


# unroll


class AttendingCell:
    """A cell with two states and a context, defined outside the package."""

    num_states = 2
    recurrent = ("W",)

    def step(self, x_t, h, count, W, memory):
        h_t = T.tanh(x_t + T.dot(h, W) + memory.mean(axis=0))
        return T.concatenate([h_t, count], axis=1), h_t, count + 1


@pytest.mark.parametrize("backwards", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_cells_of_users_unroll_with_masks_context_and_backwards(backwards):
    memory = RNG.normal(size=(4, BATCH, UNITS))

    def expression(x, mask, h, w, memory, count):
        (outputs,), final = unroll(AttendingCell(), x, mask, [h, count], params={"W": w}, context=[memory],
                                   backwards=backwards)
        return [outputs * mask[:, :, None], *final]

    outputs, final, counts, *slopes = check_with_gradients(expression, X, MASK, H0, W, memory, np.zeros((BATCH, 1)))
    np.testing.assert_array_equal(counts[:, 0], MASK.sum(axis=0))
    h = H0
    for t in range(TIME)[:: -1 if backwards else 1]:
        new = np.tanh(X[t] + h @ W + memory.mean(axis=0))
        h = np.where(MASK[t][:, None] == 1, new, h)
        np.testing.assert_allclose(outputs[t, :, :UNITS], new * MASK[t][:, None], atol=1e-12)
    np.testing.assert_allclose(final, h, rtol=1e-12)
    assert not slopes[0][MASK == 0].any() and slopes[0][MASK == 1].all()  # with respect to x


def test_scans_of_the_same_name_are_all_found():
    """Names repeat in the layers of a model and in nested scans."""
    x = T.dmatrix("x")
    h = x
    for _ in range(2):
        h = aesara.scan(lambda x_t, h: T.tanh(x_t + h), [h], [T.zeros_like(x[0])], name="layer")[0]
    h = aesara.scan(lambda x_t: aesara.scan(T.exp, [x_t], name="layer")[0], [h], name="outer")[0]
    function = compile_function([x], [h], name="tested")
    scans = function.vm.scans
    assert sorted(scans) == ["layer", "layer 2", "layer 3", "outer"]
    assert len({id(graph) for graph in scans.values()}) == 4
