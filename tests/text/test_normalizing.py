"""Normalizing Unicode: the same text, however it is cut into blocks; nothing for vocabularies of rules 1."""

import random
import sys
import unicodedata

import pytest

from theano_rnn.generation.prompts import read_prompt
from theano_rnn.settings.text import TextConfig
from theano_rnn.tasks.blanks import read_blanks
from theano_rnn.text import normalizing
from theano_rnn.text.incremental_tokenizing import tokenize_incomplete_text
from theano_rnn.text.normalizing import DROPPED, begins_character, normalize, normalized_blocks
from theano_rnn.text.vocabulary import Vocabulary

NEW, OLD = TextConfig(), TextConfig(rules=1)
DECOMPOSED = "cafe\u0301"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DECOMPOSED, "café"),
        ("\u1100\u1161\u11a8", "각"),
        ("\u0915\u093c", "\u0915\u093c"),  # excluded from composition
        ("a\u0323\u0302", "ậ"),
        ("a\u0302\u0323", "ậ"),
        ("co\u00adoperate\ufeff zero\u200bwidth\u2060.", "cooperate zerowidth."),
        ("e\u00ad\u0301", "é"),
        ("می\u200cخواهم \U0001f469\u200d\U0001f52c", "می\u200cخواهم \U0001f469\u200d\U0001f52c"),
        ("ﬁ ½ “x”", "ﬁ ½ “x”"),  # compatibility forms stay
    ],
)
def test_a_word_has_one_spelling(text, expected):
    assert normalize(text, NEW) == expected
    assert "".join(normalized_blocks(text, NEW)) == expected  # character by character
    assert normalize(text, OLD) == text == "".join(normalized_blocks(text, OLD))


@pytest.mark.parametrize("seed", range(200))
def test_blocks_make_no_difference(seed):
    rng = random.Random(seed)
    letters = ["e", "a", " ", "\n", "é", "中", "\u0301", "\u0323", "\u0302", "\u1100", "\u1161", "\u11a8", "가",
               "\u09c7", "\u09be", "\u0f71", "\u0f72", *DROPPED]  # fmt: skip
    text = "".join(rng.choices(letters, k=40))
    cuts = sorted(rng.choices(range(len(text)), k=8))
    blocks = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)])]
    assert "".join(normalized_blocks(blocks, NEW)) == normalize(text, NEW)


def test_whatever_merges_with_the_character_before_begins_no_character():
    for character in map(chr, range(sys.maxunicode + 1)):
        parts = unicodedata.decomposition(character).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            first, second = (chr(int(part, 16)) for part in parts)
            assert unicodedata.normalize("NFC", first + second) != character or not begins_character(second)
        if unicodedata.combining(unicodedata.normalize("NFD", character)[0]):
            assert not begins_character(character)


def test_accents_without_end_do_not_take_the_memory(monkeypatch):
    monkeypatch.setattr(normalizing, "MAX_HELD", 100)
    lengths = [len(block) for block in normalized_blocks(["\u0301" * 10] * 1000, NEW)]
    assert sum(lengths) == 10_000 and max(lengths) <= 110


@pytest.mark.parametrize("config", [NEW, TextConfig(unit="char")], ids=["word", "char"])
def test_all_that_a_model_reads_is_normalized(config):
    text = f"Oh\ufeff, {DECOMPOSED} ___."
    words = ["Oh", ",", "café", ".", *"Ohcafé_ "]
    vocabulary = Vocabulary(tuple(dict.fromkeys(words)), config)
    prompt = read_prompt(text, vocabulary, vocabulary.eos_id)
    unknown = prompt.unknown(vocabulary)
    assert set(unknown) <= {"___"}
    pieces, _ = tokenize_incomplete_text(text, vocabulary, vocabulary.eos_id)
    assert [piece.id for piece in pieces if piece.text] == [piece.id for piece in prompt.pieces if piece.text]
    assert "café" in "".join(piece.text for piece in pieces) and "café" in prompt.text
    older = Vocabulary(vocabulary.words, TextConfig(config.unit, rules=1))
    assert read_prompt(text, older, 1).unknown(older) != unknown


def test_blanks_to_fill_are_normalized():
    assert read_blanks(f"{DECOMPOSED} ___", NEW) == [(["café", "___"], [1])]
    assert read_blanks(f"{DECOMPOSED} ___", OLD) == [([DECOMPOSED, "___"], [1])]
