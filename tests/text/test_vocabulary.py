"""The vocabulary: order of words, special ids, encoding and errors."""

import json
import random
from collections import Counter

import numpy as np
import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.vocabulary import BOS, EOS, PAD, UNK, Vocabulary

SENTENCES = [["b", "a", "c"], ["a", "b", "a"], ["d"]]


def test_ids_are_by_frequency_then_by_word():
    vocabulary = Vocabulary.from_sentences(SENTENCES)
    assert vocabulary.words == ("a", "b", "c", "d")
    assert [vocabulary.token_to_id(word) for word in "abcd"] == [2, 3, 4, 5]
    assert vocabulary.vocab_size == len(vocabulary) == 6


def test_order_of_the_text_does_not_matter():
    assert Vocabulary.from_sentences(SENTENCES) == Vocabulary.from_sentences(SENTENCES[::-1])


@pytest.mark.parametrize("size", [3, 5, 12, 13, 14, 99, None])
def test_the_commonest_words_are_kept_for_any_size(size):
    words = random.Random(0).choices([f"w{number}" for number in range(12)], [1, 1, 1, 1, 2, 2, 2, 3, 4, 4, 5, 9], k=90)
    expected = [word for _, word in sorted((-count, word) for word, count in Counter(words).items())]
    vocabulary = Vocabulary.from_sentences([words], max_size=size)
    assert list(vocabulary.words) == expected[: None if size is None else size - 2]


def test_rare_words_are_left_out():
    assert Vocabulary.from_sentences(SENTENCES, min_count=2).words == ("a", "b")


def test_types_that_do_not_occur_are_no_words():
    assert Vocabulary.from_counts(["a", "b"], np.array([0, 1]), min_count=0).words == ("b",)


def test_a_literal_end_of_sentence_is_an_ordinary_word():
    vocabulary = Vocabulary.from_sentences([[EOS, "a"]])
    assert EOS in vocabulary
    assert vocabulary.token_to_id(EOS) not in (vocabulary.eos_id, vocabulary.unk_id)


@pytest.mark.parametrize(
    ("text", "is_word"),
    [(TextConfig(tokens="whitespace"), False), (TextConfig(), True), (TextConfig("char", tokens="whitespace"), True)],
)
def test_a_literal_unknown_word_is_the_unknown_word_only_in_tokenized_text(text, is_word):
    vocabulary = Vocabulary.from_sentences([[UNK, UNK, "a"]], text=text)
    assert (UNK in vocabulary) is is_word
    assert (vocabulary.token_to_id(UNK) != vocabulary.unk_id) is is_word


def test_special_ids_lie_around_the_words():
    vocabulary = Vocabulary(("a", "b"))
    assert vocabulary.decode(range(6)) == [UNK, EOS, "a", "b", PAD, BOS]
    assert (vocabulary.unk_id, vocabulary.eos_id, vocabulary.pad_id, vocabulary.bos_id) == (0, 1, 4, 5)


def test_decode_undoes_encode():
    vocabulary = Vocabulary.from_sentences(SENTENCES)
    ids = vocabulary.encode(["d", "a", "x"])
    assert ids.dtype == np.int32
    assert vocabulary.decode(ids) == ["d", "a", UNK]
    assert vocabulary.encode([]).shape == (0,)


def test_json_gives_the_same_vocabulary():
    vocabulary = Vocabulary.from_sentences(SENTENCES, text=TextConfig(lowercase=True, tokens="whitespace"))
    assert Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json()))) == vocabulary


@pytest.mark.parametrize("number", [-1, 6])
def test_an_id_beyond_the_last_is_an_error(number):
    with pytest.raises(ValueError, match=f"id must be from 0 to 5, got {number}"):
        Vocabulary(("a", "b")).id_to_token(number)


def test_a_size_without_room_for_a_word_is_an_error():
    with pytest.raises(UserError, match="max_size must be at least 3"):
        Vocabulary.from_sentences(SENTENCES, max_size=2)


@pytest.mark.parametrize("sentences", [[], [["a"]], [[UNK, UNK]]])
def test_a_vocabulary_without_words_is_an_error(sentences):
    with pytest.raises(UserError, match="no word occurs at least 2 times, so the vocabulary would be empty"):
        Vocabulary.from_sentences(sentences, min_count=2, text=TextConfig(tokens="whitespace"))


@pytest.mark.parametrize(("words", "message"), [((), "at least one word"), (("a", "b", "a"), "'a' occurs twice")])
def test_words_must_be_there_once(words, message):
    with pytest.raises(UserError, match=message):
        Vocabulary(words)


@pytest.mark.parametrize(
    ("values", "message"),
    [({}, "list of strings"), ({"words": [1], "text": {}}, "list of strings"), ({"words": ["a"]}, "how its text")],
)
def test_other_json_is_refused(values, message):
    with pytest.raises(UserError, match=message):
        Vocabulary.from_json(values)


def test_a_vocabulary_from_before_there_were_rules_keeps_the_first():
    values = Vocabulary(("a",)).to_json()
    assert values["text"].pop("rules") == TextConfig().rules > 1
    assert Vocabulary.from_json(values).text.rules == 1
    values["text"]["rules"] = TextConfig().rules + 1
    with pytest.raises(UserError, match="update theano_rnn"):
        Vocabulary.from_json(values)
