"""Typographic marks and unusual blanks: texts come back as they were written, in three languages and two styles."""

import random
import runpy
from pathlib import Path

import pytest
from paragraphs import PARAGRAPHS

from theano_rnn.settings.text import TextConfig
from theano_rnn.text.nltk_words import fast_nltk_tokenizer
from theano_rnn.text.spacing import split_marks, without_marks
from theano_rnn.text.token_spans import split_by_tokens
from theano_rnn.text.typography import plain_marks, plain_marks_for_words, tokens_as_written
from theano_rnn.text.usual_spacing import guess_blanks
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import detokenize, sentence_splitter, word_tokenizer

ROOT = Path(__file__).parents[2]
curly = runpy.run_path(str(ROOT / "benchmarks" / "curly.py"))["curly"]
PIECES = [
    "a", "can", "not", "Can not", "gon", "na", "d", "c", "c.", "is", "tis", "em", "s", "90s", "Oh", "l", "Mr.", "1",
    "n't", "N'T", "n’t", "'s", "’s", "'S", "’ll", "'", "’", "‘", "‚", '"', "“", "”", "„", "«", "»", "‹", "›", ".",
    "..", "...", "…", ",", ":", ";", "?", "!", "--", "—", "–", "-", "(", ")", "[", "]", "<", ">", "{", "}", "*", "_",
    "%", "&", "$", "#", "@", "/", "http://a.b/c?d=1#e", "f(x)", "▁", "￭", "é", " ", " ", " ", " ", " ", "  ", "\u00a0",
    "\u202f", "\t",
]  # fmt: skip
RULES_2 = TextConfig(rules=2)


def tokens_of(sentence, **config):
    return word_tokenizer(TextConfig(**config))(sentence)


def comes_back(paragraph, config=RULES_2):
    tokenize = word_tokenizer(config)
    sentences = sentence_splitter(config)(paragraph)
    return " ".join(detokenize(tokenize(sentence), config) for sentence in sentences).split() == paragraph.split()


def random_sentences(count):
    rng = random.Random(5)
    return ["".join(rng.choices(PIECES, k=rng.randint(1, 12))).strip() for _ in range(count)]


@pytest.fixture(scope="module")
def novel_paragraphs():
    text = "\n\n".join(path.read_text("utf-8") for path in sorted((ROOT / "data" / "austen").glob("*.txt")))
    return random.Random(3).sample([" ".join(p.split()) for p in text.split("\n\n") if p.strip()], 1000)


@pytest.mark.parametrize(
    ("sentence", "tokens"),
    [
        ("I don’t know.", ["I", "do", "n’t", "know", "."]),
        ("You’ll see Müller’s dog.", ["You", "’ll", "see", "Müller", "’s", "dog", "."]),
        ("L’homme qu’il vit aujourd’hui", ["L’homme", "qu’il", "vit", "aujourd’hui"]),
        ("Rock ’n’ roll of the ’90s", ["Rock", "’n", "’", "roll", "of", "the", "’", "90s"]),
        ("’Tis two o’clock.", ["’", "Tis", "two", "o’clock", "."]),
        ("The Musgroves’ ‘house’", ["The", "Musgroves", "’", "‘", "house", "’"]),
        ("“Oh,” she said. “Don’t.”", ["“", "Oh", ",", "”", "she", "said.", "“", "Do", "n’t", ".", "”"]),
        ("„Ich komme.“", ["„", "Ich", "komme", ".", "“"]),
        ("»Ich komme.«", ["»", "Ich", "komme", ".", "«"]),
        ("« Je viens. »", ["«▁", "Je", "viens", ".", "▁»"]),
        ("‚Nein.‘", ["‚", "Nein", ".", "‘"]),
        ("Wait… no", ["Wait", "…", "no"]),
        ("Viens ! f(x)", ["Viens", "▁!", "f", "￭(", "x", ")"]),
        ("me @ home, I can not", ["me", "▁@▁", "home", ",", "I", "can", "▁not"]),
    ],
)
def test_typographic_marks_are_split_like_plain_ones(sentence, tokens):
    assert tokens_of(sentence) == tokens
    assert detokenize(tokens, TextConfig()) == sentence


@pytest.mark.parametrize("name", PARAGRAPHS)
def test_paragraphs_come_back_as_they_were_written(name):
    assert [paragraph for paragraph in PARAGRAPHS[name] if not comes_back(paragraph)] == []
    before = sum(comes_back(paragraph, TextConfig(rules=1)) for paragraph in PARAGRAPHS[name])
    assert before < len(PARAGRAPHS[name]) / 2


@pytest.mark.slow
def test_novels_come_back_whether_their_marks_are_plain_or_typographic(novel_paragraphs):
    for change in (str, curly):
        assert sum(comes_back(change(paragraph)) for paragraph in novel_paragraphs) >= 990


def test_a_novel_has_the_same_tokens_with_typographic_marks(novel_paragraphs):
    """They differ in the marks themselves, and in how blanks around quotation marks need to be recorded."""
    config = TextConfig()
    split, tokenize = sentence_splitter(config), word_tokenizer(config)
    for paragraph in novel_paragraphs:
        plain, written = split(paragraph), split(curly(paragraph))
        assert plain == [sentence.replace("’", "'").replace("‘", "'") for sentence in map(plain_marks, written)]
        for one, other in zip(plain, written):
            plain_tokens = [without_marks(token).replace("``", '"').replace("''", '"') for token in tokenize(one)]
            assert plain_tokens == [plain_marks(without_marks(token)) for token in tokenize(other)]


def test_tokens_of_ordinary_text_are_those_of_nltk(novel_paragraphs):
    config = TextConfig()
    pairs = [
        (tokens_of(sentence), tokens_of(sentence, rules=1))
        for paragraph in novel_paragraphs for sentence in sentence_splitter(config)(paragraph)
    ]  # fmt: skip
    assert all([without_marks(token) for token in one] == other for one, other in pairs)
    assert sum(one != other for one, other in pairs) < 0.01 * len(pairs)  # odd blanks, as in `so.-- Edward`


def test_any_sentence_comes_back():
    for sentence in random_sentences(6000):
        expected = sentence.replace("''", '"')
        if "`" not in sentence:
            assert detokenize(tokens_of(sentence), TextConfig()).split() == expected.split(), repr(sentence)


def test_tokens_are_found_in_the_text():
    for sentence in random_sentences(3000):
        tokens = tokens_of(sentence)
        parts = split_by_tokens(sentence, tokens)
        assert "".join(parts) == sentence
        assert all(map(str.strip, parts)), (sentence, tokens, parts)


def test_marks_stand_at_punctuation_alone_unless_there_are_two_words():
    for sentence in random_sentences(3000):
        tokens = tokens_of(sentence)
        for _, token, after in map(split_marks, tokens):
            assert token
            if any(map(str.isalnum, token)) and not set("▁￭") & set(sentence):
                assert not after, (sentence, tokens)


def test_what_is_found_fast_is_what_is_found_slowly():
    fast = 0
    for sentence in random_sentences(6000):
        written, blanks = tokens_as_written(sentence, fast_nltk_tokenizer()(plain_marks_for_words(sentence)))
        usual = tokens_of(sentence)
        if usual == written:
            fast += 1
            assert [blank for _, blank in guess_blanks(written)][1:] == blanks[1:], repr(sentence)
    assert fast > 300


def test_a_word_with_marks_counts_as_the_word_if_it_is_unknown():
    vocabulary = Vocabulary(("Oh", "!", "▁?"))
    assert vocabulary.encode(["Oh", "▁!", "▁?", "?", "￭?", "."]).tolist() == [2, 3, 4, 4, 4, 0]
    older = Vocabulary(("Oh", "!", "▁?"), TextConfig(rules=1))
    assert older.encode(["Oh", "▁!", "▁?", "?"]).tolist() == [2, 0, 4, 0]
    assert Vocabulary(("!",), TextConfig(tokens="whitespace")).encode(["▁!"]).tolist() == [0]


@pytest.mark.parametrize(
    ("text", "tokens", "sentences"),
    [
        (
            "“Don’t go,” said he. ‘Why?’ she asked.",
            "“ Don ’ t go , ” said he . | ‘ Why ? ’ | she asked .",
            ["“Don’ t go,” said he.", "‘Why?’", "she asked."],
        ),
        (
            "„Ja.“ Dann: »Nein!« sagte l’homme. « Quoi ? » 50 % f(x)",
            "„ Ja. “ | Dann : » Nein ! « | sagte l ’ homme. « | Quoi ? » | 50 % f ( x )",
            ["„Ja. “", "Dann:» Nein! «", "sagte l’ homme. «", "Quoi?»", "50% f (x)"],
        ),
        (
            'Great film!!! "What?" he asked. Ah! how well',
            "Great film ! ! ! | `` What ? '' | he asked . | Ah ! | how well",
            ["Great film!!!", '"What?"', "he asked.", "Ah!", "how well"],
        ),
        (
            "Wait… me @ home,--\"Oh\" 'Tis ’tis ▁x ￭",
            "Wait… me @ home , -- '' Oh '' ' Tis ’ tis ▁x ￭",
            ["Wait… me@home,--\"Oh\" 'Tis’ tis ▁x ￭"],
        ),
    ],
)
def test_older_models_keep_their_tokens(text, tokens, sentences):
    config = TextConfig(rules=1)
    found = list(map(word_tokenizer(config), sentence_splitter(config)(text)))
    assert " | ".join(map(" ".join, found)) == tokens
    assert [detokenize(sentence, config) for sentence in found] == sentences
