"""Nearest words and analogies against plain loops; the file of vectors; the command."""

import math

import numpy as np
import pytest
from exchange_models import VOCABULARY, config_of, params_of, write
from tiny_runs import Commands

from theano_rnn.settings.base import UserError
from theano_rnn.view.word_vectors import WordVectors

WORDS = [f"word{i}" for i in range(40)]
VECTORS = np.random.default_rng(4).normal(size=(40, 5)).astype("float32")


def cosine(x, y):
    return sum(a * b for a, b in zip(x, y)) / math.sqrt(sum(a * a for a in x) * sum(b * b for b in y))


def test_the_nearest_words_are_those_of_a_plain_loop():
    vectors = WordVectors(WORDS, VECTORS)
    found = vectors.nearest("word7", 6)
    others = [(cosine(VECTORS[7], row), word) for word, row in zip(WORDS, VECTORS) if word != "word7"]
    expected = sorted(others, reverse=True)
    assert [word for word, _ in found] == [word for _, word in expected[:6]]
    assert [value for _, value in found] == pytest.approx([value for value, _ in expected[:6]], abs=1e-6)
    assert len(vectors.nearest("word7", 1000)) == 39


def test_an_analogy_is_answered_by_the_nearest_to_the_sum_of_directions():
    units = [row / math.sqrt(sum(row * row)) for row in VECTORS.astype("float64")]
    target = units[3] - units[2] + units[8]
    best = max((cosine(target, row), i) for i, row in enumerate(units) if i not in (2, 3, 8))
    ((word, similarity),) = WordVectors(WORDS, VECTORS).analogy("word2", "word3", "word8", 1)
    assert (word, similarity) == (WORDS[best[1]], pytest.approx(best[0], abs=1e-6))


def test_a_planted_analogy_is_found():
    rows = {"man": [1, 0, 0], "woman": [1, 1, 0], "king": [1, 0, 1], "queen": [1, 1, 1], "tree": [-1, 0.5, 0]}
    vectors = WordVectors(tuple(rows), np.array(list(rows.values()), float))
    assert vectors.analogy("man", "woman", "king", 1)[0][0] == "queen"


def test_vectors_of_zeros_are_no_error():
    vectors = WordVectors(("a", "b", "c"), np.array([[0.0, 0], [1, 0], [0, 1]]))
    assert vectors.nearest("a", 2) == [("b", 0.0), ("c", 0.0)]


def test_unknown_words_are_refused_with_similar_ones():
    vectors = WordVectors(("Emma", "emperor"), np.eye(2))
    with pytest.raises(UserError, match="'emma' is not in the vocabulary .*did you mean Emma"):
        vectors.nearest("emma", 1)
    with pytest.raises(UserError, match="2 words$"):
        vectors.nearest("zzz", 1)


def test_the_file_of_vectors_comes_back():
    lines = list(WordVectors([*WORDS, " ", "a b"], np.vstack([VECTORS, VECTORS[:2]])).lines())
    assert lines[0] == "40 5\n" and len(lines) == 41
    for line, word, row in zip(lines[1:], WORDS, VECTORS):
        name, *values = line.split(" ")
        assert name == word
        np.testing.assert_allclose(np.array(values, "float32"), row, rtol=1e-6)


@pytest.fixture
def commands(tmp_path, monkeypatch, capsys):
    write(tmp_path / "model.safetensors", config_of())
    return Commands(tmp_path, monkeypatch, capsys)


def test_the_command_lists_words_and_writes_their_vectors(commands):
    result = commands("words", "model.safetensors", "cat", "mat", "--num", "3", "--analogy", "cat", "sat", "mat")
    assert (result.status, result.err) == (0, "")
    blocks = [block.splitlines() for block in result.out.strip().split("\n\n")]
    assert [block[0] for block in blocks] == ["cat", "mat", "cat : sat = mat : ?"]
    embedding = params_of(config_of())["embedding"][: len(VOCABULARY)]
    vectors = WordVectors(["<unk>", "</s>", *VOCABULARY.words], embedding)
    for line, (word, value) in zip(blocks[0][1:], vectors.nearest("cat", 3)):
        assert line.split() == [f"{value:.2f}", word]
    wrote = commands("words", "model.safetensors", "--vectors", "words.vec")
    assert wrote.out == "wrote words.vec: 7 words, 6 dimensions\n"
    assert (commands.folder / "words.vec").read_text() == "".join(vectors.lines())
    assert commands("words", "model.safetensors", "--vectors", "new/folder/words.vec").status == 0


@pytest.mark.parametrize(("flags", "message"), [
    ([], "name words to look up"), (["Cat"], "did you mean cat"), (["cat", "--num", "0"], "--num must be at least 1"),
    (["--vectors", "model.safetensors", "--force"], "are the same file"),
])  # fmt: skip
def test_what_cannot_be_looked_up_is_one_line(commands, flags, message):
    result = commands("words", "model.safetensors", *flags)
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err
