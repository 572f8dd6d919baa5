"""What the tutorial says of gradients over many steps, seen: they vanish in a tanh network but not in LSTM and GRU, and
where they explode, clipping saves the run.

The task: the first of 51 tokens is one of eight symbols; the question for it comes after 1 to 50 blanks, and the
answer is due at once. All cells have the same sizes, steps and learning rates, by Adam with clipping.
"""

import numpy as np
import pytest
from conftest import ENGINES

from theano_rnn.model import RNNLM
from theano_rnn.settings.network import ModelConfig

ENGINE = ENGINES[-1]  # XLA where it is installed: minutes are too long for the C engine to compile five models
SYMBOLS, LAG, BATCH, UNITS = 8, 50, 32, 32
BLANK, QUESTION = SYMBOLS, SYMBOLS + 1
STEPS, RATES = 750, (0.03, 0.1)
MASK = np.ones((LAG + 1, BATCH), "float32")


def batch(rng, lag=None):
    """Tokens and targets; the question after `lag` steps, or after some number from 1 to LAG."""
    tokens, targets = (np.full((LAG + 1, BATCH), BLANK, "int32") for _ in range(2))
    symbols, columns = rng.integers(SYMBOLS, size=BATCH), np.arange(BATCH)
    places = rng.integers(1, LAG + 1, size=BATCH) if lag is None else np.full(BATCH, lag)
    tokens[0] = symbols
    tokens[places, columns], targets[places, columns] = QUESTION, symbols
    return tokens, targets


def model_of(cell, *names, **options):
    config = ModelConfig(cell=cell, vocab_size=SYMBOLS + 2, embedding_size=UNITS, hidden_size=UNITS,
                         tie_weights=False)  # fmt: skip
    model = RNNLM(config, rng=np.random.default_rng(0))
    return model, model.compile(*names, engine=ENGINE, **options), model.initial_state(BATCH)


def accuracy_after_training(cell, rate):
    """How many of 320 questions after 50 steps are answered rightly."""
    _, functions, state = model_of(cell, "train", "predict", optimizer="adam", clip_norm=1.0)
    rng = np.random.default_rng(1)
    for _ in range(STEPS):
        functions.train(*batch(rng), MASK, *state, np.float32(rate))
    right = []
    for _ in range(10):
        tokens, targets = batch(rng, LAG)
        log_p = np.asarray(functions.predict(tokens, MASK, *state)[0])
        right.append((log_p[-1].argmax(axis=-1) == targets[-1]).mean())
    return float(np.mean(right))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_gated_cells_remember_over_50_steps(cell):
    assert max(accuracy_after_training(cell, rate) for rate in RATES) > 0.95


def test_a_tanh_network_does_not():
    assert max(accuracy_after_training("tanh", rate) for rate in RATES) < 0.3  # chance is 0.125


@pytest.mark.parametrize("clip_norm", [0.0, 1.0])
def test_an_explosion_kills_the_run_that_is_not_clipped(clip_norm):
    """Recurrent weights that double the state at every step, and gradient descent."""
    model, functions, state = model_of("relu", "train", clip_norm=clip_norm)
    model.params["layer0.W_hh"].set_value(1.2 * np.eye(UNITS, dtype="float32"))
    rng, losses = np.random.default_rng(2), []
    for _ in range(100):
        losses.append(float(np.asarray(functions.train(*batch(rng), MASK, *state, np.float32(0.1))[0])))
    if clip_norm:
        assert np.isfinite(losses).all() and losses[-1] < losses[0] / 2
    else:
        assert not np.isfinite(losses[-1])


if __name__ == "__main__":  # the figures of BENCHMARKS.md
    for cell in ("tanh", "lstm", "gru"):
        for rate in RATES:
            share = accuracy_after_training(cell, rate)
            print(f"{cell:5} {rate:5}: {share:6.1%} of questions after {LAG} steps", flush=True)
