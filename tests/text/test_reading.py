"""Splitting text into chunks and sentences: sentences do not depend on the size of the chunks."""

import random
import re

import pytest

from theano_rnn.settings.text import TextConfig
from theano_rnn.text.reading import CHUNK_CHARACTERS, Chunk, chunk_end, chunks, read_sentences, split_chunk
from theano_rnn.text.sources import Source
from theano_rnn.text.tokenizing import tokenize_file
from theano_rnn.text.words import sentence_splitter

PUNKT, LINE = TextConfig(), TextConfig(sentences="line")


def sentences(blocks, config, size):
    found, begun = [], []
    for chunk in chunks(iter(blocks), config, size):
        assert len(chunk.text) <= size
        for sentence, is_whole, ends_paragraph in split_chunk(chunk, config, sentence_splitter(config)):
            assert ends_paragraph == (is_whole and config is PUNKT)  # the paragraphs here have one sentence each
            begun += [sentence] if sentence else []
            if is_whole:
                found.append(begun)
                begun = []
    assert not begun
    assert all(found)
    return found


def random_text(seed, pieces):
    rng = random.Random(seed)
    return "".join(rng.choices(pieces, k=rng.randint(1, 40))) + "x"


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("config", [PUNKT, LINE], ids=["punkt", "line"])
def test_every_cutting_keeps_the_sentences(seed, config):
    text = random_text(seed, ["a", "bc", " ", "  ", "\n", "\n\n", "\n \n", "\t"])  # no full stops: paragraphs, lines
    whole = re.split(r"\n[^\S\n]*\n" if config is PUNKT else "\n", text)
    expected = [paragraph.split() for paragraph in whole if paragraph.strip()]
    for size in (2, 5, 7, 12, 1000):
        found = sentences([text], config, size)
        assert ["".join("".join(parts).split()) for parts in found] == ["".join(words) for words in expected]
        if size >= 2 + max(len(word) for words in expected for word in words):  # no word had to be cut
            assert [" ".join(parts).split() for parts in found] == expected


@pytest.mark.parametrize("seed", range(20))
def test_blocks_make_no_difference(seed):
    text = random_text(seed, ["A. ", "bcd", " ", "\n", "\n\n", "e!"])
    rng = random.Random(seed)
    at = sorted(rng.choices(range(len(text)), k=5))
    blocks = [text[start:end] for start, end in zip([0, *at], [*at, len(text)])]
    for config in (PUNKT, LINE):
        for size in (4, 9, 1000):
            assert list(chunks(iter(blocks), config, size)) == list(chunks(iter([text]), config, size))


def test_a_word_longer_than_a_unit_is_cut():
    assert sentences(["x" * 10], LINE, 4) == [["xxxx", "xxxx", "xx"]]


def test_blanks_without_end_are_no_sentence():
    assert sentences([" " * 20 + "\n\nA"], PUNKT, 5) == [["A"]]
    assert sentences(["a" + " " * 20 + "\n\nb"], PUNKT, 5) == [["a"], ["b"]]


def test_a_sentence_cut_before_its_end_still_ends():
    chunk = Chunk("\n\nB.", starts_mid_sentence=True, ends_mid_sentence=False)
    assert list(split_chunk(chunk, PUNKT, sentence_splitter(PUNKT))) == [("", True, True), ("B.", True, True)]


def test_no_text_has_no_units():
    assert list(chunks(iter([]), PUNKT)) == []


def test_a_paragraph_may_end_with_a_line_of_blanks():
    assert chunk_end("ab\n \ncd", 0, 7, by_line=False) == (5, False)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (PUNKT, ["Mr. A came  to town.", "C?", "D"]),
        (LINE, ["Mr. A came", "to town. C?", "D"]),
        (TextConfig(unit="char", lowercase=True), ["Mr. A came ", "to town. C?", "", "", " D"]),
    ],
)
def test_sentences_of_a_file_are_as_they_stand_there(tmp_path, config, expected):
    (tmp_path / "a.txt").write_text("Mr. A came \nto town. C?\n\n\n D\n")
    found = list(read_sentences(tmp_path / "a.txt", config))
    squeezed = found if config.unit == "char" else [re.sub(" +", " ", sentence) for sentence in found]
    assert squeezed == [re.sub(" +", " ", each) for each in expected]


@pytest.mark.parametrize("text", ["\tif x:\n\t\ty\n\n\n  z \n", "a", "\n\na", "x" * (CHUNK_CHARACTERS + 9) + "\n b"])
def test_lines_of_characters_are_the_text_and_what_training_reads(tmp_path, text):
    path, config = tmp_path / "a.txt", TextConfig(unit="char")
    path.write_text(text)
    lines = list(read_sentences(path, config))
    assert "\n".join(lines) + "\n" == text.removesuffix("\n") + "\n"
    tokenized = tokenize_file(path, config)
    assert "".join(tokenized.types[i] for i in tokenized.ids) == text
    with Source(path) as source:
        assert source.count(config) == (len(text.split()), len(text))


def test_a_sentence_over_several_units_is_read_whole(tmp_path):
    (tmp_path / "a.txt").write_text("word " * 60_000)
    assert list(read_sentences(tmp_path / "a.txt", PUNKT)) == [" ".join(["word"] * 60_000)]


def test_a_sentence_that_fills_a_unit_ends_before_the_next(tmp_path):
    (tmp_path / "a.txt").write_text("x" * CHUNK_CHARACTERS + "\n\nNo.")
    assert list(read_sentences(tmp_path / "a.txt", PUNKT)) == ["x" * CHUNK_CHARACTERS, "No."]
