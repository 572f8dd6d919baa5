"""Fill in the missing word: nothing of a word reaches its own prediction, and everything of the others does."""

import functools

import numpy as np
import pytest
import reference_cells
from conftest import ENGINES

from theano_rnn.settings.base import UserError
from theano_rnn.settings.network import ModelConfig
from theano_rnn.settings.text import TextConfig
from theano_rnn.settings.training import RegularizationConfig
from theano_rnn.tasks.blanks import batches, examples, fill, read_blanks
from theano_rnn.tasks.cloze import Cloze
from theano_rnn.text.vocabulary import Vocabulary

TIME, BATCH, VOCAB, EMBEDDING, HIDDEN = 6, 3, 9, 4, 5
SHAPES = [("jax", "tanh", 1), ("jax", "lstm", 2), ("jax", "gru", 3), ("c", "tanh", 1)]
SHAPES = [shape for shape in SHAPES if shape[0] in ENGINES]
every_shape = pytest.mark.parametrize(
    ("engine", "cell", "num_layers"),
    [pytest.param(*shape, marks=() if shape[1] == "tanh" else pytest.mark.slow) for shape in SHAPES],
)


def model_of(cell, num_layers, **settings):
    config = ModelConfig(
        cell=cell, num_layers=num_layers, embedding_size=EMBEDDING, vocab_size=VOCAB, dtype="float64",
        **{"hidden_size": HIDDEN, "tie_weights": False} | settings,
    )  # fmt: skip
    model = Cloze(config, rng=np.random.default_rng(3))
    rng = np.random.default_rng(4)
    for parameter in model.params.values():
        parameter.set_value(rng.normal(0, 0.7, parameter.get_value().shape))
    return model


@functools.cache
def compiled(engine, cell, num_layers):
    model = model_of(cell, num_layers)
    return model, model.compile(*(("train", "predict") if engine == "c" else ()), engine=engine)  # g++ takes long


def batch():
    """Three sentences of 6, 4 and 1 words: tokens, targets, mask and a state."""
    rng = np.random.default_rng(5)
    mask = (np.arange(TIME)[:, None] < [6, 4, 1]).astype("float64")
    targets = np.where(mask > 0, rng.integers(2, VOCAB, (TIME, BATCH)), 0).astype("int32")
    return (*with_words(targets, mask), mask)


def with_words(targets, mask):
    """tokens, targets: the word before each, `<s>` before the first, `<pad>` where masked."""
    tokens = np.concatenate([np.full((1, BATCH), VOCAB + 1), targets[:-1]])
    return np.where(mask > 0, tokens, VOCAB).astype("int32"), targets


def changes(function, model):
    """changed[t, u]: the largest change of the prediction at u when word t of the first sentence becomes another."""
    tokens, targets, mask = batch()
    state = model.initial_state(BATCH)
    before = np.asarray(function(tokens, targets, mask, *state)[0])
    changed = np.zeros((TIME, TIME))
    for t in range(TIME):
        for other in range(2, VOCAB):
            words = targets.copy()
            words[t, 0] = other
            after = np.asarray(function(*with_words(words, mask), mask, *state)[0])
            assert np.array_equal(after[:, 1:], before[:, 1:])
            changed[t] = np.maximum(changed[t], np.abs(after - before)[:, 0].max(axis=1))
    return changed


@pytest.mark.slow
@every_shape
def test_a_word_changes_nothing_where_it_stands_and_every_other_prediction(engine, cell, num_layers):
    model, functions = compiled(engine, cell, num_layers)
    changed = changes(functions.predict, model)
    assert (np.diag(changed) == 0).all()
    assert (changed[~np.eye(TIME, dtype=bool)] > 1e-7).all()


@pytest.mark.skipif("jax" not in ENGINES, reason="needs jax")
def test_that_test_finds_a_model_that_looks_at_the_word(monkeypatch):
    monkeypatch.setattr("theano_rnn.tasks.cloze.next_words", lambda targets, mask, end_id: targets)
    model = model_of("tanh", 1)
    assert (np.diag(changes(model.compile("predict", engine="jax").predict, model)) > 1e-7).all()


@every_shape
def test_the_loss_is_minus_the_logarithm_of_the_prediction(engine, cell, num_layers):
    model, functions = compiled(engine, cell, num_layers)
    tokens, targets, mask = batch()
    state = model.initial_state(BATCH)
    log_p = np.asarray(functions.predict(tokens, targets, mask, *state)[0])
    np.testing.assert_allclose(np.exp(log_p).sum(axis=2), 1, atol=1e-12)
    losses = -np.take_along_axis(log_p, targets[:, :, None], axis=2)[:, :, 0] * mask
    if functions.loss:
        np.testing.assert_allclose(functions.loss(tokens, targets, mask, *state)[0], losses, atol=1e-12)
    loss = functions.train(tokens, targets, mask, *state, 0.0)[0]
    np.testing.assert_allclose(loss, losses.sum() / mask.sum(), rtol=1e-12)


def plain(params, num_layers, targets, mask):
    """Log-probabilities by plain loops over each sentence from both ends."""
    log_p = np.zeros((TIME, BATCH, VOCAB))
    for column in range(BATCH):
        words = list(targets[: int(mask[:, column].sum()), column])
        for place in range(len(words)):
            ends = []
            for side, read in (("forward", [VOCAB + 1, *words[:place]]), ("backward", [1, *words[:place:-1]])):
                x = params["embedding"][read][:, None]
                for layer in range(num_layers):
                    weights = {name: params[f"{side}.layer{layer}.{name}"] for name in ("W_xh", "W_hh", "b_h")}
                    h, outputs = np.zeros((1, HIDDEN)), []
                    for x_t in x:
                        h, _ = reference_cells.tanh(weights, x_t, h)
                        outputs.append(h)
                    x = np.stack(outputs)
                ends.append(x[-1, 0])
            joined = np.tanh(np.concatenate(ends) @ params["W_join"] + params["b_join"])
            scores = joined @ params["W_hy"] + params["b_y"]
            log_p[place, column] = scores - np.log(np.exp(scores).sum())
    return log_p


@pytest.mark.parametrize(("engine", "num_layers"), [(engine, n) for engine, cell, n in SHAPES if cell == "tanh"])
def test_predictions_are_those_of_plain_loops_from_both_ends(engine, num_layers):
    model, functions = compiled(engine, "tanh", num_layers)
    params = {name: np.array(p.get_value()) for name, p in model.params.items()}
    tokens, targets, mask = batch()
    log_p = np.asarray(functions.predict(tokens, targets, mask, *model.initial_state(BATCH))[0])
    expected = plain(params, num_layers, targets, mask)
    np.testing.assert_allclose(log_p[mask > 0], expected[mask > 0], atol=1e-11)


@every_shape
def test_gradients_are_central_differences(engine, cell, num_layers):
    model, functions = compiled(engine, cell, num_layers)
    tokens, targets, mask = batch()
    arguments = tokens, targets, mask, *model.initial_state(BATCH)
    before = {name: np.array(p.get_value()) for name, p in model.params.items()}
    functions.train(*arguments, 1.0)
    slopes = {name: before[name] - np.asarray(p.get_value()) for name, p in model.params.items()}
    rng = np.random.default_rng(6)
    for name, parameter in model.params.items():
        direction = rng.normal(size=before[name].shape)
        losses = []
        for sign in (1, -1):
            for other, value in before.items():
                model.params[other].set_value(value)
            parameter.set_value(before[name] + sign * 1e-5 * direction)
            losses.append(float(functions.train(*arguments, 0.0)[0]))
        parameter.set_value(before[name])
        slope = (losses[0] - losses[1]) / 2e-5
        np.testing.assert_allclose((slopes[name] * direction).sum(), slope, rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.mark.learns
@pytest.mark.skipif("jax" not in ENGINES, reason="needs jax")
@pytest.mark.slow
def test_a_model_with_ties_and_all_kinds_of_dropout_learns_a_rule_that_needs_both_sides():
    """A word is the sum of its neighbours: neither side alone tells it."""
    model = model_of("gru", 1, tie_weights=True, hidden_size=12)
    settings = RegularizationConfig(dropout=0.05, variational=True, embedding_dropout=0.02, recurrent_dropout=0.05,
                                    label_smoothing=0.02, activation_penalty=0.01, temporal_penalty=0.01)  # fmt: skip
    functions = model.compile("train", "predict", engine="jax", optimizer="adam", regularization=settings)
    rng = np.random.default_rng(0)
    mask = np.ones((3, 64))

    def sentences():
        first, last = rng.integers(0, 4, (2, 64))
        words = 2 + np.stack([first, (first + last) % 4, last])
        tokens = np.concatenate([np.full((1, 64), VOCAB + 1), words[:-1]])
        return tokens.astype("int32"), words.astype("int32")

    for _ in range(400):
        functions.train(*sentences(), mask, *model.initial_state(64), 0.02)
    tokens, words = sentences()
    log_p = np.asarray(functions.predict(tokens, words, mask, *model.initial_state(64))[0])
    assert (log_p[1].argmax(axis=1) == words[1]).mean() > 0.95


# Batches


def vocabulary():
    return Vocabulary(("a", "b", "c", "d"))


def test_every_word_is_a_target_once_and_no_end_of_a_sentence_is():
    ids = np.array([2, 3, 1, 1, 4, 1, 5, 0, 2, 1, 3], "int32")  # an empty sentence; the last has no end
    found = []
    for one in batches(ids, vocabulary(), batch_size=2):
        for column in range(2):
            words = one.targets[one.mask[:, column] > 0, column]
            if len(words):
                found.append(words.tolist())
                assert one.tokens[: len(words), column].tolist() == [vocabulary().bos_id, *words[:-1]]
        assert one.is_start
    assert sorted(found) == [[2, 3], [3], [4], [5, 0, 2]]


def test_an_order_of_its_own_for_each_generator_and_nothing_to_do_for_no_text():
    ids = np.tile(np.array([2, 3, 4, 1], "int32"), 50)
    ids[::8] = 5
    first, again, other = (batches(ids, vocabulary(), batch_size=4, rng=np.random.default_rng(seed))
                           for seed in (1, 1, 2))  # fmt: skip
    assert all(np.array_equal(a.targets, b.targets) for a, b in zip(first, again))
    assert any(not np.array_equal(a.targets, b.targets) for a, b in zip(first, other))
    assert len(batches(np.array([1, 1], "int32"), vocabulary(), batch_size=4)) == 0


# Blanks


def fake_predict(tokens, targets, mask):
    """Log-probabilities that depend on the place alone: `<unk>` first, then the word two ids after the place."""
    p = np.full((*tokens.shape, 6), 0.02)
    p[:, :, 0] = 0.5
    for place in range(len(tokens)):
        p[place, :, 2 + place % 4] = 0.3
    return [np.log(p)]


def filled(*tokens, places, **options):
    return fill(fake_predict, lambda count: (), vocabulary(), tokens, places, **options)


def test_each_place_gets_its_own_words_with_the_probabilities_of_the_model():
    blanks = filled("a", "___", "c", "c", places=[1, 3], num_words=2)
    assert [[word for word, _ in best] for best in blanks] == [["b", "a"], ["d", "a"]]
    np.testing.assert_allclose([[p for _, p in best] for best in blanks], [[0.3, 0.02]] * 2)


def test_unknown_words_and_ends_of_sentences_are_never_filled_in():
    (best,) = filled("a", places=[0], num_words=50)
    assert {word for word, _ in best} == {"a", "b", "c", "d"}


def test_a_sentence_longer_than_any_window_is_filled_in_too():
    blanks = filled(*["a"] * 700, places=[3, 650], num_words=1)
    assert [best[0][0] for best in blanks] == ["d", "abcd"[(650 - 512) % 4]]


def test_a_word_at_a_place_to_fill_is_not_looked_at():
    seen = []

    def predict(tokens, targets, mask):
        seen.append((tokens[:4, 0].tolist(), targets[:4, 0].tolist()))
        return fake_predict(tokens, targets, mask)

    words = vocabulary()
    fill(predict, lambda count: (), words, ["a", "b", "c", "d"], [1, 2])
    assert seen == [([words.bos_id, 2, 0, 0], [2, 0, 0, 5])]


NLTK = TextConfig()
BLANKS = [
    ("Emma was at ___. He left.", NLTK, [(["Emma", "was", "at", "___", "."], [3])]),
    ("She ___. He ____ the __.", NLTK, [(["She", "___", "."], [1]), (["He", "___", "the", "___", "."], [1, 3])]),
    ('"___," said _she_.', NLTK, [(["``", "___", ",", "''", "said", "_she_", "."], [1])]),
    ("a blank ___ blankk", NLTK, [(["a", "blank", "___", "blankk"], [2])]),
    ("___", NLTK, [(["___"], [0])]),
    ("THE ___ .", TextConfig(lowercase=True, tokens="whitespace", sentences="line"), [(["the", "___", "."], [1])]),
]


@pytest.mark.parametrize(("line", "text", "expected"), BLANKS)
def test_blanks_are_found_as_a_reader_would(line, text, expected):
    assert read_blanks(line, text) == expected


@pytest.mark.parametrize("line", ["none", "_italics_", "half___", "___half", "one _", "the ___."])
def test_a_line_without_a_blank_of_its_own_is_refused(line):
    with pytest.raises(UserError, match="write ___ for the missing word, with spaces around it"):
        read_blanks(line, TextConfig(tokens="whitespace", sentences="line"))


def test_examples_are_sentences_that_a_reader_can_judge():
    words = Vocabulary(("long", "words", "here", "____", ".", "and"))
    sentences = [["long", "words", "and", "____", "here", "."], ["long", "."], ["rare"] * 7, ["and", ".", "____"] * 3]
    ids = np.concatenate([[*words.encode(sentence), 1] for sentence in sentences]).astype("int32")

    def predict(tokens, targets, mask):
        return [np.zeros((*tokens.shape, len(words)))]

    found = list(examples(predict, lambda count: (), words, ids, rng=np.random.default_rng(0), num_words=2))
    assert len(found) == 1
    assert found[0].word in ("long", "words", "here") and found[0].tokens.count("___") == 1
    assert found[0].tokens.count("____") == 1 and len(found[0].guesses) == 2


@pytest.mark.skipif("jax" not in ENGINES, reason="needs jax")
@pytest.mark.slow
def test_an_adaptive_head_fills_in_too():
    model = model_of("tanh", 1, head="adaptive", cutoffs=(3, 6))
    functions = model.compile("predict", "loss", engine="jax")
    tokens, targets, mask = batch()
    log_p = np.asarray(functions.predict(tokens, targets, mask, *model.initial_state(BATCH))[0])
    losses = -np.take_along_axis(log_p, targets[:, :, None], axis=2)[:, :, 0] * mask
    actual = functions.loss(tokens, targets, mask, *model.initial_state(BATCH))[0]
    np.testing.assert_allclose(actual, losses, atol=1e-12)
