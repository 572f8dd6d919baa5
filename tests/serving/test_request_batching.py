"""Request batching with a fake step: which requests share a step, in which order, and how failures are handled."""

import threading
import time
from concurrent.futures import CancelledError
from contextlib import contextmanager

import numpy as np
import pytest
from conftest import VOCAB, compiled_once

from theano_rnn.generation.sampling import top_ids
from theano_rnn.generation.search import TokenRules, generate
from theano_rnn.serving.model_requests import batched_top_ids, next_token_candidates, sample_request, score_request
from theano_rnn.serving.request_batching import BatchedCall, QueueFullError, RequestBatcher, TokenAfterReset
from theano_rnn.settings.use import GenerationConfig
from theano_rnn.view.inspection import inspect_tokens

PATIENCE = 20.0  # seconds; a test that waits so long has failed


class FakeStep:
    """Returns the sum of the ids that each row has read. Records all calls; can be blocked and made to fail."""

    def __init__(self):
        self.batch_sizes, self.tokens = [], []
        self.may_go = threading.Event()
        self.may_go.set()
        self.is_inside = threading.Semaphore(0)
        self.error = None

    def __call__(self, tokens, total):
        self.is_inside.release()
        assert self.may_go.wait(PATIENCE)
        if self.error:
            raise self.error
        self.batch_sizes.append(len(tokens))
        self.tokens.append(tokens.tolist())
        total = total + tokens[:, None]
        return np.tile(total, (1, 2)), total


def zeros(batch_size):
    return [np.zeros((batch_size, 1))]


@contextmanager
def running(step, state=zeros, **options):
    batcher = RequestBatcher(step, state, **options)
    try:
        yield batcher
    finally:
        getattr(step, "may_go", threading.Event()).set()
        batcher.close()


def summing(*ids):
    """Request that returns the sums it receives after each of `ids`."""
    sums = []
    for number in ids:
        row = yield number
        sums.append(float(row[0]))
    return sums


def results(futures):
    return [future.result(PATIENCE) for future in futures]


def submit_together(step, batcher, *requests):
    """Returns futures of requests that all start at the same step: the first step is blocked until they are waiting."""
    step.may_go.clear()
    first = batcher.submit(summing(0))
    assert step.is_inside.acquire(timeout=PATIENCE)
    futures = batcher.submit_all(requests)
    step.may_go.set()
    assert first.result(PATIENCE) == [0.0]
    return futures


def test_requests_of_different_lengths_share_steps_and_each_has_its_own_state():
    step = FakeStep()
    with running(step) as batcher:
        futures = submit_together(step, batcher, *(summing(*range(i, i + i % 5 + 1)) for i in range(9)))
        assert results(futures) == [list(np.cumsum(range(i, i + i % 5 + 1)).astype(float)) for i in range(9)]
    assert step.batch_sizes == [1, 16, 16, 16, 4, 1]  # of 1, 9, 7, 5, 3 and 1 requests


def test_a_later_request_joins_at_the_next_step_and_a_short_one_does_not_wait_for_a_long_one():
    is_over = threading.Event()

    def long():
        while not is_over.is_set():
            yield 0
        return "over"

    with running(FakeStep()) as batcher:
        future = batcher.submit(long())
        assert results([batcher.submit(summing(i, i)) for i in range(5)]) == [[i, 2 * i] for i in range(5)]
        assert not future.done()
        is_over.set()
        assert future.result(PATIENCE) == "over"


def test_waiting_requests_start_in_the_order_of_arrival():
    step, ended = FakeStep(), []

    def noting(number):
        yield from summing(number)
        ended.append(number)

    with running(step, batch_sizes=(1, 2)) as batcher:
        results(submit_together(step, batcher, *map(noting, range(7))))
    assert ended == list(range(7))
    assert step.tokens == [[0], [0, 1], [2, 3], [4, 5], [6]]


def test_a_token_after_a_reset_is_read_from_the_zero_state():
    step = FakeStep()
    with running(step) as batcher:
        alone = batcher.submit(summing(1, 2, TokenAfterReset(5), 6)).result(PATIENCE)
        together = submit_together(step, batcher, summing(1, 2, TokenAfterReset(5), 6), summing(1, 1, 1, 1, 1))
        assert results(together) == [alone, [1.0, 2.0, 3.0, 4.0, 5.0]]
    assert alone == [1.0, 3.0, 5.0, 11.0]


def test_the_state_is_not_copied_while_the_requests_are_the_same():
    kept = []

    def step(tokens, state):
        kept.append(state)
        return np.zeros((len(tokens), 2)), object_array(state)

    def object_array(state):
        array = state.copy()
        array.flags.writeable = False  # a copy by RequestBatcher would be writeable
        return array

    with running(step) as batcher:
        batcher.submit(summing(1, 1, 1)).result(PATIENCE)
    assert [part.flags.writeable for part in kept] == [True, False, False]


def test_a_request_that_ends_at_once_needs_no_step():
    def idle():
        return "done"
        yield

    step = FakeStep()
    with running(step) as batcher:
        assert batcher.submit(idle()).result(PATIENCE) == "done"
    assert not step.batch_sizes


def failing(after):
    yield from summing(*range(after))
    raise KeyError("a mistake")


@pytest.mark.parametrize("after", [0, 1, 3])
def test_an_error_in_a_request_does_not_affect_others(after):
    step = FakeStep()
    with running(step) as batcher:
        bad, good = submit_together(step, batcher, failing(after), summing(1, 2, 3, 4))
        with pytest.raises(KeyError, match="a mistake"):
            bad.result(PATIENCE)
        assert good.result(PATIENCE) == [1.0, 3.0, 6.0, 10.0]


@pytest.mark.parametrize("wanted", ["a", None, [1]])
def test_only_a_request_that_yields_no_id_fails(wanted):
    def wrong():
        yield wanted

    with running(FakeStep()) as batcher:
        with pytest.raises((TypeError, ValueError)):
            batcher.submit(wrong()).result(PATIENCE)
        assert batcher.submit(summing(3)).result(PATIENCE) == [3.0]


def test_if_a_step_fails_all_active_requests_fail_and_later_ones_run():
    step = FakeStep()
    with running(step) as batcher:
        step.may_go.clear()
        step.error = RuntimeError("the device failed")
        first = batcher.submit(summing(1, 2))
        assert step.is_inside.acquire(timeout=PATIENCE)
        waiting = batcher.submit(summing(4, 5))
        step.may_go.set()
        for future in (first, waiting):
            with pytest.raises(RuntimeError, match="the device failed"):
                future.result(PATIENCE)
        step.error = None
        assert batcher.submit(summing(1, 2)).result(PATIENCE) == [1.0, 3.0]


def test_a_batched_call_runs_once_for_all_requests_of_a_step():
    calls = []

    def doubled(values):
        calls.append(values)
        return [2 * value for value in values]

    def asking(number):
        before = yield BatchedCall(doubled, number)
        row = yield before
        after = yield BatchedCall(doubled, float(row[0]))
        return (yield BatchedCall(doubled, after))

    step = FakeStep()
    with running(step) as batcher:
        futures = submit_together(step, batcher, asking(1), summing(5, 6), asking(2))
        assert results(futures) == [8.0, [5.0, 11.0], 16.0]
    assert calls == [[1, 2], [2.0, 4.0], [4.0, 8.0]]
    assert step.tokens[1][:3] == [2, 5, 4]


def test_if_a_batched_call_fails_only_its_requests_fail():
    def broken(values):
        raise KeyError("a mistake")

    def asking():
        yield 1
        yield BatchedCall(broken, 1)

    step = FakeStep()
    with running(step) as batcher:
        *bad, good = submit_together(step, batcher, asking(), asking(), summing(1, 2, 3))
        for future in bad:
            with pytest.raises(KeyError, match="a mistake"):
                future.result(PATIENCE)
        assert good.result(PATIENCE) == [1.0, 3.0, 6.0]


def test_cancelling_a_future_ends_its_request():
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield 1
        finally:
            closed.set()

    step = FakeStep()
    with running(step, batch_sizes=(1,)) as batcher:
        active = batcher.submit(endless())
        assert step.is_inside.acquire(timeout=PATIENCE)
        waiting = batcher.submit(summing(2))
        never = batcher.submit(summing(9))
        assert never.cancel()
        assert active.cancel()
        assert closed.wait(PATIENCE)
        assert waiting.result(PATIENCE) == [2.0]
        batcher.submit(summing(3)).result(PATIENCE)
    assert [9] not in step.tokens


def test_requests_beyond_the_queue_limit_are_refused_and_cancelled_ones_do_not_count():
    step = FakeStep()
    with running(step, batch_sizes=(1,), max_waiting=3) as batcher:
        step.may_go.clear()
        batcher.submit(summing(0))
        assert step.is_inside.acquire(timeout=PATIENCE)
        waiting = batcher.submit_all([summing(1), summing(2)])
        with pytest.raises(QueueFullError, match="2 requests are waiting, at most 3 may wait"):
            batcher.submit_all([summing(3), summing(4)])
        waiting[0].cancel()
        last = batcher.submit_all([summing(3), summing(4)])
        step.may_go.set()
        assert results([waiting[1], *last]) == [[2.0], [3.0], [4.0]]


def test_close_cancels_unfinished_requests():
    step = FakeStep()
    batcher = RequestBatcher(step, zeros, batch_sizes=(1,))
    step.may_go.clear()
    futures = batcher.submit_all([summing(*range(1000)), summing(1)])
    assert step.is_inside.acquire(timeout=PATIENCE)
    closing = threading.Thread(target=batcher.close)
    closing.start()
    time.sleep(0.01)
    step.may_go.set()
    closing.join(PATIENCE)
    for future in futures:
        with pytest.raises(CancelledError):
            future.result(PATIENCE)
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(summing(1))


# With a model

START = VOCAB + 1
IDS = [[3, 1, 4, 1, 5, 2], [2], [6, 5, 1, 1, 0, 3, 3, 2, 4, 1, 5], [], [1, 1]]


@pytest.fixture(scope="module")
def lstm_step():
    """Returns a function that compiles the step of an LSTM on an engine."""
    return lambda engine: compiled_once("lstm", engine, "step")


def all_scored(batcher, reset_id):
    work = [score_request(ids, start_id=START, reset_id=reset_id, num_guesses=3) for ids in IDS * 8]
    return results(batcher.submit_all(work))


@pytest.mark.parametrize("reset_id", [None, 1])
def test_a_text_scores_the_same_in_a_batch_as_alone(engine, lstm_step, reset_id):
    compiled = lstm_step(engine)
    step, state = compiled.functions.step, compiled.model.initial_state
    with running(step, state) as batcher:
        found = all_scored(batcher, reset_id)
    for ids, scores in zip(IDS * 8, found):
        assert len(scores.log_probabilities) == len(ids) and scores.guesses.shape == (len(ids), 3)
        if not ids:
            continue
        alone = inspect_tokens(step, state(1), ids, start_id=START, reset_id=reset_id, num_guesses=3)
        np.testing.assert_allclose(scores.log_probabilities, alone.log_probabilities, rtol=1e-9)
        np.testing.assert_array_equal(scores.guesses, alone.guesses)
        np.testing.assert_allclose(scores.guess_log_probabilities, alone.guess_log_probabilities, rtol=1e-9)
        longer = inspect_tokens(step, state(1), [*ids, 0], start_id=START, reset_id=reset_id)
        assert scores.next_log_probabilities[0] == pytest.approx(longer.log_probabilities[-1], rel=1e-9)


@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 0.5}, {"temperature": 0}, {"top_k": 3}, {"top_p": 0.7, "temperature": 1.5},
     {"no_repeat_ngram_size": 1}, {"min_tokens": 4}, {"repetition_penalty": 2.0}],
)  # fmt: skip
def test_a_sample_is_that_of_generate_with_the_same_seed(engine, lstm_step, options):
    compiled, config = lstm_step(engine), GenerationConfig(**options)
    step, state, banned = compiled.functions.step, compiled.model.initial_state, [0]
    rules = TokenRules(config, end_id=1, banned=banned)

    def work(ids, seed):
        return sample_request(ids, start_id=START, rules=rules, rng=np.random.default_rng([5, seed]), max_tokens=9)

    with running(step, state) as batcher:
        found = results(batcher.submit_all([work(ids, seed) for ids in IDS for seed in range(4)]))
    expected = [
        sample
        for ids in IDS
        for sample in generate(step, state(4), prompt=[START, *ids], end_id=1, max_tokens=9, banned=banned,
                               rngs=[np.random.default_rng([5, seed]) for seed in range(4)], config=config)
    ]  # fmt: skip
    assert found == expected


@pytest.mark.parametrize("vocab_size", [1, 5, 63, 64, 65, 200, 1000])
def test_the_likeliest_of_several_rows_are_those_of_each(vocab_size):
    rng = np.random.default_rng(vocab_size)
    for values in (3, 50, 10**6):  # few values: many ties
        rows = rng.integers(values, size=(6, vocab_size)).astype(np.float32)
        rows[5, ::2] = -np.inf
        asked = [(row, min(count, vocab_size)) for row, count in zip(rows, (1, 5, 2, 40, 300, 3))]
        for found, (row, count) in zip(batched_top_ids(asked), asked):
            np.testing.assert_array_equal(found, top_ids(row, count))


def greedy(rows, **options):
    """Returns the ids sampled at temperature 0 from log-probabilities that depend on the number of ids read."""

    def step(tokens, seen):
        return [rows[int(n)] for n in seen[:, 0]], seen + 1

    rules = TokenRules(GenerationConfig(temperature=0), end_id=1, banned=[])
    with running(step) as batcher:
        request = sample_request([2], start_id=0, rules=rules, rng=np.random.default_rng(0), **options)
        return batcher.submit(request).result(PATIENCE)


def test_a_sample_goes_on_after_an_end_if_requested():
    end, other = np.log([0.1, 0.8, 0.1]), np.log([0.1, 0.1, 0.8])
    rows = [other, end, other, end, end, end]
    assert greedy(rows, max_tokens=9) == []
    assert greedy(rows, max_tokens=9, goes_on=lambda ids: not ids) == [1, 2]
    assert greedy(rows, max_tokens=9, goes_on=lambda ids: len(ids) < 3) == [1, 2, 1]
    assert greedy(rows, max_tokens=2, goes_on=lambda ids: True) == [1, 2]


@pytest.mark.parametrize("temperature", [0.001, 0.5, 1.0, 3.0])
def test_candidates_have_the_probabilities_that_samples_have(temperature):
    p = np.array([0.1, 0.2, 0.3, 0.4])
    ids, probabilities = next_token_candidates(np.log(p), temperature=temperature, banned=[0], count=9)
    weights = np.where(p == 0.1, 0, (p / p.max()) ** (1 / temperature))
    assert ids.tolist() == [3, 2, 1]
    np.testing.assert_allclose(probabilities, (weights / weights.sum())[[3, 2, 1]], atol=1e-12)


def test_at_temperature_0_the_likeliest_candidate_is_certain():
    ids, probabilities = next_token_candidates(np.log([0.1, 0.6, 0.3]), temperature=0, banned=[], count=2)
    assert (ids.tolist(), probabilities.tolist()) == ([1, 2], [1.0, 0.0])
