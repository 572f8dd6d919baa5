"""Forced alignment: the best of all paths, and labels that cannot fit refused."""

import itertools
import math

import numpy as np
import pytest

from theano_rnn.generation.ctc_decoding import collapsed
from theano_rnn.generation.forced_alignment import align_labels, align_words, frames_needed
from theano_rnn.settings.base import UserError


def outputs(frames, labels, seed=0):
    scores = np.random.default_rng(seed).normal(0, 2, (frames, labels + 1))
    return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)


def best_of_all_paths(log_p, wanted):
    """The best path whose labels are among those wanted, and its score, by enumeration."""
    found = [(sum(row[k] for row, k in zip(log_p, path)), path) for path in
             itertools.product(range(log_p.shape[1]), repeat=len(log_p)) if collapsed(path) in wanted]  # fmt: skip
    return max(found)


@pytest.mark.parametrize("labels", ["", "1", "12", "11", "212", "112", "333", "123123"])
@pytest.mark.parametrize("seed", range(3))
def test_the_path_is_the_best_of_all(labels, seed):
    log_p, labels = outputs(6, 3, seed), list(map(int, labels))
    score, path = best_of_all_paths(log_p, [labels])
    found = align_labels(log_p, labels)
    assert found.log_probability == pytest.approx(score) and found.path.tolist() == list(path)
    assert [each.label for each in found.segments] == labels
    for before, each in zip([None, *found.segments], found.segments):
        assert set(path[each.first : each.last + 1]) == {each.label}
        assert before is None or each.first > before.last
        assert each.probability == pytest.approx(np.exp(log_p[each.first : each.last + 1, each.label]).mean())


LEXICON = [[[1], [2, 2]], [[1, 2], [2, 1]], [[3]]]


@pytest.mark.parametrize("separator", [None, 3])
@pytest.mark.parametrize("words", list(itertools.product(range(2), repeat=2)) + [(0,), (0, 0, 0), (2, 2)], ids=str)
def test_words_are_aligned_in_their_likeliest_pronunciations(words, separator):
    log_p = outputs(6, 3, 5)
    spoken = {}
    for chosen in itertools.product(*([*enumerate(LEXICON[word])] for word in words)):
        between = [separator] if separator else []
        labels = [label for i, (_, labels) in enumerate(chosen) for label in (between if i else []) + labels]
        if len(labels) + sum(a == b for a, b in itertools.pairwise(labels)) <= 6:
            spoken.setdefault(tuple(labels), []).append([which for which, _ in chosen])
    given = [LEXICON[word] for word in words]
    score, path = best_of_all_paths(log_p, list(map(list, spoken)))
    found = align_words(log_p, given, separator)
    assert found.log_probability == pytest.approx(score) and found.path.tolist() == list(path)
    assert [each.pronunciation for each in found.words] in spoken[tuple(collapsed(path))]
    for each, word in zip(found.words, words, strict=True):
        assert [segment.label for segment in each.segments] == LEXICON[word][each.pronunciation]


def test_two_words_in_turn_may_begin_with_the_label_that_the_first_ends_with():
    log_p = np.log([[0.1, 0.9], [0.9, 0.1], [0.2, 0.8]])
    found = align_words(log_p, [[[1]], [[1]]])
    assert found.path.tolist() == [1, 0, 1] and [len(each.segments) for each in found.words] == [1, 1]


def test_what_cannot_fit_is_refused():
    with pytest.raises(UserError, match="has 3 frames, but these labels need at least 4"):
        align_labels(outputs(3, 2), [1, 1, 2])
    with pytest.raises(UserError, match="has 0 frames, but these labels need at least 1"):
        align_labels(outputs(0, 2), [1])
    log_p = outputs(4, 2)
    log_p[:, 2] = -math.inf
    with pytest.raises(UserError, match="the probability 0"):
        align_labels(log_p, [1, 2])
    with pytest.raises(ValueError, match="must have a pronunciation"):
        align_words(log_p, [[[1]], []])
    assert align_labels(outputs(0, 2), []).segments == []


def test_too_many_cells_are_refused(monkeypatch):
    monkeypatch.setattr("theano_rnn.generation.forced_alignment.MAX_CELLS", 10)
    with pytest.raises(UserError, match="5 frames and 5 states are too many"):
        align_labels(outputs(5, 2), [1, 2])


def test_of_long_utterances_only_likely_states_are_followed(monkeypatch):
    log_p, labels = outputs(200, 4, 3), np.random.default_rng(4).integers(1, 5, 60).tolist()
    words = [[[1, 2], [3]], [[4, 1], [2, 2, 3], [1]]] * 12
    expected, expected_words = align_labels(log_p, labels), align_words(log_p, words)
    monkeypatch.setattr("theano_rnn.generation.forced_alignment.MAX_EXACT_CELLS", 10)
    monkeypatch.setattr("theano_rnn.generation.forced_alignment.MARGIN", 60.0)
    monkeypatch.setattr("theano_rnn.generation.forced_alignment.MAX_CELLS", 200 * 110)  # fewer than 200 * 121
    found = align_labels(log_p, labels)
    assert found.path.tolist() == expected.path.tolist() and found.segments == expected.segments
    monkeypatch.setattr("theano_rnn.generation.forced_alignment.MAX_CELLS", 200 * 150)  # fewer than 200 * 181
    assert align_words(log_p, words).words == expected_words.words


def test_the_fewest_frames():
    assert frames_needed([]) == 0 and frames_needed([[[1, 1]]]) == 3
    assert frames_needed([[[1, 2, 3], [2, 2]], [[2, 1], [1, 1]]]) == 5
    assert frames_needed([[[1]], [[1]]], separator=3) == 3


def test_many_labels_in_a_long_utterance():
    rng = np.random.default_rng(1)
    labels = rng.integers(1, 40, 300).tolist()
    path = np.repeat(list(itertools.chain.from_iterable([0, label] for label in labels)), rng.integers(1, 6, 600))
    scores = np.where(np.arange(41) == path[:, None], 5.0, 0.0)
    log_p = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    assert align_labels(log_p, labels).path.tolist() == path.tolist()
