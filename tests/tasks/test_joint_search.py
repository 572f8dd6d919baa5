"""Several models search together: the mean of translators, the language model's ids, and one compiled step for all."""

import itertools

import numpy as np
import pytest
from conftest import ENGINES
from translator_models import CHARACTERS, WORDS, checkpoint, language_model, opened

from theano_rnn.generation.hypotheses import SearchRules
from theano_rnn.language_model import LanguageModel
from theano_rnn.settings.text import TextConfig
from theano_rnn.tasks.fused_language_model import corresponding_ids, has_same_tokens
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.translator import Translator

LINES = ["A dog runs.", "It is late!", "A", "It is a dog, it runs, it is late."]


def lm_log_p(model, ids):
    """log P of a language model for target ids without the end: by its `loss`, not by its steps."""
    vocabulary = model.vocabulary
    words = [vocabulary.word_to_id[word] for word in opened().vocabulary.decode(ids)]
    targets = np.array([*words, model.end_id], np.int32)[:, None]
    tokens = np.vstack([np.full((1, 1), model.start_id, np.int32), targets[:-1]])
    mask = np.ones(targets.shape, "float32")
    losses, *_ = model.function("loss")(tokens, targets, mask, *model.model.initial_state(1))
    return -float(np.asarray(losses).sum())


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"batching": "stream"}, {"head": "adaptive"}], ids=repr)
def test_log_probabilities_are_those_of_each_model_and_their_sum_ranks(options):
    """The words of the language model have other ids."""
    path = language_model(**options)
    model, lm = opened(lm=path), LanguageModel(path, engine=ENGINES[-1])
    checked = 0
    for found in model.translate(LINES, num_best=3, lm_weight=0.7):
        for each in found.translations:
            if len(each.ids) == 2 * found.num_tokens + 11:  # it may have no end
                continue
            (log_p,) = model.log_probabilities(
                [model.source_ids(found.source)], [np.array([*each.ids, 1], np.int32)]
            )
            assert each.log_probability == pytest.approx(log_p, abs=1e-4)
            assert each.lm_log_probability == pytest.approx(lm_log_p(lm, each.ids), abs=1e-4)
            total = each.log_probability + 0.7 * each.lm_log_probability
            assert each.score == pytest.approx(total / (len(each.ids) + 1), abs=1e-4)
            checked += 1
    assert checked > 6


@pytest.mark.slow
def test_a_wide_beam_finds_what_the_sum_ranks_first():
    """All texts of up to two words, scored apart, with the coverage penalty of the given attention."""
    model, lm = opened(lm=language_model()), LanguageModel(language_model(), engine=ENGINES[-1])
    source = model.source_ids("A dog runs.")
    rules = SearchRules(beam_size=150, num_best=150, length_power=1.0, coverage=0.3)
    (found,) = model.ensemble.search([source], rules, lm_weight=0.4)
    texts = [text for length in (0, 1, 2) for text in itertools.product(range(2, 12), repeat=length)]
    targets = [np.array([*text, 1], np.int32) for text in texts]
    log_ps = model.log_probabilities([source] * len(texts), targets)
    scores = {}
    for text, target, log_p in zip(texts, targets, log_ps):
        attended = model.ensemble.attention(source, target).sum(axis=0)
        total = log_p + 0.4 * lm_log_p(lm, text)
        scores[text] = total / len(target) + 0.3 * np.log(np.minimum(attended, 1)).sum()
    known = {each.ids: each.score for each in found}
    best = max(scores, key=lambda text: scores[text])
    assert known[best] == pytest.approx(scores[best], abs=1e-4)
    shared = scores.keys() & known.keys()
    assert len(shared) >= 10
    for text in shared:
        assert known[text] == pytest.approx(scores[text], abs=1e-4)


@pytest.mark.slow
def test_a_weight_of_zero_is_no_language_model_to_the_bit():
    assert opened(lm=language_model()).translate(LINES, 3, lm_weight=0.0) == opened().translate(LINES, 3)
    assert opened(lm=language_model()).translate(LINES, 3, lm_weight=0.5) != opened().translate(LINES, 3)


@pytest.mark.slow
def test_an_ensemble_of_a_model_with_itself_is_the_model():
    twice = opened(others=(5,))
    for one, other in zip(opened().translate(LINES, 3), twice.translate(LINES, 3), strict=True):
        assert [each.ids for each in one.translations] == [each.ids for each in other.translations]
        for each, same in zip(one.translations, other.translations):
            assert each.score == pytest.approx(same.score, abs=1e-5) and same.lm_log_probability is None
    assert twice.score("A dog.", "Ein Hund.") == pytest.approx(opened().score("A dog.", "Ein Hund."), abs=1e-5)


@pytest.mark.slow
def test_an_ensemble_has_the_mean_of_the_log_probabilities_and_of_the_attention():
    both, members = opened(others=(6,)), (opened(), opened(seed=6))
    expected = np.mean([each.score("A dog.", "Ein Hund.") for each in members])
    assert both.score("A dog.", "Ein Hund.") == pytest.approx(expected, abs=1e-5)
    weights = np.mean([each.attention("A dog.", "Ein Hund.").weights for each in members], axis=0)
    np.testing.assert_allclose(both.attention("A dog.", "Ein Hund.").weights, weights, atol=1e-6)
    found = both.translate(LINES, coverage=0.2)
    for each, line in zip(found, LINES):
        best = each.translations[0]
        ids = [np.array([*best.ids, 1], np.int32)]
        expected = np.mean([one.log_probabilities([one.source_ids(line)], ids)[0] for one in members])
        if len(best.ids) < 2 * each.num_tokens + 11:
            assert best.log_probability == pytest.approx(expected, abs=1e-4)
            attended = both.attention(line, best).weights.sum(axis=0)
            assert best.coverage == pytest.approx(0.2 * np.log(np.minimum(attended, 1)).sum(), abs=1e-4)
    assert [each.text for each in found] != [each.text for each in opened().translate(LINES, coverage=0.2)]


@pytest.mark.slow
def test_other_lines_change_nothing_with_all_models():
    model, options = opened(lm=language_model(), others=(6,)), {"lm_weight": 0.3, "coverage": 0.2}
    alone = {line: model.translate([line], **options)[0].translations[0] for line in LINES}
    lines = [LINES[i] for i in np.random.default_rng(0).integers(len(LINES), size=80)]
    for line, found in zip(lines, model.translate(lines, **options)):
        assert found.translations[0].ids == alone[line].ids
        assert found.translations[0].score == pytest.approx(alone[line].score, abs=1e-5)


def test_characters_end_with_a_line_break_in_the_language_model():
    model = opened(unit="char", lm=language_model(unit="char", batching="stream"))
    ids = model.ensemble.language_model.fusion.ids
    other = model.ensemble.language_model.checkpoint.vocabulary
    assert other.decode(ids[1:4]) == ["\n", "a", "b"] and other.id_to_token(ids[-1]) == "\n"
    assert model.translate(["It is late!"])[0].translations[0].lm_log_probability < 0


def test_vocabularies_are_compared_as_sets_and_by_what_splits_text():
    text = TextConfig(sentences="line")
    vocabulary = Vocabulary(WORDS, text)
    assert has_same_tokens(vocabulary, Vocabulary(WORDS[::-1], TextConfig()))
    for other in (Vocabulary(WORDS[1:], text), Vocabulary((*WORDS, "x"), text),
                  Vocabulary(WORDS, TextConfig(lowercase=True)), Vocabulary(WORDS, TextConfig(tokens="whitespace")),
                  Vocabulary(WORDS, TextConfig(unit="char"))):  # fmt: skip
        assert not has_same_tokens(vocabulary, other)
    characters = Vocabulary(CHARACTERS, TextConfig(unit="char"))
    assert not has_same_tokens(characters, characters)
    assert has_same_tokens(characters, Vocabulary((*CHARACTERS, "\n"), TextConfig(unit="char")))
    ids = corresponding_ids(vocabulary, Vocabulary(WORDS[::-1], text), "stream")
    assert ids.tolist() == [0, 1, *range(11, 1, -1), 12, 1] and ids.dtype == np.int32


def test_pieces_must_be_joined_in_the_same_order():
    pytest.importorskip("tokenizers")
    text = TextConfig(unit="subword")
    one, other, again = (Vocabulary.from_sentences([words] * 3, text=text)
                         for words in (["abab", "cab"], ["abc", "bcb"], ["cab", "abab"]))  # fmt: skip
    assert has_same_tokens(one, one) and has_same_tokens(one, again) and not has_same_tokens(one, other)


@pytest.mark.slow
@pytest.mark.skipif(len(ENGINES) < 2, reason="needs two engines")
def test_both_engines_find_the_same():
    options = {"lm_weight": 0.4, "coverage": 0.2, "beam_size": 2}
    found = [
        Translator(checkpoint(), lm=language_model(), ensemble=[checkpoint(seed=6)], engine=engine).translate(
            LINES[:2], 2, **options
        )
        for engine in ENGINES
    ]
    for one, other in zip(*found, strict=True):
        for each, same in zip(one.translations, other.translations, strict=True):
            assert each.ids == same.ids
            assert each[1:3] + each[4:] == pytest.approx(same[1:3] + same[4:], abs=1e-4)
