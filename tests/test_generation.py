"""Generation with a fake step: what is sampled is what the step says. With a model's: a plain loop samples the same."""

import numpy as np
import pytest
import reference
from conftest import HIDDEN, compiled_once

from theano_rnn.generation import generate, sample

PROBABILITIES = np.array([0.1, 0.2, 0.3, 0.4])


def constant_step(tokens, *state):
    return [np.log(np.tile(PROBABILITIES, (len(tokens), 1))), *state]


def counting_step(tokens, seen):
    """Puts all probability on the number of tokens seen so far; the state counts them."""
    seen = seen + 1
    log_probabilities = np.full((len(tokens), 50), -np.inf)
    log_probabilities[np.arange(len(tokens)), seen[:, 0].astype(int)] = 0.0
    return [log_probabilities, seen]


def rngs(count, seed=0):
    return [np.random.default_rng([seed, i]) for i in range(count)]


def run(step=constant_step, state=(), prompt=(0,), end_id=None, max_tokens=5, count=1, **options):
    return generate(step, state, prompt=prompt, end_id=end_id, max_tokens=max_tokens, rngs=rngs(count), **options)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_sampled_frequencies_match_the_step(temperature):
    draws = np.ravel(run(count=40, max_tokens=500, temperature=temperature))
    expected = PROBABILITIES ** (1 / temperature)
    expected *= len(draws) / expected.sum()
    chi_square = ((np.bincount(draws, minlength=4) - expected) ** 2 / expected).sum()
    assert chi_square < 16.27  # 3 degrees of freedom, p = 0.001


@pytest.mark.parametrize("temperature", [0.0, 1e-6])
def test_temperature_to_zero_is_argmax(temperature):
    assert run(temperature=temperature) == [[3] * 5]


def test_banned_tokens_never_come_and_the_others_keep_their_ratios():
    draws = np.ravel(run(count=40, max_tokens=500, banned=[3]))
    counts = np.bincount(draws, minlength=4)
    assert counts[3] == 0
    np.testing.assert_allclose(counts[:3] / counts.sum(), PROBABILITIES[:3] / 0.6, atol=0.02)


def test_the_state_is_carried_through_prompt_and_samples():
    assert run(counting_step, [np.zeros((1, 1))], prompt=[7, 7, 7], max_tokens=4) == [[3, 4, 5, 6]]


def test_a_sample_ends_before_the_end_token():
    assert run(counting_step, [np.zeros((1, 1))], end_id=4, max_tokens=40) == [[1, 2, 3]]


def test_a_sample_does_not_depend_on_its_neighbours():
    alone = [generate(constant_step, (), prompt=[0], end_id=3, max_tokens=30, rngs=[rngs(6)[i]])[0] for i in range(6)]
    assert run(count=6, end_id=3, max_tokens=30) == alone
    assert len({len(tokens) for tokens in alone}) > 1


def test_no_tokens_at_most_gives_empty_samples():
    assert run(max_tokens=0, count=2) == [[], []]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": []}, "prompt must hold at least one id"),
        ({"temperature": -0.1}, "temperature must be 0 or greater"),
        ({"temperature": float("nan")}, "temperature must be 0 or greater"),
        ({"max_tokens": -1}, "max_tokens must be 0 or greater"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        run(**options)


def test_an_index_of_no_probability_is_never_drawn():
    scores = np.array([-np.inf, 0.0, -np.inf])
    assert {sample(scores, 1.0, np.random.default_rng(i)) for i in range(200)} == {1}


# With a model

STEP_PRECISION = {"float64": 1e-9, "float32": 1e-5}  # absolute, in nats


def plain_step(params):
    """The step of a tanh model in NumPy."""
    params = {name: value.astype("float64") for name, value in params.items()}

    def step(tokens, h):
        hidden, _, final = reference.forward(params, tokens[None], np.ones((1, len(tokens))), h, "tanh")
        return [reference.log_probabilities(params, hidden)[0], final]

    return step


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.5])
def test_each_engine_samples_what_a_plain_loop_samples(tanh, temperature):
    options = {"prompt": [1, 5, 3], "end_id": 4, "max_tokens": 25, "temperature": temperature, "banned": [0]}
    state = [np.zeros((5, HIDDEN))]
    samples = run(tanh.functions.step, state, count=5, **options)
    assert samples == run(plain_step(tanh.params()), state, count=5, **options)
    if temperature:
        assert len(set(map(tuple, samples))) == 5 and len(set(map(len, samples))) > 1


@pytest.mark.parametrize("dtype", STEP_PRECISION)
def test_each_engine_gives_the_log_probabilities_of_a_plain_loop(engine, dtype):
    """Step after step, each from the state of the one before."""
    model = compiled_once("tanh", engine, dtype=dtype) if dtype == "float32" else compiled_once("tanh", engine).reset()
    plain, state, expected_state = plain_step(model.params()), np.zeros((5, HIDDEN), dtype), np.zeros((5, HIDDEN))
    for tokens in np.random.default_rng(3).integers(9, size=(30, 5), dtype="int32"):
        log_probabilities, state = model.functions.step(tokens, state)
        expected, expected_state = plain(tokens, expected_state)
        assert log_probabilities.dtype == dtype
        np.testing.assert_allclose(log_probabilities, expected, rtol=0, atol=STEP_PRECISION[dtype])
