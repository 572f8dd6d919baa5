"""Sampling and beam search with a fake step, and with a model's step against a plain loop."""

import numpy as np
import pytest
import reference
from conftest import HIDDEN, compiled_once

from theano_rnn.generation.search import beam_search, generate, generate_stepwise
from theano_rnn.settings.use import GenerationConfig

PROBABILITIES = np.array([0.1, 0.2, 0.3, 0.4])


def constant_step(tokens, *state):
    return [np.log(np.tile(PROBABILITIES, (len(tokens), 1))), *state]


def counting_step(tokens, seen):
    """Returns all probability on the number of tokens read so far, which is the state."""
    seen = seen + 1
    log_probabilities = np.full((len(tokens), 50), -np.inf)
    log_probabilities[np.arange(len(tokens)), seen[:, 0].astype(int)] = 0.0
    return [log_probabilities, seen]


def rngs(count, seed=0):
    return [np.random.default_rng([seed, i]) for i in range(count)]


def run(step=constant_step, state=(), prompt=(0,), end_id=None, max_tokens=5, count=1, banned=(), **config):
    return generate(step, state, prompt=prompt, end_id=end_id, max_tokens=max_tokens, rngs=rngs(count), banned=banned,
                    config=GenerationConfig(**config))  # fmt: skip


CRITICAL = {1: 10.83, 2: 13.82, 3: 16.27}  # of chi-square by degrees of freedom, p = 0.001
DISTRIBUTIONS = [
    ({"temperature": 0.5}, PROBABILITIES**2),
    ({}, PROBABILITIES),
    ({"temperature": 2.0}, PROBABILITIES**0.5),
    ({"top_k": 2}, PROBABILITIES * [0, 0, 1, 1]),
    ({"top_k": 3, "temperature": 2.0}, PROBABILITIES**0.5 * [0, 1, 1, 1]),
    ({"top_p": 0.7}, PROBABILITIES * [0, 0, 1, 1]),
    ({"top_p": 0.71}, PROBABILITIES * [0, 1, 1, 1]),
    ({"top_p": 0.61, "temperature": 2.0}, PROBABILITIES**0.5 * [0, 1, 1, 1]),  # 0.33 and 0.28 are 0.607 together
    ({"top_p": 0.7, "top_k": 3}, PROBABILITIES * [0, 0, 1, 1]),  # 0.4 and 0.3 are 7/9 of what top-k leaves
]


@pytest.mark.parametrize(("config", "weights"), DISTRIBUTIONS, ids=[repr(config) for config, _ in DISTRIBUTIONS])
def test_sampled_frequencies_match_the_stated_distribution(config, weights):
    draws = np.ravel(run(count=40, max_tokens=500, **config))
    counts, possible = np.bincount(draws, minlength=4), weights > 0
    assert not counts[~possible].any()
    expected = (weights * len(draws) / weights.sum())[possible]
    chi_square = ((counts[possible] - expected) ** 2 / expected).sum()
    assert chi_square < CRITICAL[possible.sum() - 1]


@pytest.mark.parametrize("temperature", [0.0, 1e-320, 1e-6, 0.0009])
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


def test_stepwise_tokens_are_those_of_the_samples():
    turns = list(generate_stepwise(constant_step, (), prompt=[0], end_id=3, max_tokens=30, rngs=rngs(6)))
    columns = [[token for token in column if token is not None] for column in zip(*turns)]
    assert columns == run(count=6, end_id=3, max_tokens=30)
    assert any(None in turn for turn in turns)


def test_the_fewest_tokens_come_before_an_end():
    lengths = [len(tokens) for tokens in run(count=60, end_id=3, max_tokens=30, min_tokens=4)]
    assert min(lengths) == 4 and max(lengths) > 4


def test_no_ngram_comes_twice():
    tokens = run(prompt=[0, 1, 2], max_tokens=9, no_repeat_ngram_size=2)[0]
    pairs = list(zip([1, 2, *tokens], [2, *tokens]))
    assert len(pairs) == len(set(pairs)) == 10
    assert sorted(run(max_tokens=9, no_repeat_ngram_size=1)[0]) == [0, 1, 2, 3]  # then nothing may follow


def test_repeated_tokens_get_rarer():
    """p becomes p ** 3 of what was there, the prompt's tokens counted: 0.1, 0.2, 0.027, 0.064 of the second draw."""
    seconds = [tokens[0] for tokens in run(prompt=[0, 2, 3], count=2000, max_tokens=1, repetition_penalty=3.0)]
    weights = np.array([0.1, 0.2, 0.3**3, 0.4**3])
    expected = weights * len(seconds) / weights.sum()
    assert ((np.bincount(seconds, minlength=4) - expected) ** 2 / expected).sum() < CRITICAL[3]


def test_a_sample_ends_once_it_is_complete():
    samples = generate(constant_step, (), prompt=[0], end_id=None, max_tokens=30, rngs=rngs(8),
                       is_complete=lambda i, ids: 3 in ids)  # fmt: skip
    assert all(tokens[-1] == 3 and tokens.count(3) == 1 for tokens in samples)


def test_no_tokens_at_most_gives_empty_samples():
    assert run(max_tokens=0, count=2) == [[], []]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": []}, "prompt must hold at least one id"),
        ({"temperature": -0.1}, "temperature must be at least 0"),
        ({"temperature": float("nan")}, "temperature must be a finite number"),
        ({"top_k": 0}, "top_k must be at least 1"),
        ({"top_p": 0.0}, "top_p must be greater than 0"),
        ({"top_p": 1.1}, "top_p must be at most 1"),
        ({"repetition_penalty": 0.9}, "repetition_penalty must be at least 1"),
        ({"stop": ("",)}, "stop must not be empty"),
        ({"beam_size": 2, "temperature": 0.5}, "beam_size cannot be used with --temperature"),
        ({"beam_size": 2, "stop": ("a",)}, "beam_size cannot be used with --stop"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        run(**options)


# Beam search

V, LENGTH, END = 4, 4, 1
TABLE = np.log(np.random.default_rng(5).dirichlet(np.ones(V), size=(V, V, V)))  # by the last three tokens


def markov_step(tokens, last):
    """The next token depends on the last three; the state is (batch, 2)."""
    log_probabilities = np.array([TABLE[a, b, token] for (a, b), token in zip(last.astype(int), tokens)])
    return [log_probabilities, np.stack([last[:, 1], tokens], axis=1)]


def all_texts():
    """Returns every text of at most LENGTH tokens with its log-probability; shorter ones end with END."""

    def grow(ids, total, state):
        for token, log_p in enumerate(TABLE[tuple(state)]):
            if token == END:
                yield ids, total + log_p
            elif len(ids) + 1 == LENGTH:
                yield [*ids, token], total + log_p
            else:
                yield from grow([*ids, token], total + log_p, [*state[1:], token])

    return sorted(grow([], 0.0, [0, 0, 0]), key=lambda found: -found[1])


def searched(beam_size, step=markov_step, num_best=1, **config):
    return beam_search(step, [np.zeros((beam_size, 2))], prompt=[0], end_id=END, max_tokens=LENGTH, num_best=num_best,
                       config=GenerationConfig(beam_size=beam_size, **config))  # fmt: skip


def test_a_wide_beam_finds_what_all_texts_compared_give():
    found = searched(V ** (LENGTH - 1), num_best=10)
    assert [(ids, pytest.approx(total)) for ids, total, _ in found] == all_texts()[:10]


def test_a_beam_of_one_is_greedy():
    greedy = generate(markov_step, [np.zeros((1, 2))], prompt=[0], end_id=END, max_tokens=LENGTH, rngs=rngs(1),
                      config=GenerationConfig(temperature=0))  # fmt: skip
    assert [searched(1)[0].ids] == greedy


def test_a_narrow_beam_finds_no_better_than_a_wide_one():
    best = [searched(size)[0].log_probability for size in (1, 2, 4, 64)]
    assert best == sorted(best) and best[0] < best[-1]


def test_scores_are_log_probabilities_over_a_power_of_the_length():
    for ids, total, score in searched(64, num_best=10, length_penalty=0.7):
        assert score == pytest.approx(total / (len(ids) + (len(ids) < LENGTH)) ** 0.7)
    expected = sorted((total / min(len(ids) + 1, LENGTH) ** 0.7 for ids, total in all_texts()), reverse=True)
    assert [found.score for found in searched(64, num_best=10, length_penalty=0.7)] == pytest.approx(expected[:10])


def test_a_beam_keeps_the_rules_of_length_and_repetition():
    assert all(len(found.ids) >= 3 for found in searched(8, num_best=5, min_tokens=3))
    for found in searched(8, num_best=5, no_repeat_ngram_size=1, min_tokens=2):
        assert len(set(found.ids)) == len(found.ids)


def test_a_beam_without_width_is_refused():
    with pytest.raises(ValueError, match="beam_size must be at least 1"):
        beam_search(markov_step, [np.zeros((1, 2))], prompt=[0], end_id=END, max_tokens=4)


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


def test_each_engine_samples_the_same_alone_and_in_company(tanh):
    config = {"prompt": [1, 5, 3], "end_id": 4, "max_tokens": 25, "config": GenerationConfig(top_k=5, top_p=0.95)}
    together = generate(tanh.functions.step, [np.zeros((7, HIDDEN))], rngs=rngs(7), **config)
    alone = [generate(tanh.functions.step, [np.zeros((1, HIDDEN))], rngs=[rng], **config)[0] for rng in rngs(7)]
    assert alone == together
    assert len(set(map(tuple, together))) > 4


def test_a_beam_with_a_model_finds_what_it_finds_with_a_plain_loop(tanh):
    options = {"prompt": [1, 5, 3], "end_id": 4, "max_tokens": 12, "num_best": 4, "banned": [0],
               "config": GenerationConfig(beam_size=5, length_penalty=0.5)}  # fmt: skip
    state = [np.zeros((5, HIDDEN))]
    found = beam_search(tanh.functions.step, state, **options)
    for ours, theirs in zip(found, beam_search(plain_step(tanh.params()), state, **options)):
        assert ours.ids == theirs.ids and ours.score == pytest.approx(theirs.score, abs=1e-9)
    assert len(found) == 4


@pytest.mark.parametrize("dtype", STEP_PRECISION)
def test_each_engine_gives_the_log_probabilities_of_a_plain_loop(engine, dtype):
    """Run the steps one after another, each from the state of the previous one."""
    model = compiled_once("tanh", engine, dtype=dtype) if dtype == "float32" else compiled_once("tanh", engine).reset()
    plain, state, expected_state = plain_step(model.params()), np.zeros((5, HIDDEN), dtype), np.zeros((5, HIDDEN))
    for tokens in np.random.default_rng(3).integers(9, size=(30, 5), dtype="int32"):
        log_probabilities, state = model.functions.step(tokens, state)
        expected, expected_state = plain(tokens, expected_state)
        assert log_probabilities.dtype == dtype
        total = np.exp(np.asarray(log_probabilities, np.float64)).sum(axis=-1)
        np.testing.assert_allclose(total, 1, rtol=0, atol=STEP_PRECISION[dtype])
        np.testing.assert_allclose(log_probabilities, expected, rtol=0, atol=STEP_PRECISION[dtype])
