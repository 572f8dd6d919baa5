"""Batches of labelled texts: every text once and whole, few shapes, and an order that the epoch decides."""

import numpy as np
import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.settings.classification import ClassifierTrainingConfig
from theano_rnn.tasks.classify import Classify
from theano_rnn.tasks.labelled_batches import MAX_LENGTHS, MAX_TOKENS, TextBatches, least_columns, num_columns
from theano_rnn.tasks.labelled_corpus import LabelledTexts
from theano_rnn.text.vocabulary import Vocabulary

PAD = 1000


def texts_of(lengths, num_labels=3):
    """Texts of different ids, so that none can be taken for another."""
    lengths = np.asarray(lengths)
    return LabelledTexts(
        np.arange(lengths.sum(), dtype=np.int32) + PAD + 1,
        lengths,
        (np.arange(len(lengths)) % num_labels).astype("int32"),
    )


def lengths_of(seed, count, longest):
    return np.random.default_rng(seed).geometric(3 / longest, count).clip(max=longest)


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize(
    "lengths",
    [[1], [5, 1, 300], lengths_of(0, 500, 90), lengths_of(1, 120, 4000), [9000, 2, 2], [7] * 33],
    ids=["one", "three", "short", "long", "very long", "equal"],
)
@pytest.mark.parametrize("batch_size", [1, 4, 20, 32])
def test_every_text_is_in_one_batch_as_a_whole(lengths, batch_size, shuffled):
    texts = texts_of(lengths)
    begins = np.cumsum(texts.lengths) - texts.lengths
    weights = np.array([0.5, 1.0, 2.0])
    rng = np.random.default_rng(0) if shuffled else None
    batches = TextBatches(texts, batch_size=batch_size, pad_id=PAD, label_weights=weights, rng=rng, dtype="float64")
    seen, shapes = [], set()
    for batch in batches:
        tokens, mask, labels, text_weights = batch.arrays
        assert tokens.shape == mask.shape and batch.num_columns == tokens.shape[1] == len(labels) == len(text_weights)
        assert 0 < batch.num_targets == len(batch.numbers) <= batch.num_columns
        assert (mask[1:] <= mask[:-1]).all() and (tokens[mask == 0] == PAD).all()
        for column, number in enumerate(batch.numbers):
            length = texts.lengths[number]
            assert mask[:, column].sum() == length
            expected = texts.ids[begins[number] : begins[number] + length]
            assert np.array_equal(tokens[:length, column], expected)
            assert labels[column] == texts.labels[number] and text_weights[column] == weights[labels[column]]
        empty = slice(len(batch.numbers), None)
        assert not mask[:, empty].any() and not text_weights[empty].any() and not labels[empty].any()
        assert batch.is_start and batch.rate_factor == 1
        seen += batch.numbers.tolist()
        shapes.add(tokens.shape)
        assert batch.num_columns == batch_size or batch.tokens.size <= MAX_TOKENS or batch.num_columns % 2 or (
            batch.num_columns < 16)  # fmt: skip
    assert sorted(seen) == list(range(len(texts)))
    assert batches.num_targets == len(texts) == sum(batch.num_targets for batch in batches)
    assert len(shapes) <= MAX_LENGTHS  # each takes seconds to compile
    assert {steps for steps, _ in shapes} <= set(batches.padded_lengths)
    assert len(dict(shapes)) == len(shapes)  # the length decides the number of columns


def test_little_is_padded():
    texts = texts_of(lengths_of(3, 3000, 200))
    batches = TextBatches(texts, batch_size=16, pad_id=PAD, rng=np.random.default_rng(0))
    assert sum(batch.tokens.size for batch in batches) < 1.6 * texts.lengths.sum()


def test_columns_of_long_texts_are_fewer_and_never_too_few_to_share():
    for size in range(1, 200):
        columns = [num_columns(steps, size) for steps in (8, 256, 512, 1024, 4096, 1 << 20)]
        assert columns == sorted(columns, reverse=True) and columns[-1] == least_columns(size) >= min(size, 8)
        assert all(size % each == 0 and each % columns[-1] == 0 for each in columns)
    assert num_columns(1024, 32) == 8


@pytest.mark.parametrize(("num_devices", "good", "bad"), [(2, 20, None), (3, 24, None), (4, 32, 20), (8, 64, 24)])
def test_devices_that_could_not_share_long_texts_are_refused_at_once(num_devices, good, bad):
    def check(size):
        Classify().check_devices({"training": ClassifierTrainingConfig(batch_size=size)}, num_devices)

    check(good)
    check(8 * num_devices)
    if bad is not None:
        with pytest.raises(UserError, match=f"^batch_size {bad} .* use --batch-size {8 * num_devices}$"):
            check(bad)
    with pytest.raises(UserError, match="use at most 8 devices"):
        Classify().check_devices({"training": ClassifierTrainingConfig(batch_size=128)}, 16)


def batches_of(epoch, **settings):
    sections = {"training": ClassifierTrainingConfig(**{"batch_size": 4, **settings})}
    facts = {"vocabulary": Vocabulary(("a", "b")), "labels": ["x", "y", "z"]}
    part = texts_of([*lengths_of(4, 120, 30)])
    part.labels = np.array([0] * 90 + [1] * 30, "int32")  # z has no text
    return Classify().batches(part, sections, facts, dtype="float32", epoch=epoch)


def order_of(batches):
    return [batch.numbers.tolist() for batch in batches]


def test_the_order_depends_on_seed_and_epoch_alone():
    assert order_of(batches_of(0)) == order_of(batches_of(0))
    assert order_of(batches_of(0)) != order_of(batches_of(1))
    assert order_of(batches_of(0)) != order_of(batches_of(0, seed=2))
    assert order_of(batches_of(None)) == order_of(batches_of(None, seed=2))
    firsts = [max(batch.tokens.shape[0] for batch in list(batches_of(epoch))[:3]) for epoch in range(12)]
    assert len(set(firsts)) > 1  # not always from the shortest to the longest


def test_balanced_labels_have_the_same_sum_of_weights():
    found = np.zeros(3)
    for batch in batches_of(0, class_weights="balanced"):
        assert batch.weights.dtype == np.float32
        np.add.at(found, batch.labels, batch.weights)
    np.testing.assert_allclose(found, [60, 60, 0], rtol=1e-5)  # 120 in all, as without weights
    for epoch, settings in ((0, {}), (None, {"class_weights": "balanced"})):
        assert {float(w) for batch in batches_of(epoch, **settings) for w in batch.weights} <= {0.0, 1.0}


def test_sums_do_not_count_columns_without_a_text():
    (batch,) = TextBatches(texts_of([2, 3]), batch_size=4, pad_id=PAD)
    log_p = np.log(np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.2, 0.2, 0.6], [0.2, 0.2, 0.6]])).T
    losses = np.array([0.5, 0.4, 0, 0])
    sums = Classify().sums(batch, [losses, log_p])
    assert sums["loss"] == pytest.approx(0.9) and sums["true"].sum() == 2 and sums["bin_right"].sum() <= 2
    assert sums["accuracy"] == 2
