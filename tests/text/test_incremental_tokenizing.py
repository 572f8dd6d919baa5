"""Incremental tokenizing: no text is lost, and sentences end where they end in the complete text."""

import numpy as np
import pytest
from paragraphs import PARAGRAPHS

from theano_rnn.settings.text import TextConfig
from theano_rnn.text.incremental_tokenizing import text_to_append, tokenize_incomplete_text
from theano_rnn.text.normalizing import normalize
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import sentence_splitter, word_tokenizer

WORDS = ["She", "was", "happy", ".", "``", "''", "!", "?", "Oh", "Mr.", ",", "'s", "ca", "n't"]
NASTY = [
    "", " ", "\n", " \n\n ", "\r\n\t", "\0", "a\0b. C", "x" * 5000, "<img src=x onerror=alert(1)>", "\u202eabc\u202c",
    "\u2028", "😀👩\u200d💻! 😀", "שלום. עולם", "İstanbul ǅ ß", "a.\u00a0B", "\x1c\x1d", "``''\"\"''``",
    "don't cannot 'tis d'ye", "...", ". . .", "?!" * 50, "(a) [b] {c}", "1,000.50 a,b", "e\u0301t\u00e9",
    "\ufeffShe", "--", "Mr. \n\n Mr. ", "« Oh ! »\u202f", "„Oh.“", "don’t -- ’tis", "f(x) @ y", "▁a￭", "Wait… ",
]  # fmt: skip
CONFIGS = [
    TextConfig(), TextConfig(lowercase=True), TextConfig(sentences="line"), TextConfig(tokens="whitespace"),
    TextConfig(sentences="line", tokens="whitespace"), TextConfig(unit="char"), TextConfig(unit="char", lowercase=True),
]  # fmt: skip


def vocabulary(config):
    return Vocabulary(tuple(WORDS), config)


def read(text, **config):
    """Returns the texts of the pieces, with | for the end of a sentence, and the white space after them."""
    words = vocabulary(TextConfig(**config))
    pieces, rest = tokenize_incomplete_text(text, words, words.eos_id)
    return [piece.text or "|" * (piece.id == words.eos_id) for piece in pieces], rest


def random_texts(count):
    rng = np.random.default_rng(7)
    parts = [*NASTY, *WORDS, " ", "  ", "\n", "\n\n", ". ", '"', "'", "?"]
    for _ in range(count):
        yield "".join(parts[i] for i in rng.integers(len(parts), size=rng.integers(1, 12)))


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS, ids=repr)
def test_pieces_and_what_follows_them_are_the_text(config):
    words = vocabulary(config)
    for text in [*NASTY, *random_texts(300)]:
        pieces, rest = tokenize_incomplete_text(text, words, words.eos_id)
        assert "".join(piece.text for piece in pieces) + rest == normalize(text, config)
        assert not rest.strip()
        assert all(0 <= piece.id < len(words) for piece in pieces)


def test_tokens_are_those_that_sentences_have():
    text = 'She was happy. "Oh!" was Mr. Elton\'s answer.\nWas she? "No," said he.'
    words = vocabulary(TextConfig())
    sentences = [word_tokenizer(words.text)(sentence) for sentence in sentence_splitter(words.text)(text)]
    expected = [token for sentence in sentences for token in [*sentence, "</s>"]][:-1]
    assert [piece.token for piece in tokenize_incomplete_text(text, words, words.eos_id)[0]] == expected


@pytest.mark.parametrize("name", PARAGRAPHS)
def test_typed_paragraphs_have_the_tokens_of_whole_ones(name):
    words = vocabulary(TextConfig())
    split, tokenize = sentence_splitter(words.text), word_tokenizer(words.text)
    for paragraph in PARAGRAPHS[name]:
        expected = [token for sentence in split(paragraph) for token in [*tokenize(sentence), "</s>"]]
        pieces, rest = tokenize_incomplete_text(f"{paragraph}\n\n", words, words.eos_id)
        assert [piece.token for piece in pieces] == expected
        assert "".join(piece.text for piece in pieces) + rest == f"{paragraph}\n\n"


def test_a_blank_that_is_not_typed_yet_is_not_recorded():
    words = vocabulary(TextConfig())
    assert [piece.token for piece in tokenize_incomplete_text("She was--", words, words.eos_id)[0]] == [
        "She", "was", "--",
    ]  # fmt: skip
    assert [piece.token for piece in tokenize_incomplete_text("She was -- he", words, words.eos_id)[0]] == [
        "She", "was", "▁--▁", "he",
    ]  # fmt: skip


def test_an_abbreviation_keeps_its_full_stop_before_the_next_word_is_there():
    assert read("Oh, Mr.") == (["Oh", ",", " Mr."], "")
    assert read("Oh, Mr.\n\n") == (["Oh", ",", " Mr", ".", "|"], "\n\n")


@pytest.mark.parametrize(
    ("text", "pieces", "rest"),
    [
        ("She was", ["She", " was"], ""),
        ("She was happy.", ["She", " was", " happy", "."], ""),
        ("She was happy. ", ["She", " was", " happy", ".", "|"], " "),
        ("She was happy.\n", ["She", " was", " happy", ".", "|"], "\n"),
        ("Mr. ", ["Mr."], " "),
        ("She was ", ["She", " was"], " "),
        ("She was\nhappy", ["She", " was", "\nhappy"], ""),
        ("She\n \nOh", ["She", "|", "\n \nOh"], ""),
        ("She\n\n", ["She", "|"], "\n\n"),
        ("\n\nShe", ["\n\nShe"], ""),
    ],
)
def test_a_sentence_ends_where_another_could_begin(text, pieces, rest):
    assert read(text) == (pieces, rest)


def test_with_sentences_by_lines_a_line_break_ends_one():
    assert read("She was. Oh", sentences="line") == (["She", " was.", " Oh"], "")
    assert read("She was\n\nOh\n", sentences="line") == (["She", " was", "|", "\n\nOh", "|"], "\n")


def test_of_characters_a_line_break_is_what_ends_a_line():
    words = Vocabulary(("a", "b"), TextConfig(unit="char"))
    pieces, _ = tokenize_incomplete_text("a\nc", words, words.eos_id)
    assert [(piece.text, piece.id) for piece in pieces] == [("a", 2), ("\n", words.eos_id), ("c", words.unk_id)]


@pytest.mark.parametrize(
    ("new", "text", "added"),
    [
        (["happy"], "She was", " happy"),
        (["happy"], "She was ", "happy"),
        (["."], "She was", "."),
        (["She"], "", "She"),
        (["n't", "be"], "She ca", "n't be"),
        (["''", "she", "was"], '"Oh', '" she was'),
        (["``", "Oh"], "She was happy.", ' "Oh'),
        (["▁!", "«▁", "Oh"], "She", " ! « Oh"),
        (["’s"], "She", "’s"),
        ([], "She", ""),
    ],
)
def test_what_is_added_has_a_blank_before_it_where_one_is_needed(new, text, added):
    words = vocabulary(TextConfig())
    tokens = [piece.token for piece in tokenize_incomplete_text(text, words, words.eos_id)[0]]
    assert text_to_append(new, text, tokens, words.text) == added


def test_characters_are_added_as_they_are():
    assert text_to_append(list(" a"), "b ", ["b", " "], TextConfig(unit="char")) == " a"
