"""Pooling against loops in plain NumPy and against PyTorch; texts of unequal length, of one step, and of none."""

import aesara
import aesara.tensor as T
import numpy as np
import pytest
from conftest import ENGINES

from theano_rnn.engine.compiling import compile_function
from theano_rnn.model import gradients
from theano_rnn.nn.pooling import KINDS, Pooling

UNITS = 5
SHAPES = [(6, [6, 1, 4]), (1, [1, 1]), (4, [3]), (1, [1]), (5, [5, 0, 2, 0])]  # time, lengths: 0 is an empty column
KINDS_ON = {"c": [("attention", 0)], "jax": [*((kind, 0) for kind in KINDS), ("final", 2)]}
shapes = pytest.mark.parametrize(("time", "lengths"), SHAPES, ids=repr)
every_kind = pytest.mark.parametrize(("kind", "num_backward"), [*((kind, 0) for kind in KINDS), ("final", 2)])


def pooling(kind, num_backward=0, dtype="float64"):
    made = Pooling(kind, UNITS, num_backward=num_backward, rng=np.random.default_rng(0), dtype=dtype)
    rng = np.random.default_rng(1)
    for parameter in made.params.values():
        parameter.set_value(rng.normal(size=parameter.get_value().shape).astype(dtype))
    return made


def arrays(time, lengths, dtype="float64"):
    """h, whose padding is large, the mask, and a weight for each pooled unit."""
    rng = np.random.default_rng(2)
    mask = (np.arange(time)[:, None] < lengths).astype(dtype)
    h = rng.normal(size=(time, len(lengths), UNITS))
    h += 30 * (1 - mask)[:, :, None]
    return h.astype(dtype), mask, rng.normal(size=(len(lengths), UNITS)).astype(dtype)


def graph(made, dtype="float64"):
    """Inputs h, mask and weights; outputs p and the gradients of its weighted sum, for h and the parameters."""
    h, mask, weights = T.tensor3(dtype=dtype), T.matrix(dtype=dtype), T.matrix(dtype=dtype)
    p = made.pool(h, mask)
    slopes = gradients(T.sum(p * weights, dtype=dtype, acc_dtype=dtype), {"h": h, **made.params})
    return [h, mask, weights], [p, *slopes.values()]


def by_loops(made, num_backward, h, mask):
    params = {name: parameter.get_value() for name, parameter in made.params.items()}
    p = np.zeros(h.shape[1:])
    for column in range(h.shape[1]):
        steps = [h[t, column] for t in range(len(h)) if mask[t, column]]
        if not steps:
            continue
        if made.kind == "final":
            forward = UNITS - num_backward
            p[column] = [*steps[-1][:forward], *steps[0][forward:]]
        elif made.kind == "mean":
            p[column] = sum(steps) / len(steps)
        elif made.kind == "max":
            p[column] = [max(step[unit] for step in steps) for unit in range(UNITS)]
        else:
            energies = [np.exp(params["v_a"] @ np.tanh(step @ params["W_a"] + params["b_a"])) for step in steps]
            p[column] = sum(energy * step for energy, step in zip(energies, steps)) / sum(energies)
    return p


@pytest.mark.slow
@every_kind
@shapes
def test_values_are_those_of_plain_loops(kind, num_backward, time, lengths, python_mode):
    made = pooling(kind, num_backward)
    h, mask, _ = arrays(time, lengths)
    symbols = T.dtensor3(), T.dmatrix()
    found = aesara.function(symbols, made.pool(*symbols))(h, mask)
    np.testing.assert_allclose(found, by_loops(made, num_backward, h, mask), atol=1e-12)
    assert not found[mask[0] == 0].any()


def torch_pooled(torch, made, num_backward, h, mask, params):
    """PyTorch's own operations, column by column, without padding."""
    columns = []
    for column, length in enumerate(mask.sum(axis=0).astype(int)):
        steps = h[:length, column]
        if not length:
            columns.append(torch.zeros(UNITS, dtype=h.dtype))
        elif made.kind == "final":
            columns.append(torch.cat([steps[-1, : UNITS - num_backward], steps[0, UNITS - num_backward :]]))
        elif made.kind == "mean":
            columns.append(steps.mean(dim=0))
        elif made.kind == "max":
            columns.append(steps.max(dim=0).values)
        else:
            energies = torch.tanh(torch.nn.functional.linear(steps, params["W_a"].T, params["b_a"])) @ params["v_a"]
            columns.append(torch.softmax(energies, dim=0) @ steps)
    return torch.stack(columns)


@every_kind
@shapes
def test_pytorch_gives_the_same_values_and_gradients(kind, num_backward, time, lengths, python_mode):
    torch = pytest.importorskip("torch")
    made = pooling(kind, num_backward)
    h, mask, weights = arrays(time, lengths)
    inputs, outputs = graph(made)
    p, *slopes = aesara.function(inputs, outputs, on_unused_input="ignore")(h, mask, weights)
    given = torch.tensor(h, requires_grad=True)
    params = {name: torch.tensor(value.get_value(), requires_grad=True) for name, value in made.params.items()}
    theirs = torch_pooled(torch, made, num_backward, given, mask, params)
    (theirs * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(p, theirs.detach().numpy(), atol=1e-10)
    for slope, variable in zip(slopes, [given, *params.values()]):
        np.testing.assert_allclose(slope, variable.grad.numpy(), atol=1e-10)
    assert not slopes[0][mask == 0].any()  # padding has no effect at all


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "dtype"), [("jax", "float32"), ("jax", "float64"), ("c", "float32")])
def test_engines_agree_with_the_loops_where_columns_are_empty(engine, dtype):
    """In float32, where 1e-30 squared is 0, too."""
    if engine not in ENGINES:
        pytest.skip(f"engine {engine} cannot run here")
    time, lengths = SHAPES[-1]
    made = {(kind, backward): pooling(kind, backward, dtype) for kind, backward in KINDS_ON[engine]}
    h, mask, weights = arrays(time, lengths, dtype)
    weights[mask[0] == 0] = 1e10
    for (_, backward), each in made.items():
        inputs, outputs = graph(each, dtype)
        p, *slopes = map(np.asarray, compile_function(inputs, outputs, engine=engine)(h, mask, weights))
        assert {array.dtype for array in (p, *slopes)} == {np.dtype(dtype)}
        bound = 1e-5 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(p, by_loops(each, backward, h, mask), atol=bound)
        assert all(np.isfinite(slope).all() for slope in slopes)
        assert not slopes[0][mask == 0].any()


def test_attention_begins_as_a_mean(python_mode):
    h, mask, _ = arrays(6, [6, 1, 4])
    symbols = T.dtensor3(), T.dmatrix()
    kinds = [Pooling(kind, UNITS, rng=np.random.default_rng(0), dtype="float64") for kind in ("attention", "mean")]
    attention, mean = aesara.function(symbols, [each.pool(*symbols) for each in kinds])(h, mask)
    np.testing.assert_allclose(attention, mean, atol=1e-12)


def test_energies_far_apart_stay_finite(python_mode):
    made = pooling("attention")
    made.params["v_a"].set_value(1000 * made.params["v_a"].get_value())
    inputs, outputs = graph(made)
    h, mask, weights = arrays(6, [6, 1, 4])
    p, *slopes = aesara.function(inputs, outputs)(h, mask, weights)
    assert np.abs(p).max() <= np.abs(h[mask > 0]).max() + 1e-12
    assert all(np.isfinite(slope).all() for slope in slopes)


def test_another_kind_is_refused():
    with pytest.raises(ValueError, match="kind must be one of final, mean, max, attention, got 'sum'"):
        Pooling("sum", 3, rng=np.random.default_rng(0), dtype="float32")
