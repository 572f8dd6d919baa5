"""Batches: every token a target once, in its place, after the right token."""

import numpy as np
import pytest

from theano_rnn.learning.batching import (
    BUCKETS,
    BatchSequence,
    Sentences,
    Stream,
    sentence_lengths,
    start_id,
)
from theano_rnn.learning.random_windows import padded_lengths, random_lengths
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.vocabulary import Vocabulary

START, PAD, END = 90, 91, 1


def stream(ids, batch_size, bptt_steps):
    return Stream(np.asarray(ids, np.int32), batch_size=batch_size, bptt_steps=bptt_steps, start_id=START, pad_id=PAD)


def sentences(ids, batch_size, rng=None):
    ids = np.asarray(ids, np.int32)
    lengths = sentence_lengths(ids, END)
    return Sentences(ids, batch_size=batch_size, start_id=START, pad_id=PAD, lengths=lengths, rng=rng)


def text(num_sentences, rng, longest=20):
    return np.concatenate([[*rng.integers(2, 50, rng.integers(0, longest)), END] for _ in range(num_sentences)])


@pytest.mark.parametrize(
    ("count", "batch_size", "bptt_steps"), [(1, 1, 1), (23, 4, 3), (24, 4, 3), (5, 8, 10), (100, 7, 5)]
)
def test_a_stream_has_every_token_as_target_once_in_columns(count, batch_size, bptt_steps):
    ids = np.arange(2, 2 + count)
    batches = stream(ids, batch_size, bptt_steps)
    targets = np.concatenate([batch.targets for batch in batches])
    mask = np.concatenate([batch.mask for batch in batches])
    assert [t for column in range(batch_size) for t in targets[mask[:, column] == 1, column]] == ids.tolist()


def test_a_stream_input_is_the_token_before_the_target():
    for batch in stream(np.arange(2, 102), 7, 5):
        real = batch.mask == 1
        expected = np.where(batch.targets == 2, START, batch.targets - 1)
        np.testing.assert_array_equal(batch.tokens[real], expected[real])
        assert (batch.tokens[~real] == PAD).all()


def test_a_model_of_sentences_reads_the_beginning_of_one_instead_of_its_end():
    ids, end = np.array([5, END, 6, 7, END, 8], np.int32), {"end_id": END}
    batch = Stream(ids, batch_size=2, bptt_steps=3, start_id=START, pad_id=PAD, **end)[0]
    assert batch.tokens.T.tolist() == [[START, 5, START], [6, 7, START]]
    assert batch.targets.T.tolist() == [[5, END, 6], [7, END, 8]]


def test_a_stream_starts_from_zero_state_once():
    assert [batch.is_start for batch in stream(np.arange(50), 2, 5)] == [True] + [False] * 4


def test_stream_windows_have_one_shape_and_the_types_that_functions_take():
    for batch in stream(np.arange(53), 4, 5):
        assert batch.tokens.shape == batch.targets.shape == batch.mask.shape == (5, 4)
        assert (batch.tokens.dtype, batch.targets.dtype, batch.mask.dtype) == (np.int32, np.int32, np.float32)


def test_a_batch_that_is_not_there_is_an_index_error():
    batches = stream(np.arange(50), 2, 5)
    with pytest.raises(IndexError, match=r"batch must be in 0 .. 4, got 5"):
        batches[5]
    assert len(batches[1:3]) == 2


@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("seed", [None, 1])
def test_sentences_have_every_token_as_target_once_after_the_right_token(batch_size, seed):
    ids = text(100, np.random.default_rng(0))
    source = sentences(ids, batch_size, None if seed is None else np.random.default_rng(seed))
    seen = []
    for (members, first, _), batch in zip(source.plan, source):
        for column, member in enumerate(members):
            real = batch.mask[:, column] == 1
            begin = source.begins[member] + first
            targets = batch.targets[real, column]
            np.testing.assert_array_equal(targets, ids[begin : begin + real.sum()])
            np.testing.assert_array_equal(batch.tokens[real, column], [START, *targets[:-1]])
            seen.extend(range(begin, begin + real.sum()))
        assert batch.is_start
        assert batch.tokens.shape[0] in BUCKETS
    assert sorted(seen) == list(range(len(ids)))


def test_a_sentence_longer_than_the_largest_bucket_goes_on_with_carried_state():
    ids = np.array([*range(2, 702), END])
    batches = list(sentences(ids, 1))
    assert [batch.is_start for batch in batches] == [True, False, False]
    targets = np.concatenate([batch.targets[batch.mask == 1] for batch in batches])
    tokens = np.concatenate([batch.tokens[batch.mask == 1] for batch in batches])
    np.testing.assert_array_equal(targets, ids)
    np.testing.assert_array_equal(tokens, [START, *ids[:-1]])


def test_a_short_sentence_beside_a_long_one_is_masked_where_it_has_ended():
    batches = list(sentences([*range(2, 302), END, 5, END], 2))
    assert batches[1].mask[:, 0].sum() == 0
    assert sum(batch.mask.sum() for batch in batches) == 303


def test_sentences_without_generator_come_in_the_order_of_the_text_up_to_length():
    source = sentences([5, END, 6, END, 7, 8, END], 1)
    assert [plan[0].tolist() for plan in source.plan] == [[0], [1], [2]]


def test_the_order_of_sentences_depends_on_the_generator_alone():
    ids = text(300, np.random.default_rng(0))
    orders = [[m.tolist() for m, _, _ in sentences(ids, 4, np.random.default_rng(seed)).plan] for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_what_is_common_to_both_makes_no_batches():
    class Empty(BatchSequence):
        def __len__(self):
            return 1

    with pytest.raises(NotImplementedError):
        Empty()[0]


def test_text_after_the_last_end_is_a_sentence():
    assert sentence_lengths(np.array([5, END, 6, 7]), END).tolist() == [2, 2]
    assert sentence_lengths(np.array([], np.int32), END).tolist() == []


def test_what_stands_before_the_first_token():
    words = Vocabulary(("a", "b"))
    assert start_id(words, "stream") == words.eos_id
    assert start_id(words, "sentences") == words.bos_id
    characters = Vocabulary(("a", "\n"), text=TextConfig(unit="char"))
    assert start_id(characters, "stream") == characters.token_to_id("\n")
    assert start_id(Vocabulary(("a",), text=TextConfig(unit="char")), "stream") == words.eos_id


@pytest.mark.parametrize("bptt_steps", [1, 2, 5, 35, 70])
@pytest.mark.parametrize("num_ids", [1, 50, 5000])
def test_random_windows_have_every_token_once_in_order(bptt_steps, num_ids):
    ids = np.arange(num_ids, dtype="int32")
    stream = Stream(ids, batch_size=3, bptt_steps=bptt_steps, start_id=-1, pad_id=-2, rng=np.random.default_rng(4))
    columns = [[], [], []]
    for batch in stream:
        assert len(batch.mask) in padded_lengths(bptt_steps)
        for column in range(3):
            real = batch.mask[:, column] == 1
            columns[column] += batch.targets[real, column].tolist()
            np.testing.assert_array_equal(batch.tokens[real, column], batch.targets[real, column] - 1)
            assert (np.diff(real.astype(int)) <= 0).all()  # padding is at the end
    assert [token for column in columns for token in column] == ids.tolist()
    assert [batch.is_start for batch in stream] == [True] + [False] * (len(stream) - 1)


def test_random_windows_are_as_long_as_stated_and_padded_to_four_lengths_at_most():
    lengths = random_lengths(10**6, 70, rng=np.random.default_rng(0))
    assert lengths.sum() == 10**6
    short = lengths < 52
    assert 0.03 < short.mean() < 0.07
    assert abs(lengths[~short].mean() - 69.5) < 0.5 and abs(lengths[~short].std() - 5) < 0.5
    assert abs(lengths[short][:-1].mean() - 34.5) < 1
    assert len(padded_lengths(70)) == 4 and lengths.max() <= padded_lengths(70)[-1]


def test_random_windows_follow_from_their_generator():
    def windows(seed):
        rng = np.random.default_rng(seed)
        return Stream(np.arange(999, dtype="int32"), batch_size=3, bptt_steps=9, start_id=1, pad_id=2, rng=rng).lengths

    assert windows(1).tolist() == windows(1).tolist() != windows(2).tolist()


def test_a_window_of_random_length_has_a_rate_in_proportion():
    stream = Stream(np.arange(999, dtype="int32"), batch_size=3, bptt_steps=9, start_id=1, pad_id=2,
                    rng=np.random.default_rng(1))  # fmt: skip
    assert [batch.rate_factor for batch in stream] == [length / 9 for length in stream.lengths]
    fixed = Stream(np.arange(999, dtype="int32"), batch_size=3, bptt_steps=9, start_id=1, pad_id=2)
    assert {batch.rate_factor for batch in fixed} == {1.0}


def test_a_batch_says_what_training_needs_to_know():
    batch = Stream(np.arange(7, dtype="int32"), batch_size=2, bptt_steps=9, start_id=1, pad_id=2)[0]
    assert batch.arrays == (batch.tokens, batch.targets, batch.mask)
    assert (batch.num_targets, batch.num_columns, batch.is_start) == (7, 2, True)
