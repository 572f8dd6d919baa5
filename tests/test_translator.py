"""A trained translator: translations that do not depend on other lines, scores, attention, n-best lists."""

from types import SimpleNamespace

import numpy as np
import pytest
from translator_models import checkpoint, language_model, opened

from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.settings.translation import SearchConfig
from theano_rnn.text.words import detokenize
from theano_rnn.translator import Translator, with_copies

LINES = ["A dog runs.", "It is late!", "Zorblax is late, A dog.", "A", "It is a dog, it runs, it is late."]


@pytest.mark.slow
def test_translations_have_the_log_probability_of_their_words():
    model = opened()
    for found in model.translate(LINES, num_best=3):
        assert 1 <= len(found.translations) <= 3
        scores = [each.score for each in found.translations]
        assert scores == sorted(scores, reverse=True)
        ids = [np.array([*each.ids, 1], np.int32) for each in found.translations]
        expected = model.log_probabilities([model.source_ids(found.source)] * len(ids), ids)
        for each, value in zip(found.translations, expected):
            if len(each.ids) < 2 * found.num_tokens + 11:  # it has an end
                assert each.log_probability == pytest.approx(value, abs=1e-4)
                assert each.score == pytest.approx(value / (len(each.ids) + 1), abs=1e-4)


def test_other_lines_change_nothing():
    model = opened()
    alone = {line: model.translate([line])[0] for line in LINES}
    rng = np.random.default_rng(0)
    lines = [LINES[i] for i in rng.integers(len(LINES), size=200)]
    for line, found in zip(lines, model.translate(lines)):
        assert found.source == line and found.text == alone[line].text
        assert found.translations[0].score == pytest.approx(alone[line].translations[0].score, abs=1e-5)


def test_a_wider_beam_and_power_zero_give_a_likelier_translation():
    model = opened()
    totals = [[each.translations[0].log_probability for each in model.translate(LINES, beam_size=size, length_power=0)]
              for size in (1, 6)]  # fmt: skip
    assert sum(totals[1]) >= sum(totals[0]) and totals[1] != totals[0]


def test_a_blank_line_has_no_translation():
    found = opened().translate(["", " \u200b ", "A dog"])
    assert [(each.text, each.translations, each.num_tokens) for each in found[:2]] == [("", [], 0)] * 2
    assert found[2].text and opened().translate([]) == []


def test_unknown_words_are_counted_and_never_written():
    (found,) = opened().translate(["Zorblax runs, Quux."], num_best=5)
    assert (found.num_unknown, found.num_tokens) == (2, 5)
    assert not any("<unk>" in each.text or 0 in each.ids for each in found.translations)


def test_a_stream_reads_no_further_than_it_must():
    read = []

    def lines():
        for number in range(10_000):
            read.append(number)
            yield f"dog {number}"

    assert next(opened().stream(lines())).source == "dog 0" and len(read) == 32
    waiting = opened().stream(iter(["A dog.", None, "It is late."]))
    assert [next(waiting).source, next(waiting).source] == ["A dog.", "It is late."]


def test_a_very_long_line_is_translated():
    (long, short) = opened().translate(["dog " * 700, "A dog."], beam_size=1)
    assert long.num_tokens == 700 and long.translations
    assert short.text == opened().translate(["A dog."], beam_size=1)[0].text


def test_a_sequence_is_not_repeated():
    for found in opened().translate(LINES, num_best=4, no_repeat_ngram_size=1):
        assert all(len(set(each.ids)) == len(each.ids) for each in found.translations)


def test_attention_is_that_of_the_best_translation_or_of_a_given_one():
    model = opened()
    found = model.attention("Zorblax is late.")
    best = model.translate(["Zorblax is late."])[0].translations[0]
    assert found.source == ["Zorblax", "is", "late", ".", "</s>"]
    assert found.target == [*model.vocabulary.decode(best.ids), "</s>"]
    assert found.weights.shape == (len(found.target), 5)
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, atol=1e-6)
    given = model.attention("A dog.", "Ein Hund <u>!")
    assert given.target == ["Ein", "Hund", "<", "u", ">", "!", "</s>"]
    np.testing.assert_allclose(model.attention("A dog.", "").weights.shape, (1, 4))
    with pytest.raises(UserError, match="the source is blank"):
        model.attention(" ")


def test_scores_are_sums_over_the_target():
    model = opened()
    value = model.score("A dog runs.", "Ein Hund rennt.")
    assert value == pytest.approx(next(model.scores([("A dog runs.", " Ein Hund  rennt. ")])).log_probability)
    pairs = [(LINES[i % 5], ["Ein Hund.", "", "Es ist spät, Zorblax!"][i % 3]) for i in range(100)]
    pairs[7] = (" ", "Ein")
    for (source, target), found in zip(pairs, model.scores(pairs)):
        if not source.strip():
            assert found is None
            continue
        assert found.log_probability == pytest.approx(model.score(source, target), abs=1e-5)
        assert found.num_unknown == (2 if "Zorblax" in target else 0) and found.num_tokens >= 1
    with pytest.raises(UserError, match="the source is blank"):
        model.score("", "Ein")


def test_unknown_words_are_copied_from_where_they_are_looked_at():
    model, line = opened(), "Zorblax is late, Quux."
    bias = model.model.params["b_y"]
    before = bias.get_value()
    bias.set_value(before + 4 * (np.arange(len(before)) == 0).astype(before.dtype))  # unknown words are likely
    try:
        assert all(0 not in each.ids for each in model.translate([line], 3)[0].translations)
        found = model.translate([line, "A dog."], 3, copy_unknown=True)
        tokens = ["Zorblax", "is", "late", ",", "Quux", "."]
        for each in found[0].translations:
            weights = model.attention(line, each).weights[:, : len(tokens)]
            expected = [tokens[weights[place].argmax()] if number == 0 else model.vocabulary.id_to_token(number)
                        for place, number in enumerate(each.ids)]  # fmt: skip
            assert each.text == detokenize(expected, model.vocabulary.text) and "<unk>" not in each.text
        assert any(0 in each.ids for those in found for each in those.translations)
    finally:
        bias.set_value(before)


def test_the_end_of_the_source_is_not_copied():
    weights = np.array([[0.1, 0.2, 0.7], [0.3, 0.1, 0.6]])
    assert with_copies(["<unk>", "<unk>"], [0, 0], ["a", "b"], weights) == ["b", "a"]
    assert with_copies(["<unk>", "c"], [5, 2], ["a", "b"], weights) == ["<unk>", "c"]


def test_pieces_are_not_copied():
    model = opened()
    vocabulary = model.vocabulary
    try:
        model.vocabulary = SimpleNamespace(text=TextConfig(unit="subword"))
        with pytest.raises(UserError, match="can write every word"):
            model.translate(["A"], copy_unknown=True)
    finally:
        model.vocabulary = vocabulary


def test_models_that_cannot_search_together_are_refused():
    with pytest.raises(UserError, match=r"char-1.0-5.safetensors has other vocabularies than .*word-1.0-5.safetensors"):
        Translator(checkpoint(), ensemble=[checkpoint(unit="char")])
    with pytest.raises(UserError, match="is a language model, but a translator is needed"):
        Translator(checkpoint(), ensemble=[language_model()])
    with pytest.raises(UserError, match="is a translator, but a language model is needed"):
        Translator(checkpoint(), lm=checkpoint())
    other = language_model(words=("Ein", "Hund"))
    with pytest.raises(UserError, match=r"does not have the target vocabulary of .*: train .* --vocab-from"):
        Translator(checkpoint(), lm=other)
    with pytest.raises(UserError, match="lm_weight 0.2 needs a language model"):
        opened().translate(["A"], lm_weight=0.2)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"coverage": -1}, "coverage must be at least 0"), ({"lm_weight": -1}, "lm_weight -1 needs a language model"),
     ({"beam_size": 0}, "beam_size must be at least 1"), ({"num_best": 3, "beam_size": 2}, "nbest must be at most"),
     ({"length_power": -1}, "length_power must be at least 0"), ({"num_best": 0}, "nbest must be at least 1")],
)  # fmt: skip
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        opened().translate(["A"], **options)
    assert SearchConfig().nbest == 1


def test_a_model_that_diverged_is_refused():
    model = opened()
    bias = model.model.params["b_y"]
    before = bias.get_value()
    bias.set_value(before * np.nan)
    try:
        with pytest.raises(UserError, match="training diverged"):
            model.translate(["A dog"])
        with pytest.raises(UserError, match="training diverged"):
            model.score("A dog", "Ein Hund")
    finally:
        bias.set_value(before)


@pytest.mark.slow
def test_characters_are_translated():
    model = opened(unit="char")
    found = model.translate(["It is late!", "Xyz"], num_best=2)
    assert found[0].num_tokens == 11 and (found[1].num_unknown, found[1].num_tokens) == (1, 3)
    assert all(len(each.text) == len(each.ids) for each in found[0].translations)
    assert model.attention("dog", "hund").target == ["h", "u", "n", "d", "</s>"]
