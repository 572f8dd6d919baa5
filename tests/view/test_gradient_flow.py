"""Gradient norms over time lags, against numerical gradients and an explicit formula."""

import numpy as np
import pytest
from conftest import ENGINES

from theano_rnn.model import RNNLM
from theano_rnn.settings.network import ModelConfig
from theano_rnn.view.gradient_flow import GradientFlow, evenly_spaced_windows

VOCAB, HIDDEN, LAG = 9, 5, 3
WINDOWS = np.random.default_rng(2).integers(0, VOCAB, (4, 9)).astype(np.int32)


def model_of(cell, **options):
    options = {"dtype": "float64", "head": "softmax", "hidden_size": HIDDEN, "embedding_size": 4} | options
    model = RNNLM(ModelConfig(cell=cell, vocab_size=VOCAB, tie_weights=False, **options), rng=np.random.default_rng(1))
    rng = np.random.default_rng(5)
    for parameter in model.params.values():
        parameter.set_value(rng.normal(0, 0.6, parameter.get_value().shape).astype(model.config.dtype))
    return model


def estimated(model, step, window, lag, epsilon=1e-5):
    """Returns the norm of d loss / d h by central differences: h is changed between two calls of `step`."""
    *read, target = window
    state = list(model.initial_state(1))
    for token in read[: len(read) - lag]:
        _, *state = step(np.array([token], np.int32), *state)

    def loss(unit, change):
        log_probabilities, changed = None, [np.array(part) for part in state]
        changed[0][0, unit] += change
        for token in read[len(read) - lag :]:
            log_probabilities, *changed = step(np.array([token], np.int32), *changed)
        return -np.asarray(log_probabilities)[0, target]

    slopes = [(loss(unit, epsilon) - loss(unit, -epsilon)) / (2 * epsilon) for unit in range(HIDDEN)]
    return np.linalg.norm(slopes)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "cell", ["tanh", "lstm", *(pytest.param(cell, marks=pytest.mark.slow) for cell in ("relu", "gru", "mogrifier"))]
)
def test_norms_are_those_of_a_numerical_estimate(cell, engine):
    if engine == "c" and cell != "tanh":
        pytest.skip("takes long to compile")
    model = model_of(cell)
    step = model.compile("step", engine=engine).step
    norms = GradientFlow(model, engine=engine).norms(WINDOWS, lags=LAG)
    assert norms.shape == (LAG + 1, len(WINDOWS)) and (norms[0] > 0).all()
    for column, window in enumerate(WINDOWS):
        assert norms[LAG, column] == pytest.approx(estimated(model, step, window, LAG), rel=1e-6, abs=1e-9)


@pytest.mark.slow
def test_of_two_layers_both_count():
    """If the upper layer ignores its input, only its own gradient remains, which has a simple formula."""
    model = model_of("tanh", num_layers=2)
    values = {name: parameter.get_value() for name, parameter in model.params.items()}
    flow = GradientFlow(model, engine=ENGINES[-1])
    both = flow.norms(WINDOWS, lags=LAG)
    model.params["layer1.W_xh"].set_value(0 * values["layer1.W_xh"])
    upper = flow.norms(WINDOWS, lags=LAG)
    h, U, b, W = np.zeros(HIDDEN), values["layer1.W_hh"], values["layer1.b_h"], values["W_hy"]
    for _ in range(WINDOWS.shape[1] - 1):
        before, h = h, np.tanh(b + h @ U)
    scores = h @ W + values["b_y"]
    p = np.exp(scores) / np.exp(scores).sum()
    for column, window in enumerate(WINDOWS):
        slope = W @ (p - np.eye(VOCAB)[window[-1]])
        expected = [slope, U @ ((1 - h**2) * slope)]
        assert upper[:2, column] == pytest.approx(np.linalg.norm(expected, axis=1))
    assert not np.allclose(before, h) and (both[1] > 0).all() and not np.allclose(both, upper)


def test_windows_are_spread_over_the_text():
    windows = evenly_spaced_windows(range(100), length=10, count=4)
    assert windows[:, 0].tolist() == [0, 30, 60, 90] and (np.diff(windows) == 1).all()
    assert len(evenly_spaced_windows(range(12), length=10, count=64)) == 3
    with pytest.raises(ValueError, match="at least 10 tokens"):
        evenly_spaced_windows(range(9), length=10, count=4)


def test_more_lags_than_tokens_are_refused():
    flow = GradientFlow(model_of("tanh"), engine=ENGINES[-1])
    with pytest.raises(ValueError, match="lags must be less than the 8 tokens"):
        flow.norms(WINDOWS, lags=8)
