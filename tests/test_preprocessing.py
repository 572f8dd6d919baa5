"""Loading a corpus: its parts and vocabulary, compared with a simple implementation, and errors."""

import math
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from theano_rnn.preprocessing import encode_file, load_corpus
from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import CorpusConfig, TextConfig
from theano_rnn.text import tokenizing, worker_processes
from theano_rnn.text.vocabulary import UNK, Vocabulary

NOVELS = Path(__file__).parents[1] / "data" / "austen"
PLAIN = TextConfig(sentences="line", tokens="whitespace")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("THEANO_RNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("THEANO_RNN_CACHE_MB", raising=False)


@pytest.fixture
def make(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def numbered(first, last):
    return "".join(f"w{number} is <unk> {number % 7}\n" for number in range(first, last))


def reference(files, valid_fraction, test_fraction, size):
    """Returns the vocabulary and the parts, computed with plain lists of lines."""
    parts = [], [], []
    for text in files:
        lines = [line.split() for line in text.split("\n") if line.strip()]
        train_end = math.floor(len(lines) * (1 - Fraction(valid_fraction) - Fraction(test_fraction)))
        valid_end = math.floor(len(lines) * (1 - Fraction(test_fraction)))
        for part, piece in zip(parts, (lines[:train_end], lines[train_end:valid_end], lines[valid_end:])):
            part.extend(piece)
    counts = Counter(word for line in parts[0] for word in line if word != UNK)
    words = [word for _, word in sorted((-count, word) for word, count in counts.items())][: size - 2]
    ids = {word: number for number, word in enumerate(words, 2)}
    return words, [[number for line in part for number in [*(ids.get(word, 0) for word in line), 1]] for part in parts]


@pytest.mark.parametrize("fractions", [("0.05", "0.05"), ("0.1", "0"), ("0.3", "0.29"), ("0.07", "0.13")])
@pytest.mark.parametrize("size", [3, 12, 10_000])
def test_a_corpus_is_what_plain_lists_make_of_it(make, fractions, size):
    texts = [numbered(0, 100), numbered(60, 137)]
    config = CorpusConfig(
        train=(make("a.txt", texts[0]), make("b.txt", texts[1])), vocab_size=size,
        valid_fraction=float(fractions[0]), test_fraction=float(fractions[1]),
    )  # fmt: skip
    corpus = load_corpus(config, PLAIN)
    words, parts = reference(texts, *fractions, size)
    assert list(corpus.vocabulary.words) == words
    assert corpus.vocabulary.text == PLAIN
    assert corpus.train.tolist() == parts[0]
    assert corpus.valid.tolist() == parts[1]
    assert (corpus.test is None) if fractions[1] == "0" else (corpus.test.tolist() == parts[2])
    assert {array.dtype for array in corpus[1:4] if array is not None} == {np.dtype(np.int32)}


@pytest.mark.parametrize(
    ("rules", "sizes", "unknown"),
    [
        pytest.param(1, (789_570, 47_062, 49_997), 0.0140608, marks=pytest.mark.slow),
        (2, (789_047, 46_601, 49_639), 0.0140615),
    ],
)
def test_the_novels_are_cut_where_they_always_were(rules, sizes, unknown):
    corpus = load_corpus(CorpusConfig(train=tuple(map(str, sorted(NOVELS.glob("*.txt"))))), TextConfig(rules=rules))
    assert (corpus.train.size, corpus.valid.size, corpus.test.size) == sizes
    assert len(corpus.vocabulary) == 10_000
    assert np.mean(corpus.test == corpus.vocabulary.unk_id) == pytest.approx(unknown, abs=1e-6)


def test_characters_are_cut_to_the_character(make):
    path = make("a.txt", "abcdefghij" * 11)
    corpus = load_corpus(CorpusConfig(train=(path,), valid_fraction=0.1, test_fraction=0), TextConfig("char"))
    assert (corpus.train.size, corpus.valid.size, corpus.test) == (99, 11, None)
    assert len(corpus.vocabulary) == 12


@pytest.mark.parametrize(("num", "expected"), [(1_115_394, 111_540), (10, 1), (19, 2), (30, 3)])
def test_a_validation_part_is_rounded_up(make, num, expected):
    path = make("a.txt", "x" * num)
    corpus = load_corpus(CorpusConfig(train=(path,), valid_fraction=0.1, test_fraction=0), TextConfig("char"))
    assert corpus.valid.size == expected


def test_files_of_ones_own_leave_the_fractions_unused(make):
    train, other = make("a.txt", numbered(0, 100)), make("b.txt", "w1 new\n")
    corpus = load_corpus(CorpusConfig(train=(train,), valid=other), PLAIN)
    assert (corpus.train == 1).sum() == 100
    assert corpus.vocabulary.decode(corpus.valid) == ["w1", UNK, "</s>"]
    assert corpus.test is None
    corpus = load_corpus(CorpusConfig(train=(train,), valid=other, test=other), PLAIN)
    assert corpus.test.tolist() == corpus.valid.tolist()
    corpus = load_corpus(CorpusConfig(train=(train,), test=other), PLAIN)
    assert ((corpus.train == 1).sum(), (corpus.valid == 1).sum(), (corpus.test == 1).sum()) == (95, 5, 1)


def test_the_vocabulary_knows_the_training_part_only(make):
    path = make("a.txt", "old\n" * 90 + "new\n" * 10)
    corpus = load_corpus(CorpusConfig(train=(path,)), PLAIN)
    assert corpus.vocabulary.words == ("old",)


def test_a_literal_unknown_word_and_end_of_sentence(make):
    path = make("a.txt", "<unk> </s>\n" * 40)
    corpus = load_corpus(CorpusConfig(train=(path,)), PLAIN)
    assert corpus.train[:3].tolist() == [0, 2, 1]
    assert corpus.vocabulary.words == ("</s>",)


@pytest.mark.parametrize(("num_files", "has_processes"), [(1, False), (2, True)])
def test_files_that_are_large_together_share_processes(make, monkeypatch, num_files, has_processes):
    files = tuple(make(f"{number}.txt", numbered(0, 100 + number)) for number in range(num_files))
    monkeypatch.setattr(tokenizing, "MIN_PARALLEL_BYTES", 1.5 * Path(files[0]).stat().st_size)
    monkeypatch.setattr(tokenizing, "MAX_WORKERS", 2)
    started = []

    class Counted(worker_processes.Worker):
        def __init__(self, text):
            super().__init__(text)
            started.append(self)

    monkeypatch.setattr(worker_processes, "Worker", Counted)
    load_corpus(CorpusConfig(train=files), PLAIN)
    assert len(started) == (tokenizing.default_num_workers(1 << 30) if has_processes else 0)


def test_arrays_of_one_start_do_not_change_those_of_the_next(make):
    config = CorpusConfig(train=(make("a.txt", numbered(0, 100)),))
    first = load_corpus(config, PLAIN)
    first.train[:] = 7
    assert load_corpus(config, PLAIN).train.tolist() != first.train.tolist()


def test_the_fingerprint_tells_content_but_not_names(make):
    texts = numbered(0, 100), numbered(0, 101)
    configs = [
        CorpusConfig(train=(make("a.txt", texts[0]),)),
        CorpusConfig(train=(make("a2.txt", texts[0]),)),
        CorpusConfig(train=(make("b.txt", texts[1]),)),
        CorpusConfig(train=(make("a.txt", texts[0]),), vocab_size=50),
        CorpusConfig(train=(make("a.txt", texts[0]),), valid_fraction=0.07),
        CorpusConfig(train=(make("a.txt", texts[0]),), valid=make("v.txt", texts[1])),
    ]
    prints = [load_corpus(config, PLAIN).fingerprint for config in configs]
    assert prints[0] == prints[1]
    assert len(set(prints)) == len(prints) - 1
    assert load_corpus(configs[0], TextConfig(sentences="line")).fingerprint not in prints


def test_other_text_is_encoded_with_the_same_vocabulary(make):
    vocabulary = Vocabulary(("a", "b"), PLAIN)
    ids = encode_file(make("a.txt", "b a\n\nc <unk>\n"), vocabulary)
    assert ids.tolist() == [3, 2, 1, 0, 0, 1]
    assert ids.dtype == np.int32


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("a\n" * 9, {}, "the validation part is empty .*--valid"),
        ("a\n" * 50, {"valid_fraction": 0.0}, "the validation part is empty"),
        ("a\n" * 50, {"valid_fraction": 0.5, "test_fraction": 0.5}, "must be less than 1"),
        ("a\nb\n", {"valid_fraction": 0.5, "test_fraction": 0.0}, "the training part has 1 token,"),
        ("a\n", {}, "the training part has 0 tokens"),
        ("a\nb\n" * 50, {"min_count": 99}, "no word occurs at least 99 times"),
    ],
)
def test_too_little_text_is_an_error(make, text, settings, message):
    with pytest.raises(UserError, match=message):
        load_corpus(CorpusConfig(train=(make("a.txt", text),), **settings), PLAIN)


def test_one_token_is_no_corpus_even_with_other_files(make):
    config = CorpusConfig(train=(make("a.txt", "a\n"),), valid=make("b.txt", "a b c\n"))
    with pytest.raises(UserError, match="the training part has 1 token,"):
        load_corpus(config, PLAIN)


def test_training_files_must_be_named():
    with pytest.raises(UserError, match="train must name at least one file"):
        load_corpus(CorpusConfig(), PLAIN)


def test_standard_input_is_there_once():
    with pytest.raises(UserError, match="standard input can be read only once, but - is given twice"):
        load_corpus(CorpusConfig(train=("-",), valid="-"), PLAIN)


def test_runs_of_older_versions_keep_their_fingerprint(make):
    """The fingerprint was printed by version 0.2.0."""
    path = make("a.txt", "To be. " * 38 + "Or not. " * 2)
    fingerprint = load_corpus(CorpusConfig(train=(path,)), TextConfig(rules=1)).fingerprint
    assert fingerprint == "b45d47628b43771b3f2b677c962bfebf1311d65cc4b19b70dc064f237a8bbc6f"
    assert load_corpus(CorpusConfig(train=(path,)), TextConfig()).fingerprint != fingerprint


@pytest.mark.parametrize("unit", ["word", "char"])
def test_rules_1_read_a_text_as_it_is_and_rules_2_normalized(make, unit):
    path = make("a.txt", "\ufeffe\u0301 co\u00adop\ufeff.\n\n" * 40)
    old, new = (load_corpus(CorpusConfig(train=(path,)), TextConfig(unit, rules=rules)) for rules in (1, 2))
    assert {"e\u0301", "co\u00adop\ufeff", "\ufeffe\u0301"} <= set(old.vocabulary.words) or unit == "char"
    assert set("\u0301\u00ad\ufeff") <= set("".join(old.vocabulary.words))
    assert not set("\u0301\u00ad\ufeff") & set("".join(new.vocabulary.words))
    assert {"é", "coop"} <= set(new.vocabulary.words) or unit == "char"
    for corpus in (old, new):
        assert Vocabulary.from_json(corpus.vocabulary.to_json()).text == corpus.vocabulary.text
        np.testing.assert_array_equal(encode_file(path, corpus.vocabulary)[: corpus.train.size], corpus.train)


def test_folders_are_read_in_the_order_of_names(make, tmp_path):
    paths = [make(name, numbered(first, first + 40)) for name, first in (("2.txt", 40), ("1.txt", 0))]
    make("notes.md", "other\n")
    folder = load_corpus(CorpusConfig(train=(str(tmp_path),), valid=str(tmp_path)), PLAIN)
    files = load_corpus(CorpusConfig(train=tuple(paths[::-1]), valid=paths[0]), PLAIN)
    assert folder.train.tolist() == files.train.tolist()
    assert folder.valid.tolist() == folder.train.tolist()
