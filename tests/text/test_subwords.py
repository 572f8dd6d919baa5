"""Subwords: texts come back from their pieces, learning is deterministic, hostile tokenizers do no harm."""

import itertools
import json
import os
import random
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tokenizers")

import tokenizers

from theano_rnn.preprocessing import encode_file, load_corpus
from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import CorpusConfig, TextConfig
from theano_rnn.text import type_ids
from theano_rnn.text.incremental_tokenizing import text_to_append, tokenize_incomplete_text
from theano_rnn.text.normalizing import normalize
from theano_rnn.text.paragraphs import PlaceInParagraph
from theano_rnn.text.reading import sentences_of
from theano_rnn.text.subword_files import read_tokenizer
from theano_rnn.text.subword_text import piece_texts, split_by_pieces
from theano_rnn.text.subwords import learn_tokenizer, pre_tokens, subword_encoder
from theano_rnn.text.token_spans import pieces_of_sentences
from theano_rnn.text.type_ids import TypeIds
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import detokenize, model_tokenizer, sentence_splitter

SUBWORD = TextConfig("subword")
BY_LINE = TextConfig("subword", sentences="line")
NOVEL = Path(__file__).parents[2] / "data" / "austen" / "emma.txt"
PARAGRAPHS = NOVEL.read_text(encoding="utf-8")[:40_000].split("\n\n")
TEXT = " ".join(PARAGRAPHS)
VOCABULARY = Vocabulary.from_sentences([TEXT.split()], max_size=600, text=SUBWORD)
PIECES = [
    "a", "the", "Mr.", "don't", "don’t", "'", "’", '"', "“", "”", "«", "...", ".", ". ", "! ", "?", "No.(Yes)", "1815",
    "½", "$", "▁", "▁▁", "￭", "<0x41>", "<0xE2>", "<unk>", "</s>", "é", "e\u0301", "\u0301", "ﬁ", "ß", "İ", "ΑΣ",
    "😀", "👩\u200d👩\u200d👧", "🇩🇪", "我爱北京。", "ไทย",
    "العَرَبِيَّة", "\u200f", "हिन्दी", "\u00ad", "\u200b", "\ufeff", "\x01", "\U0010ffff",
    " ", " ", " ", " ", "  ", "\u00a0", "\u2028", "\t", "\x1c", "\n", "\n", "\n\n",
]  # fmt: skip


def random_texts(count, seed=0):
    rng = random.Random(seed)
    for _ in range(count):
        yield "".join(rng.choices(PIECES, k=rng.randint(1, 30)))
        yield "".join(chr(rng.choice([rng.randrange(0xD800), rng.randrange(0xE000, 0x110000)])) for _ in range(12))


def sentences(text, config=SUBWORD):
    return list(sentences_of(iter([normalize(text, config)]), config))


@pytest.mark.parametrize("config", [SUBWORD, BY_LINE], ids=["punkt", "line"])
def test_any_text_comes_back_from_its_pieces(config):
    tokenize = model_tokenizer(VOCABULARY)
    for text in random_texts(300):
        found = [piece for sentence in sentences(text, config) for piece in tokenize(sentence)]
        expected = " ".join(normalize(text, config).split())
        assert detokenize(found, config) == expected, repr(text)
        assert detokenize(VOCABULARY.decode(VOCABULARY.encode(found)), config) == expected
        assert VOCABULARY.unk_id not in VOCABULARY.encode(found)


def test_whole_paragraphs_come_back():
    for paragraph in PARAGRAPHS:
        found = [piece for sentence in sentences(paragraph) for piece in model_tokenizer(VOCABULARY)(sentence)]
        assert detokenize(found, SUBWORD) == " ".join(paragraph.split())


def test_lower_case_comes_back_as_such():
    config = TextConfig("subword", lowercase=True)
    vocabulary = Vocabulary.from_sentences([TEXT.lower().split()], max_size=600, text=config)
    for text in random_texts(50):
        words = [word.lower() for sentence in sentences(text, config) for word in sentence.split()]
        found = [piece for sentence in sentences(text, config) for piece in model_tokenizer(vocabulary)(sentence)]
        assert detokenize(found, config) == " ".join(words)


@pytest.mark.parametrize("config", [SUBWORD, BY_LINE], ids=["punkt", "line"])
def test_typed_text_has_the_same_pieces_as_training_text(config):
    vocabulary = Vocabulary(VOCABULARY.words, config, tokenizer=VOCABULARY.tokenizer)
    for text in random_texts(200, seed=1):
        trained = [piece.id for piece in pieces_of_sentences(sentences(text, config), vocabulary, end_id=1)]
        pieces, rest = tokenize_incomplete_text(text, vocabulary, 1)
        assert "".join(piece.text for piece in pieces) + rest == normalize(text, config)
        ids = [piece.id for piece in pieces]
        assert ids == trained or [*ids, 1] == trained
        assert all(piece.is_end == (piece.id == 1) for piece in pieces)


def test_each_piece_has_its_part_of_the_text():
    words = [VOCABULARY.pieces(word) for word in ("the", "😀", "▁x")]
    assert split_by_pieces(" the \n 😀 ▁x", words) == [" the", " \n ", "😀", "", "", "", " ", "▁", "", "", "x"]


def test_a_composed_letter_and_its_parts_are_the_same_pieces():
    assert (
        tokenize_incomplete_text("cafe\u0301", VOCABULARY, 1)[0] == tokenize_incomplete_text("café", VOCABULARY, 1)[0]
    )


def test_a_long_word_comes_back():
    for word in ("x" * 10_000, "ab-1é😀" * 1500, "我" * 10_000):
        assert "".join(piece_texts(VOCABULARY.pieces(word))) == word


def test_a_half_of_a_surrogate_pair_is_a_question_mark():
    assert VOCABULARY.pieces("a\ud83d") == VOCABULARY.pieces("a?")


@pytest.mark.parametrize("text", ["", " \n\n \n", "\n"])
def test_a_blank_text_has_no_pieces(text):
    assert tokenize_incomplete_text(text, VOCABULARY, 1)[0] == []


def test_a_literal_name_of_a_byte_or_of_an_end_is_text():
    ids = VOCABULARY.encode(model_tokenizer(VOCABULARY)("<0x41> </s> <unk>"))
    assert not {0, 1, VOCABULARY.token_to_id("<0x41>")} & {*ids.tolist()}


def test_bytes_that_are_no_character_are_replaced():
    assert list(piece_texts(["▁a", "<0xC3>", "▁b", "<0xC3>"])) == ["a", "", "\ufffd b", "", "\ufffd"]


def test_the_library_splits_into_the_same_pieces_and_joins_them():
    peer = tokenizers.Tokenizer.from_str(VOCABULARY.tokenizer)
    for text in random_texts(200, seed=2):
        text = normalize(text, SUBWORD).replace("▁", "").replace("\x1c", " ")  # it does not know this blank
        ours = [piece for word in text.split() for piece in VOCABULARY.pieces(word)]
        if not any(unicodedata.category(character) == "Cn" for character in text):  # of another version of Unicode
            assert peer.encode(text).tokens == ours
        assert peer.decode([VOCABULARY.token_to_id(piece) - 2 for piece in ours]) == " ".join(text.split())


def test_pieces_are_numbered_by_frequency():
    ids = np.concatenate([VOCABULARY.ids_of_token(word) for word in TEXT.split()])
    counts = np.bincount(ids, minlength=len(VOCABULARY))[2:].tolist()
    assert [*zip(counts, VOCABULARY.words)] == sorted(zip(counts, VOCABULARY.words), key=lambda one: (-one[0], one[1]))
    assert len(VOCABULARY) == 600


def test_merges_are_those_of_the_plain_algorithm():
    """Compared with byte-pair encoding in a few lines."""
    words = {"low": 5, "lower": 2, "newest": 6, "widest": 3, "slow": 4}
    spelt, merges = {word: ["▁", *word] for word in words}, []
    while True:
        pairs = {}
        for word, count in words.items():
            for pair in itertools.pairwise(spelt[word]):
                pairs[pair] = pairs.get(pair, 0) + count
        best = max(pairs.values(), default=0)
        if best < 2:
            break
        _, found = read_tokenizer(learn_tokenizer(list(words), list(words.values()), max_size=400))
        pair = found[len(merges)]
        assert pairs.get(pair) == best  # which of equally frequent pairs comes first is up to the library
        merges.append(pair)
        for word, parts in spelt.items():
            joined = []
            for part in parts:
                if joined and (joined[-1], part) == pair:
                    joined[-1] += part
                else:
                    joined.append(part)
            spelt[word] = joined
    assert len(found) == len(merges)


PROGRAM = """
import sys, hashlib
from theano_rnn.text.subwords import learn_tokenizer
words = sys.stdin.read().split()
words = sorted(set(words), key=words.index if int(sys.argv[1]) else None)
print(hashlib.sha256(learn_tokenizer(words, [len(w) % 7 + 1 for w in words], max_size=500).encode()).hexdigest())
"""


def test_the_same_words_give_the_same_bytes():
    found = set()
    for threads, seed, order in (("1", "1", "0"), ("4", "2", "1")):
        environment = {**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", PROGRAM, order], input=TEXT, env=environment, text=True,
                              capture_output=True, check=True)  # fmt: skip
        found.add(done.stdout)
    assert len(found) == 1


def test_rare_characters_are_bytes():
    vocabulary = Vocabulary.from_sentences([["ab", "ab", "é"]], text=SUBWORD)
    assert vocabulary.words[:1] == ("▁ab",)
    assert {"▁", "a", "b"} <= {*vocabulary.words}
    assert vocabulary.pieces("é") == ["▁", "<0xC3>", "<0xA9>"]
    frequent = Vocabulary.from_sentences([["aa", "bb", "aa", "bb", "bb"]], min_count=3, text=SUBWORD)
    assert "▁bb" in frequent
    assert "▁aa" not in frequent


def test_half_of_the_pieces_may_be_characters():
    letters = [chr(number) for number in range(0x4E00, 0x4F00) for _ in range(3)]
    vocabulary = Vocabulary.from_sentences([letters], max_size=358, text=SUBWORD)
    assert sum(len(word) == 1 for word in vocabulary.words) == 50


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("THEANO_RNN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "train.txt").write_text("\n\n".join(PARAGRAPHS), encoding="utf-8")
    (tmp_path / "valid.txt").write_text(
        "Completely другой text, with 😀 words. Twice the other words.\n", encoding="utf-8"
    )
    return tmp_path


def test_pieces_are_learned_from_the_training_part_alone(folder):
    train, valid = str(folder / "train.txt"), str(folder / "valid.txt")
    corpora = [load_corpus(CorpusConfig(train=(train,), valid=(path,), test=(path,), vocab_size=500), SUBWORD)
               for path in (valid, train)]  # fmt: skip
    first, second = (corpus.vocabulary for corpus in corpora)
    assert first == second
    assert first.tokenizer == second.tokenizer
    counted = [word for paragraph in PARAGRAPHS for word in paragraph.split()]
    assert first.words == Vocabulary.from_sentences([counted], 500, text=SUBWORD).words
    assert corpora[0].fingerprint != corpora[1].fingerprint


def test_a_corpus_has_the_pieces_of_its_sentences(folder, monkeypatch):
    path = folder / "train.txt"
    corpus = load_corpus(CorpusConfig(train=(str(path),), vocab_size=500), SUBWORD)
    expected = [i for p in pieces_of_sentences(sentences(path.read_text(encoding="utf-8")), corpus.vocabulary, end_id=1)
                for i in [p.id]]  # fmt: skip
    found = np.concatenate([corpus.train, corpus.valid, corpus.test])
    assert found.tolist() == expected
    monkeypatch.setattr(type_ids, "BLOCK_IDS", 7)
    assert encode_file(path, corpus.vocabulary).tolist() == expected
    assert encode_file(path, corpus.vocabulary, num_workers=1).tolist() == expected


def test_blocks_are_of_limited_size(monkeypatch):
    monkeypatch.setattr(type_ids, "BLOCK_IDS", 100)
    types = ["</s>", "</s>", "x" * 90 + "é" * 5, "the"]
    lookup = TypeIds(VOCABULARY, types)
    numbers = np.random.default_rng(0).integers(0, 4, 500).astype(np.int32)
    blocks = list(lookup.blocks(numbers))
    assert max(map(len, blocks)) <= 100 + lookup.lengths.max()
    expected = [i for n in numbers for i in ([1] if n < 2 else VOCABULARY.ids_of_token(types[n]))]
    assert np.concatenate(blocks).tolist() == expected
    assert all(block.dtype == np.int32 for block in blocks)


def test_the_vocabulary_comes_back_from_json():
    values = json.loads(json.dumps(VOCABULARY.to_json()))
    back = Vocabulary.from_json(values)
    assert back == VOCABULARY
    assert back.pieces("unusual") == VOCABULARY.pieces("unusual")
    assert "tokenizer" not in Vocabulary(("a",)).to_json()


def test_an_existing_tokenizer_gives_its_pieces(folder):
    values = json.loads(VOCABULARY.tokenizer)
    model = values["model"]
    model["merges"] = [" ".join(pair) for pair in model["merges"]]  # as older files have them
    model["vocab"] = {"<s>": 10_000} | model["vocab"]
    (folder / "tokenizer.json").write_text(json.dumps(values), encoding="utf-8")
    config = CorpusConfig(train=(str(folder / "train.txt"),), subword_model=str(folder / "tokenizer.json"))
    found = load_corpus(config, SUBWORD).vocabulary
    assert sorted(found.words) == sorted(VOCABULARY.words)
    assert found.pieces("unusual") == VOCABULARY.pieces("unusual")


@pytest.mark.parametrize(
    "change",
    [
        {"tokenizer": None},
        {"tokenizer": 3},
        {"words": ["a"]},
        {"text": {"unit": "subword"}},
        {"text": {"unit": "subword", "rules": 1}},
    ],
)
def test_a_vocabulary_that_does_not_fit_its_tokenizer_is_refused(change):
    with pytest.raises(UserError):
        Vocabulary.from_json(VOCABULARY.to_json() | change)


def test_a_tokenizer_belongs_to_subwords_alone():
    with pytest.raises(UserError, match="tokenizer"):
        Vocabulary(("a",), SUBWORD)
    with pytest.raises(UserError, match="tokenizer"):
        Vocabulary(("a",), tokenizer=VOCABULARY.tokenizer)


def test_too_small_a_vocabulary_is_refused():
    with pytest.raises(UserError, match="at least 300 .* got 299"):
        Vocabulary.from_sentences([["a"]], 299, text=SUBWORD)


def test_without_the_library_texts_can_be_joined_but_not_split(monkeypatch):
    values = VOCABULARY.to_json()
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    subword_encoder.cache_clear()
    vocabulary = Vocabulary.from_json(values)
    assert detokenize(["▁un", "usual"], vocabulary.text) == "unusual"
    with pytest.raises(UserError, match=r"run pip install 'theano_rnn\[subword\]'"):
        vocabulary.pieces("word")
    subword_encoder.cache_clear()


def test_sentences_end_at_white_space_alone():
    text = "He said no.(Yes.) It was.”She left. Dr. No."
    found = sentence_splitter(SUBWORD)(text)
    assert " ".join(found) == text
    assert len(found) > 1


def test_ends_of_paragraphs_are_counted_by_the_last_piece(folder):
    paragraphs = ['"Oh," he said. "No."', "She left. She came. He left.", "“Go. No.”"] * 30
    (folder / "quotes.txt").write_text("\n\n".join(paragraphs))
    corpus = load_corpus(CorpusConfig(train=(str(folder / "quotes.txt"),), test_fraction=0.0), SUBWORD)
    ends = corpus.vocabulary.paragraph_ends
    assert {'"', "”", ".", ""} <= ends.keys()
    assert ends['"'][0] > 0.9
    assert ends["”"][0] > 0.9
    assert ends["."][0] < 0.4
    assert ends["."][1] < 0.1
    place = PlaceInParagraph(ends, "subword")
    for piece in ('▁"', "No", "."):
        place.read(piece)
    assert place.end_rate() == ends["."][1]
    place.read('"')
    assert place.end_rate() == ends['"'][0]


def test_a_piece_that_cannot_be_typed_adds_nothing():
    tokens = VOCABULARY.pieces("walk")
    assert text_to_append(["ing"], "walk", tokens, SUBWORD) == "ing"
    assert text_to_append(["ing"], "walk ", tokens, SUBWORD) == ""
    assert text_to_append(["▁to"], "walk ", tokens, SUBWORD) == "to"
    assert text_to_append(["▁to"], "walk", tokens, SUBWORD) == " to"
    assert text_to_append(["<0xC3>"], "walk", tokens, SUBWORD) == ""
    assert text_to_append(["▁To"], "", [], SUBWORD) == "To"


def test_pre_tokens_joined_are_the_word():
    for text in random_texts(100):
        for word in text.split():
            assert "".join(pre_tokens(word)) == "▁" + word
