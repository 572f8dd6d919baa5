"""Search for labels and words in the outputs of CTC, against sums over all paths of small cases."""

import itertools
import math

import numpy as np
import pytest

from theano_rnn.generation.ctc_decoding import best_path, collapsed, prefix_beam_search
from theano_rnn.generation.pronunciation_tree import PronunciationTree
from theano_rnn.generation.word_loop import SearchLimits, search_words
from theano_rnn.generation.word_scores import NGramWords, RecurrentWords, SpelledWords
from theano_rnn.text.ngrams import END, START, estimated

WIDE = SearchLimits(beam_size=10**6, margin=math.inf, least_log_probability=-math.inf)


def outputs(frames, labels, seed=0, scale=2.0):
    scores = np.random.default_rng(seed).normal(0, scale, (frames, labels + 1))
    return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)


def sums_of_all_paths(log_p):
    """ln P of each label sequence, by enumeration."""
    found = {}
    for path in itertools.product(range(log_p.shape[1]), repeat=len(log_p)):
        labels = tuple(collapsed(path))
        value = sum(row[k] for row, k in zip(log_p, path))
        found[labels] = np.logaddexp(found.get(labels, -math.inf), value)
    return found


def test_a_path_is_merged_before_blanks_are_removed():
    assert collapsed([0, 1, 1, 0, 1, 2, 2, 0]) == [1, 1, 2] and collapsed([]) == [] and collapsed([0, 0]) == []


def test_the_best_path_has_the_frames_and_probabilities_of_its_labels():
    log_p = outputs(40, 3)
    found = best_path(log_p)
    path = log_p.argmax(axis=1)
    assert [each.label for each in found] == collapsed(path)
    for each in found:
        assert set(path[each.first : each.last + 1]) == {each.label}
        assert each.probability == pytest.approx(np.exp(log_p)[each.first : each.last + 1, each.label].mean())
    assert sum(each.last - each.first + 1 for each in found) == (path != 0).sum()
    assert best_path(np.zeros((0, 4))) == []


@pytest.mark.parametrize("seed", range(4))
def test_label_sequences_have_the_sums_over_all_their_paths(seed):
    log_p = outputs(5, 3, seed)
    expected = sums_of_all_paths(log_p)
    found = prefix_beam_search(log_p, num_best=10**6, limits=WIDE)
    assert {each.labels: each.score for each in found} == pytest.approx(expected, abs=1e-10)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert all(each.score == each.log_probability for each in found)
    assert np.logaddexp.reduce([each.score for each in found]) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_labels_are_scored_by_a_language_model(order):
    log_p, names = outputs(4, 3, 7), ["x", "y", "z"]
    model = estimated(["x y", "y y z", "z"], order=order)
    found = prefix_beam_search(log_p, scorer=NGramWords(model, names), weight=0.7, bonus=0.4, num_best=10**6,
                               limits=WIDE)  # fmt: skip
    expected = {
        labels: value + 0.7 * model.score([names[k - 1] for k in labels]).log_probability + 0.4 * len(labels)
        for labels, value in sums_of_all_paths(log_p).items()
    }
    assert {each.labels: each.score for each in found} == pytest.approx(expected, abs=1e-10)


LEXICON = [(0, [1]), (0, [2, 2]), (1, [1, 2]), (2, [1, 2]), (3, [2, 1]), (3, [1, 2, 1])]
WORDS = ["a", "b", "c", "d"]


def sums_of_all_words(log_p, lexicon, longest, separator=None):
    """ln P of each sequence of words: the sum over all its pronunciations that differ, by enumeration."""
    paths, found = sums_of_all_paths(log_p), {}
    for length in range(longest + 1):
        spoken = {}
        for chosen in itertools.product(lexicon, repeat=length):
            labels = []
            for i, (_, sounds) in enumerate(chosen):
                labels += ([separator] if i and separator is not None else []) + sounds
            spoken.setdefault(tuple(word for word, _ in chosen), []).append(tuple(labels))
        for words, all_labels in spoken.items():
            # two pronunciations of a sentence can be the same labels, divided otherwise: both count
            values = [paths[labels] for labels in all_labels if labels in paths]
            if values:
                found[words] = np.logaddexp.reduce(values)
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("order", [None, 1, 2, 3])
def test_words_have_the_sums_over_all_their_pronunciations_and_the_score_of_the_language_model(seed, order):
    log_p = outputs(5, 2, seed)
    model = estimated(["a b", "b d a", "a a c"], order=order) if order else None
    found = search_words(
        PronunciationTree(LEXICON, 4), log_p, scorer=NGramWords(model, WORDS) if order else None, weight=1.3,
        bonus=0.6, num_best=10**6, limits=WIDE,
    )  # fmt: skip
    expected = sums_of_all_words(log_p, LEXICON, 5)
    assert {each.words: each.log_probability for each in found} == pytest.approx(expected, abs=1e-10)
    for each in found:
        score = 1.3 * model.score([WORDS[word] for word in each.words]).log_probability if order else 0.0
        assert each.score == pytest.approx(each.log_probability + score + 0.6 * len(each.words), abs=1e-9)


def test_words_are_separated_by_a_label():
    log_p, lexicon = outputs(5, 3, 1), [(0, [1]), (1, [1, 2]), (2, [2])]
    found = search_words(PronunciationTree(lexicon, 3, separator=3), log_p, num_best=10**6, limits=WIDE)
    expected = sums_of_all_words(log_p, lexicon, 3, separator=3)
    trailing = {}
    for labels, value in sums_of_all_paths(log_p).items():  # a separator may end the utterance
        if labels and labels[-1] == 3:
            trailing[labels[:-1]] = value
    for words, value in expected.items():
        labels = [label for i, word in enumerate(words) for label in ([3] if i else []) + lexicon[word][1]]
        if words and tuple(labels) in trailing:
            expected[words] = np.logaddexp(value, trailing[tuple(labels)])
    for labels, value in trailing.items():
        groups = [tuple(group) for is_word, group in itertools.groupby(labels, lambda label: label != 3) if is_word]
        words = tuple(map({(1,): 0, (1, 2): 1, (2,): 2}.get, groups))
        if words and None not in words:
            expected.setdefault(words, value)
    assert {each.words: each.log_probability for each in found} == pytest.approx(expected, abs=1e-10)


def test_a_narrow_beam_finds_words_that_are_clear():
    rng, lexicon = np.random.default_rng(3), []
    for word in range(300):
        lexicon.append((word, rng.integers(1, 21, rng.integers(2, 7)).tolist()))
    spoken = rng.integers(0, 300, 12)
    path = [0]
    for word in spoken:
        for label in lexicon[word][1]:
            path += [0, label, label, 0]
    scores = np.where(np.arange(21) == np.array(path)[:, None], 6.0, 0.0) + rng.normal(0, 0.5, (len(path), 21))
    log_p = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    tree = PronunciationTree(lexicon, 300)
    narrow, wide = (search_words(tree, log_p, bonus=-2.0, limits=SearchLimits(beam_size=size, margin=30))
                    for size in (20, 500))  # fmt: skip
    assert narrow[0].words == wide[0].words == tuple(spoken)
    assert narrow[0].log_probability == pytest.approx(wide[0].log_probability, abs=0.1)


def test_there_is_always_a_result():
    tree = PronunciationTree([(0, [1, 2, 1, 2])], 1)
    for log_p in (outputs(3, 2), outputs(0, 2), outputs(60, 2)):
        found = search_words(tree, log_p, num_best=3, limits=SearchLimits(beam_size=1, margin=1.0))
        assert found and set(found[0].words) <= {0} and found[0].score > -math.inf
    assert search_words(tree, outputs(0, 2))[0] == ((), 0.0, 0.0)


def test_long_utterances_forget_what_is_not_needed(monkeypatch):
    log_p, model = outputs(60, 2, 4), estimated(["a b", "b d a", "a a c"], order=3)
    tree = PronunciationTree(LEXICON, 4)
    options = {"scorer": NGramWords(model, WORDS), "num_best": 5, "limits": SearchLimits(50, 30.0, -20.0)}
    expected = search_words(tree, log_p, **options)
    monkeypatch.setattr("theano_rnn.generation.word_loop.CLEANING_FRAMES", 3)
    assert search_words(tree, log_p, **options) == expected


class CountingModel:
    """A step like an RNN's: the state is the number of words so far and the last two tokens."""

    def __init__(self, vocab=6):
        self.table = outputs(200, vocab - 1, 11)

    def initial_state(self, columns):
        return [np.zeros((columns, 1)), np.zeros((columns, 2))]

    def step(self, tokens, count, last):
        last = np.stack([last[:, 1], tokens], axis=1)
        count = count + 1
        rows = (7 * count[:, 0] + 3 * last[:, 0] + 11 * last[:, 1]).astype(int) % 200
        return [self.table[rows], count, last]

    def score(self, tokens, start, end):
        state, total, before = self.initial_state(1), 0.0, start
        for token in [*tokens, end]:
            log_p, *state = self.step(np.array([before]), *state)
            total += log_p[0, token]
            before = token
        return total


def test_a_recurrent_model_scores_each_history_once(monkeypatch):
    monkeypatch.setattr("theano_rnn.generation.word_scores.COLUMNS", 4)
    model, log_p, ids = CountingModel(), outputs(5, 2, 2), [2, 3, None, None]
    scorer = RecurrentWords(model.step, model.initial_state, ids, start_id=5, end_id=1, unk_id=0)
    found = search_words(PronunciationTree(LEXICON, 4), log_p, scorer=scorer, weight=0.5, num_best=10**6, limits=WIDE)
    assert {each.words for each in found} == set(sums_of_all_words(log_p, LEXICON, 5))
    for each in found:
        tokens = [ids[word] or 0 for word in each.words]
        expected = model.score(tokens, 5, 1) - math.log(2) * tokens.count(0)
        assert each.score - each.log_probability == pytest.approx(0.5 * expected, abs=1e-9)


def test_letters_are_scored_by_the_words_that_they_spell():
    model, letters = estimated(["a ab", "ab b"], order=2), ["a", "b", " "]
    log_p = outputs(5, 3, 9)
    found = prefix_beam_search(log_p, scorer=SpelledWords(model, letters, 2), num_best=10**6, limits=WIDE)
    expected = sums_of_all_paths(log_p)
    assert len(found) == len(expected)
    for each in found:
        words = "".join(letters[k - 1] for k in each.labels).split()
        score = model.score(words).log_probability
        assert each.score == pytest.approx(expected[each.labels] + score, abs=1e-9)
    assert model.score(["a"]).log_probability == model.log_probability("a", [START]) + model.log_probability(END, ["a"])


@pytest.mark.parametrize("lexicon", [[], [(0, [])], [(0, [0])], [(1, [1])]])
def test_a_lexicon_that_cannot_be_spoken_is_refused(lexicon):
    with pytest.raises(ValueError, match="pronunciation"):
        PronunciationTree(lexicon, 1)
