"""Batched beam search with fake steps: greedy, exhaustive, independent of other sentences, and its rules."""

import itertools

import numpy as np
import pytest

from theano_rnn.generation.batched_search import beam_search, num_proposals, repeated
from theano_rnn.generation.hypotheses import LEAST_COVERAGE, Hypothesis, SearchRules, coverage_penalty
from theano_rnn.generation.translating import groups_of, translate

START, END, VOCAB = 9, 1, 5


def toy(seed, vocab=VOCAB):
    """A model whose next word depends on a number for the sentence and on all words before: state -> log P."""

    def log_probabilities(sentence, text):
        rng = np.random.default_rng([seed, sentence, *text])
        scores = rng.normal(0, 1.5, vocab)
        return scores - np.log(np.exp(scores).sum())

    return log_probabilities


class Step:
    """A step for `beam_search` whose state is the sentence and the words of each column."""

    def __init__(self, log_probabilities, beam_size):
        self.log_probabilities, self.count, self.calls = log_probabilities, num_proposals(beam_size), 0

    def __call__(self, tokens, parents, state, banned):
        self.calls += 1
        assert tokens.dtype == parents.dtype == np.int32
        state = [state[parent] for parent in parents]
        state = [(sentence, text if token == START else (*text, int(token)))
                 for (sentence, text), token in zip(state, tokens)]  # fmt: skip
        scores = np.array([self.log_probabilities(*each) for each in state]) + banned
        words = np.argsort(-scores, axis=1, kind="stable")[:, : self.count]
        return [np.take_along_axis(scores, words, 1), words.astype(np.int32), state]


class RichStep(Step):
    """A step with a language model, whose weight is given, and with attention to a few positions."""

    def __init__(self, log_probabilities, beam_size, language_model, weight, attention=None):
        super().__init__(log_probabilities, beam_size)
        self.language_model, self.weight, self.attention = language_model, weight, attention

    def __call__(self, tokens, parents, state, banned):
        state = [state[parent] for parent in parents]
        state = [(sentence, text if token == START else (*text, int(token)))
                 for (sentence, text), token in zip(state, tokens)]  # fmt: skip
        log_p = np.array([self.log_probabilities(*each) for each in state])
        lm_log_p = np.array([self.language_model(0, text) for _, text in state])
        scores = log_p + self.weight * lm_log_p + banned
        words = np.argsort(-scores, axis=1, kind="stable")[:, : self.count]
        values, *features = (np.take_along_axis(each, words, 1) for each in (scores, log_p, lm_log_p))
        attention = [] if self.attention is None else [np.array([self.attention(*each) for each in state])]
        return [values, words.astype(np.int32), *features, *attention, state]


def looking(seed, lengths, positions):
    """Attention weights of each position that depend on the sentence and its words; 0 beyond the sentence's length."""

    def weights(sentence, text):
        values = np.random.default_rng([seed, sentence, *text]).random(positions) ** 6
        values[lengths[sentence] :] = 0
        return values / values.sum()

    return weights


def rich_search(sentences, limits, lengths, *, weight=0.6, never=(), coverage=0.7, **rules):
    """Returns what is found with a language model and coverage, and the score of any text by the equations."""
    rules = SearchRules(coverage=coverage, **rules)
    model, lm, attention = toy(2), toy(12), looking(3, lengths, max(lengths) + 2)
    step = RichStep(model, rules.beam_size, lm, weight, attention if coverage else None)
    banned = np.zeros(VOCAB)
    banned[list(never)] = -np.inf
    state = [(sentence, ()) for sentence in sentences for _ in range(rules.beam_size)]
    found = beam_search(step, [state], [], limits, start_id=START, end_id=END, banned=banned, rules=rules,
                        num_features=2, source_lengths=[lengths[sentence] for sentence in sentences])  # fmt: skip

    def expected(sentence, text):
        path = [*text, END]
        log_p = sum(model(sentence, text[:i])[word] for i, word in enumerate(path))
        lm_log_p = sum(lm(0, text[:i])[word] for i, word in enumerate(path))
        attended = sum(attention(sentence, text[:i]) for i in range(len(path)))[: lengths[sentence]]
        penalty = coverage * np.log(np.minimum(attended, 1)).sum()
        total = log_p + weight * lm_log_p
        return Hypothesis(tuple(text), total, total / len(path) ** rules.length_power + penalty, (log_p, lm_log_p),
                          penalty)  # fmt: skip

    return found, expected, step.calls


def search(log_probabilities, sentences, limits, *, banned=(), vocab=VOCAB, **rules):
    rules = SearchRules(**rules)
    step = Step(log_probabilities, rules.beam_size)
    never = np.zeros(vocab)
    never[list(banned)] = -np.inf
    state = [(sentence, ()) for sentence in sentences for _ in range(rules.beam_size)]
    found = beam_search(step, [state], [], limits, start_id=START, end_id=END, banned=never, rules=rules)
    return found, step.calls


def every_text(log_probabilities, sentence, limit, banned=()):
    """All texts that end within the limit, with log P."""
    words = [word for word in range(VOCAB) if word != END and word not in banned]
    for length in range(limit):
        for text in itertools.product(words, repeat=length):
            path = [*text, END]
            yield text, sum(log_probabilities(sentence, text[:i])[word] for i, word in enumerate(path))


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_a_beam_of_one_is_greedy(power):
    model = toy(1)
    found, _ = search(model, range(8), [12] * 8, beam_size=1, length_power=power)
    for sentence, (hypothesis,) in enumerate(found):
        text, total = [], 0.0
        for _ in range(11):
            scores = model(sentence, text)
            total += scores.max()
            if scores.argmax() == END:
                assert hypothesis.log_probability == pytest.approx(total)
                assert hypothesis.score == pytest.approx(total / (len(text) + 1) ** power)
                break
            text.append(int(scores.argmax()))
        assert hypothesis.ids == tuple(text)
    assert {len(hypothesis.ids) for (hypothesis,) in found} > {0}


@pytest.mark.parametrize("power", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("banned", [(), (0, 3)])
def test_a_beam_that_is_wide_enough_finds_the_best_texts(power, banned):
    model, limit = toy(2), 4
    found, _ = search(model, range(5), [limit] * 5, beam_size=90, num_best=4, length_power=power, banned=banned)
    for sentence, hypotheses in enumerate(found):
        texts = dict(every_text(model, sentence, limit, banned))
        scores = {text: total / (len(text) + 1) ** power for text, total in texts.items()}
        best = sorted(scores, key=lambda text: -scores[text])[:4]
        assert [each.ids for each in hypotheses] == best
        for each in hypotheses:
            assert each.log_probability == pytest.approx(texts[each.ids])
            assert each.score == pytest.approx(scores[each.ids])


@pytest.mark.slow
@pytest.mark.parametrize("power", [0.0, 1.0])
@pytest.mark.parametrize("coverage", [0.0, 0.7])
def test_a_wide_beam_finds_the_best_texts_with_a_language_model_and_coverage(power, coverage):
    limit, lengths = 4, [3, 1, 4, 2]
    found, expected, _ = rich_search(range(4), [limit] * 4, lengths, coverage=coverage, beam_size=90, num_best=4,
                                     length_power=power)  # fmt: skip
    plain = search(toy(2), range(4), [limit] * 4, beam_size=90, num_best=4, length_power=power)[0]
    for sentence, hypotheses in enumerate(found):
        every = [expected(sentence, text) for text, _ in every_text(toy(2), sentence, limit)]
        best = sorted(every, key=lambda each: -each.score)[:4]
        assert [each.ids for each in hypotheses] == [each.ids for each in best]
        for each, other in zip(hypotheses, best):
            assert each[1:3] + each.features == pytest.approx(other[1:3] + other.features)
            assert each.coverage == pytest.approx(other.coverage) and each.coverage <= 0
    assert [[each.ids for each in those] for those in found] != [[each.ids for each in those] for those in plain]


@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_sentence_with_features_and_coverage_does_not_depend_on_the_others(beam_size):
    lengths = np.random.default_rng(0).integers(1, 6, 12).tolist()
    limits = [length + 3 for length in lengths]
    together, expected, _ = rich_search(range(12), limits, lengths, beam_size=beam_size, num_best=beam_size)
    num_checked = 0
    for sentence in range(12):
        alone, _, _ = rich_search([sentence], [limits[sentence]], lengths, beam_size=beam_size, num_best=beam_size)
        assert alone[0] == together[sentence]
        ended = [each for each in alone[0] if len(each.ids) < limits[sentence] - 1]
        for each in ended:
            assert each.score == pytest.approx(expected(sentence, each.ids).score)
        num_checked += len(ended)
    assert num_checked >= 6 * beam_size


def test_a_weight_of_zero_changes_nothing():
    lengths = [4] * 8
    found, _, _ = rich_search(range(8), [7] * 8, lengths, weight=0.0, coverage=0.0, beam_size=4, num_best=4)
    plain, _ = search(toy(2), range(8), [7] * 8, beam_size=4, num_best=4)
    assert [[each[:3] for each in those] for those in found] == [[each[:3] for each in those] for those in plain]
    assert all(each.features[0] == each.log_probability for those in found for each in those)


def test_a_cut_text_has_the_features_of_its_words():
    (found,), _, _ = rich_search([0], [5], [3], beam_size=2, never=[END])
    (each,) = found
    model, lm = toy(2), toy(12)
    sums = [sum(one(sentence, each.ids[:i])[word] for i, word in enumerate(each.ids))
            for one, sentence in ((model, 0), (lm, 0))]  # fmt: skip
    assert len(each.ids) == 4 and each.features == pytest.approx(tuple(sums))
    assert each.log_probability == pytest.approx(sums[0] + 0.6 * sums[1])


def test_coverage_is_finite_for_a_position_that_is_never_looked_at():
    assert coverage_penalty(np.array([0.0, 2.0]), 0.5) == pytest.approx(0.5 * np.log(LEAST_COVERAGE))
    assert coverage_penalty(np.array([1.0, 2.0]), 0.5) == 0


@pytest.mark.parametrize(
    "rules",
    [
        {"beam_size": 1},
        {"beam_size": 3, "num_best": 3},
        {"beam_size": 4, "length_power": 0.0, "no_repeat_ngram_size": 2},
    ],
    ids=repr,
)
def test_a_sentence_does_not_depend_on_the_others(rules):
    model, rng = toy(3), np.random.default_rng(0)
    limits = rng.integers(2, 12, 20)
    together, _ = search(model, range(20), limits.tolist(), **rules)
    for sentence in range(20):
        alone, _ = search(model, [sentence], [int(limits[sentence])], **rules)
        assert alone[0] == together[sentence]
    order = rng.permutation(20)
    shuffled, _ = search(model, order.tolist(), [*limits[order].tolist()], **rules)
    assert shuffled == [together[sentence] for sentence in order]


def test_columns_without_a_sentence_have_no_text():
    found, _ = search(toy(1), range(3), [0, 8, 0], beam_size=2)
    assert [len(each) for each in found] == [0, 1, 0] and search(toy(1), [], [], beam_size=2) == ([], 0)


def test_banned_words_never_come_even_if_few_others_are_left():
    for banned in ((0,), (0, 2, 3), (2, 3, 4)):
        found, _ = search(toy(4), range(20), [6] * 20, beam_size=5, num_best=5, banned=banned)
        assert not set(banned) & {word for each in found for hypothesis in each for word in hypothesis.ids}


def test_the_greatest_length_counts_the_end():
    def endless(sentence, text):
        scores = np.full(VOCAB, -2.0)
        scores[END] = -9.0
        return scores

    (found,), calls = search(endless, [0], [4], beam_size=3, num_best=3, length_power=0.0)
    assert calls == 4 and all(len(each.ids) <= 3 for each in found)
    assert [each.log_probability for each in found] == pytest.approx([-15.0, -15.0, -15.0])
    (found,), _ = search(endless, [0], [1], beam_size=3)
    assert [each.ids for each in found] == [()]


def test_a_text_that_cannot_end_is_cut():
    (found,), calls = search(toy(5), [0], [7], beam_size=3, num_best=3, banned=[END])
    assert calls == 7 and len(found) == 1 and len(found[0].ids) == 6
    assert found[0].score == pytest.approx(found[0].log_probability / 6)
    nothing = toy(5)
    (found,), calls = search(nothing, [0], [7], beam_size=3, banned=range(VOCAB))
    assert (found[0].ids, found[0].log_probability, calls) == ((), 0.0, 1)


def test_sequences_are_not_repeated():
    def circle(sentence, text):
        scores = np.full(VOCAB, -5.0)
        scores[{0: 2, 2: 3, 3: 4, 4: 2}[text[-1] if text else 0]] = -0.1
        return scores

    for size in (1, 2, 3):
        (found,), _ = search(circle, [0], [14], beam_size=3, num_best=3, no_repeat_ngram_size=size)
        for each in found:
            parts = [each.ids[i : i + size] for i in range(len(each.ids) - size + 1)]
            assert len(set(parts)) == len(parts)
    (free,), _ = search(circle, [0], [14], beam_size=1)
    assert free[0].ids == (2, 3, 4, 2, 3, 4, 2, 3, 4, 2, 3, 4, 2)


def test_repeated_is_what_a_loop_finds():
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 4):
        texts, words = rng.integers(0, 3, (4, 5, 7)), rng.integers(0, 3, (4, 5, 6))
        found = repeated(texts, words, size)
        for place in np.ndindex(words.shape):
            text = texts[place[:2]].tolist()
            new = [*text[len(text) - size + 1 :], words[place]]
            assert found[place] == any(text[i : i + size] == new for i in range(len(text) - size + 1))


def test_equal_texts_come_in_the_order_of_their_words():
    def equal(sentence, text):
        return np.full(VOCAB, -np.log(VOCAB))

    found = [search(equal, [0, 1], [5, 5], beam_size=4, num_best=4, length_power=1.0)[0] for _ in range(3)]
    assert found[0] == found[1] == found[2] and found[0][0] == found[0][1]


def test_a_search_ends_when_nothing_better_can_come():
    def decided(sentence, text):
        scores = np.full(VOCAB, -20.0)
        scores[END if len(text) == 3 else 2] = -0.01
        return scores

    (found,), calls = search(decided, [0], [100], beam_size=5, length_power=0.0)
    assert found[0].ids == (2, 2, 2) and calls == 4


def test_groups_have_few_shapes_and_hold_every_sentence_once():
    rng = np.random.default_rng(0)
    lengths = np.concatenate([rng.integers(1, 60, 500), [400, 1_000, 9_000, 20_000]]).tolist()
    groups = list(groups_of(lengths))
    assert sorted(number for numbers, _, _ in groups for number in numbers) == list(range(len(lengths)))
    for numbers, size, steps in groups:
        assert size in (1, 8, 64) and max(lengths[i] for i in numbers) <= steps
        assert size == 1 or size * steps <= 64 * 256
    assert [(len(numbers), size) for numbers, size, _ in groups[-2:]] == [(1, 1), (1, 1)]
    assert all(len(numbers) >= size for numbers, size, _ in groups[:-3])
    assert list(groups_of([])) == []


def test_translations_come_in_the_order_of_the_input():
    """The fake model writes the source, word by word."""

    shapes = set()

    def encode(source, mask, columns):
        return [np.zeros((len(columns), 1), int), source[:, columns], mask[:, columns], np.array(0.5)]

    def search_step(tokens, parents, place, banned, source, mask, weight):
        assert weight == 0.5
        shapes.add(source.shape)
        lengths = np.maximum(mask.sum(axis=0).astype(int), 1)
        place = place[parents]
        words = source[np.minimum(place[:, 0], lengths - 1), np.arange(len(lengths))]
        words = np.where(mask.any(axis=0), words, END)
        return [np.tile([0.0, -50.0], (len(words), 1)), np.stack([words, words * 0 + 2], 1), place + 1]

    rng = np.random.default_rng(0)
    sources = [np.array([*rng.integers(2, 5, rng.integers(0, 30)), END], np.int32) for _ in range(450)]
    found = translate({"encode": encode, "search_step": search_step}.__getitem__, sources, start_id=START, end_id=END,
                      source_pad_id=8, vocab_size=VOCAB, banned_ids=[0], rules=SearchRules(beam_size=2),
                      dtype="float32")  # fmt: skip
    assert [list(each[0].ids) for each in found] == [source[:-1].tolist() for source in sources]
    assert len(shapes) <= 4


@pytest.mark.parametrize("rules", [SearchRules(1), SearchRules(3, 2, 0.0), SearchRules(2, 2, 1.0, 2, 0.3)], ids=repr)
def test_a_sentence_in_the_slot_of_another_is_translated_as_alone(rules, monkeypatch):
    """19 sentences of different lengths in 4 slots, of which each is filled again and again."""
    monkeypatch.setattr("theano_rnn.generation.translating.BATCH_SIZES", (1, 4))
    model, weights = toy(2), looking(3, [4] * 100, 8)
    calls = []

    def encode(source, mask, columns):
        names = np.where(mask.any(axis=0), source[0], 0)[columns]
        state = np.array([(int(name), ()) for name in names], "O,O")
        return [state, source[:, columns], mask[:, columns], np.array(1.0)]

    def search_step(tokens, parents, state, banned, source, mask, weight):
        calls.append(len(tokens))
        pairs = [(int(name), () if token == START else (*text, int(token)))
                 for (name, text), token in zip(state[parents].tolist(), tokens)]  # fmt: skip
        assert [name for name, _ in pairs] == [int(i) for i in np.where(mask.any(axis=0), source[0], 0)]
        scores = np.array([model(*pair) for pair in pairs]) + banned
        words = np.argsort(-scores, axis=1, kind="stable")[:, : 2 * rules.beam_size]
        attention = [np.array([weights(*pair)[: len(source)] for pair in pairs])] if rules.coverage else []
        new = np.empty(len(pairs), "O,O")
        new[:] = pairs
        return [np.take_along_axis(scores, words, 1), words.astype(np.int32), *attention, new]

    functions = {"encode": encode, "search_step": search_step}.__getitem__
    settings = {"start_id": START, "end_id": END, "source_pad_id": 99, "vocab_size": VOCAB, "banned_ids": [],
                "rules": rules, "dtype": "float64"}  # fmt: skip
    sources = [np.array([number, *[7] * (number % 4), END], np.int32) for number in range(10, 29)]
    together = list(translate(functions, sources, **settings))
    steps, calls[:] = list(calls), []
    alone = [next(translate(functions, [source], **settings)) for source in sources]
    assert together == alone and len({each[0].ids for each in alone}) > 5
    assert sum(steps) < 0.9 * 4 * sum(calls)  # with one batch after another, it would take longer
