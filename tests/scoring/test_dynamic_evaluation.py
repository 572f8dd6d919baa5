"""Steps of dynamic evaluation against the equation; steps of a model against steps computed in NumPy."""

import aesara
import aesara.tensor as T
import numpy as np
import pytest
from conftest import compiled_once

from theano_rnn.scoring.dynamic_evaluation import EPSILON, DynamicRule, SquaresRule

RATE, DECAY = 0.1, 0.3
RNG = np.random.default_rng(2)
START = {"W": RNG.normal(size=(4, 3)), "b": RNG.normal(size=3)}
GRADIENTS = [{name: RNG.normal(size=value.shape) for name, value in START.items()} for _ in range(3)]
SQUARES = {name: RNG.uniform(0, 4, size=value.shape) for name, value in START.items()}


def stepped(rule):
    """Returns the parameters after three steps, and the rule's state."""
    params = {name: aesara.shared(value, name=name) for name, value in START.items()}
    g = {name: T.TensorType("float64", value.ndim * (False,))() for name, value in START.items()}
    rate = T.dscalar()
    updates, state, _ = rule.apply(params, g, rate)
    step = aesara.function([*g.values(), rate], [], updates=list(updates.items()))
    for gradients in GRADIENTS:
        step(*gradients.values(), RATE)
    return {name: p.get_value() for name, p in params.items()}, state


@pytest.mark.parametrize("decay", [0.0, DECAY])
@pytest.mark.parametrize("squares", [None, SQUARES], ids=["sgd", "rms"])
def test_steps_are_those_of_the_equation(python_mode, squares, decay):
    found, _ = stepped(DynamicRule(decay, squares))
    roots = {name: np.sqrt(value) for name, value in SQUARES.items()}
    mean = np.concatenate([root.ravel() for root in roots.values()]).mean()
    for name, p0 in START.items():
        p = p0.copy()
        for gradients in GRADIENTS:
            if squares is None:
                p = p - RATE * gradients[name] + decay * (p0 - p)
            else:
                pull = np.minimum(decay * roots[name] / mean, 1)
                p = p - RATE * gradients[name] / (roots[name] + EPSILON) + pull * (p0 - p)
        np.testing.assert_allclose(found[name], p, rtol=1e-12)


def test_squares_are_added_up_and_parameters_stay(python_mode):
    found, sums = stepped(SquaresRule())
    for name, value in START.items():
        np.testing.assert_array_equal(found[name], value)
        np.testing.assert_allclose(sums[name].get_value(), RATE * sum(g[name] ** 2 for g in GRADIENTS), rtol=1e-12)


def test_a_model_takes_the_steps(engine):
    """The loss is that before the step; the gradients are those of normal training."""
    plain = compiled_once("tanh", engine).reset()
    inputs, start = plain.inputs(), plain.params()
    model = compiled_once("tanh", engine, "train", update=DynamicRule(DECAY))
    for shared, value in zip(model.model.params.values(), start.values()):
        shared.set_value(value)
    for name, value in start.items():  # what `apply` recorded was the model as it was made
        model.model.optimizer_state[f"{name}.start"].set_value(value)
    for _ in range(2):
        expected_loss = plain.mean_loss(inputs)
        slopes, before = plain.gradients(inputs), plain.params()
        loss, *_ = model.functions.train(*inputs, RATE)
        assert float(loss) == pytest.approx(expected_loss, rel=1e-12)
        for name, p in plain.model.params.items():
            p.set_value(before[name] - RATE * slopes[name] + DECAY * (start[name] - before[name]))
            np.testing.assert_allclose(model.params()[name], p.get_value(), rtol=1e-9)
