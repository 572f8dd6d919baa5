"""N-gram models: probabilities that sum to one, Witten-Bell's counts, ARPA files read and written."""

import math

import numpy as np
import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.text.ngrams import END, START, UNKNOWN, estimated, estimated_small, parse_arpa, read_arpa

WORDS = ["one", "two", "three", "four"]


def random_sentences(seed, count=40):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(0, 6), p=[0.5, 0.3, 0.15, 0.05])) for _ in range(count)]


HISTORIES = [
    [],
    [START],
    [START, "one"],
    ["one", "two"],
    ["two", "two", "one"],
    ["new", "one"],
    ["one", "new"],
    ["four"] * 3,
]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_the_probabilities_of_the_next_word_sum_to_one(order, seed):
    model = estimated(random_sentences(seed), order=order, words=["never", "ONE"])
    assert model.order == order and model.words == sorted([*WORDS, "never", "ONE"])
    for history in HISTORIES:
        total = sum(math.exp(model.log_probability(word, history)) for word in [*model.words, END, UNKNOWN])
        assert total == pytest.approx(1, abs=1e-12)


def test_the_equation():
    model = estimated(["a b", "a b", "a c", "b"], order=2, words=["d"])
    # unigrams: a 3, b 3, c 1, </s> 4; 4 kinds among 11; vocabulary a b c d </s> <unk>
    lower = {w: (n + 4 / 6) / 15 for w, n in {"a": 3, "b": 3, "c": 1, "d": 0, END: 4, UNKNOWN: 0}.items()}
    for word, count in {"b": 2, "c": 1, "a": 0, "d": 0, UNKNOWN: 0, END: 0}.items():
        expected = (count + 2 * lower[word]) / (3 + 2)
        assert math.exp(model.log_probability(word, ["a"])) == pytest.approx(expected)
    for word in lower:
        assert math.exp(model.log_probability(word, [])) == pytest.approx(lower[word])
        assert math.exp(model.log_probability(word, ["d"])) == pytest.approx(lower[word])
    assert math.exp(model.log_probability("a", [START])) == pytest.approx((3 + 2 * lower["a"]) / (4 + 2))
    assert math.exp(model.log_probability("zebra", ["a"])) == pytest.approx(2 * lower[UNKNOWN] / 5)


def test_a_sentence_is_scored_with_its_end_and_its_unknown_words():
    model = estimated(["a b", "a"], order=3)
    found = model.score(["a", "x"])
    expected = (model.log_probability("a", [START]) + model.log_probability(UNKNOWN, [START, "a"])
                + model.log_probability(END, ["a", UNKNOWN]))  # fmt: skip
    assert found == (pytest.approx(expected), 3, 1)
    assert model.score([]).log_probability == model.log_probability(END, [START])


@pytest.mark.parametrize("order", [1, 2, 3])
def test_distributions_are_the_single_probabilities(order):
    model = estimated(random_sentences(5), order=order)
    words = {"two": 0, "one": 1, END: 2, "new": 4, "newer": 5, "four": 6}
    for history in HISTORIES:
        found = model.distribution(history, words, 7)
        assert found[3] == -math.inf
        for word, place in words.items():
            shared = math.log(2) if word.startswith("new") else 0.0
            assert found[place] == pytest.approx(model.log_probability(word, history) - shared)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_an_arpa_file_that_was_written_is_read_again(order, tmp_path):
    model = estimated(random_sentences(6), order=order)
    (tmp_path / "lm.arpa").write_text(model.arpa())
    again = read_arpa(str(tmp_path / "lm.arpa"))
    assert again.order == order and again.words == model.words
    for sentence in random_sentences(7):
        assert again.score(sentence.split()) == pytest.approx(model.score(sentence.split()), rel=1e-5)


ARPA = """made by another tool
\\data\\
ngram 1=5
ngram 2=2

\\1-grams:
-1.0 <UNK>
-99 <s> -0.30103
-0.60206 </s>
-0.30103 yes -0.47712
-0.69897 no

\\2-grams:
-0.1 <s> yes
-0.2 yes </s>

\\end\\
"""


def test_an_arpa_file_of_another_tool():
    model = parse_arpa(ARPA.splitlines(), "lm.arpa")
    assert model.words == ["no", "yes"]
    ten = lambda value: value / math.log(10)  # noqa: E731
    assert ten(model.log_probability("yes", [START])) == pytest.approx(-0.1)
    assert ten(model.log_probability("no", [START])) == pytest.approx(-0.30103 - 0.69897)
    assert ten(model.log_probability("no", ["yes"])) == pytest.approx(-0.47712 - 0.69897)
    assert ten(model.log_probability("maybe", ["no"])) == pytest.approx(-1)
    without = parse_arpa(ARPA.replace("-1.0 <UNK>\n", "").replace("1=5", "1=4").splitlines(), "lm.arpa")
    assert without.log_probability("maybe", ["no"]) == -math.inf and without.score(["maybe"]).num_unknown == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\\end\\", "", "lm.arpa is not a whole ARPA file"),
        ("-0.2 yes </s>\n", "", "is not a whole ARPA file"),
        ("\\1-grams:", "\\2-grams:", "line 7 must be"),
        ("-0.69897 no", "x no", "lm.arpa line 11 must be a base-10 logarithm of a probability, 1 words .* got 'x no'"),
        ("-0.69897 no", "0.5 no", "line 11 must be"),
        ("-0.69897 no", "nan no", "line 11 must be"),
    ],
)
def test_a_damaged_arpa_file_is_refused(old, new, message):
    with pytest.raises(UserError, match=message):
        parse_arpa(ARPA.replace(old, new).splitlines(), "lm.arpa")


def test_a_small_model_has_the_order_that_fits(monkeypatch):
    sentences = ["a b c d", "a b", "c d"]
    orders = []
    for limit in (6, 5, 4):  # 6 trigrams and 7 bigrams
        monkeypatch.setattr("theano_rnn.text.ngrams.MAX_GRAMS", limit)
        orders.append(estimated_small(sentences, words=["e"]).order)
    monkeypatch.setattr("theano_rnn.text.ngrams.MAX_GRAMS", 100)
    model = estimated_small(sentences, words=["e"])
    assert model.order == 3 and "e" in model.words and orders[-1] == 1
    assert model.arpa() == estimated(sentences, order=3, words=["e"]).arpa()


def test_other_files_are_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is not UTF-8 text"):
        read_arpa(str(tmp_path / "x"))
    with pytest.raises(UserError, match="is not a whole ARPA file"):
        parse_arpa([], "empty")


def test_the_order_has_limits_and_no_sentences_are_a_uniform_model():
    with pytest.raises(UserError, match="order must be from 1 to 5, got 0"):
        estimated([], order=0)
    model = estimated([], words=["a", "b"])
    assert [math.exp(model.log_probability(w, [START])) for w in ("a", "b", END, UNKNOWN)] == pytest.approx([0.25] * 4)
