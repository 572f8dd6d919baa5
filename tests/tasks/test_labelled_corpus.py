"""Labelled texts as arrays: one text stays one, every label has its part, and a second reading is the same."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.settings.classification import LabelledTextsConfig
from theano_rnn.settings.text import TextConfig
from theano_rnn.tasks.classify import Classify
from theano_rnn.tasks.labelled_corpus import load_labelled_texts
from theano_rnn.text import tokenizing
from theano_rnn.text.reading import CHUNK_CHARACTERS

WORDS, LINES, CHARS = TextConfig(), TextConfig(sentences="line"), TextConfig(unit="char")
SPACED = TextConfig(tokens="whitespace", lowercase=True)
every_config = pytest.mark.parametrize(
    "config", [WORDS, LINES, CHARS, SPACED], ids=["words", "lines", "chars", "spaced"]
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def write(pairs, name="a.jsonl"):
    Path(name).write_text("".join(json.dumps({"label": label, "text": text}) + "\n" for label, text in pairs))
    return name


def load(config=WORDS, *, train=("a.jsonl",), **settings):
    settings = {"valid_fraction": 0.25, "test_fraction": 0.25, "vocab_size": 1 << 20, **settings}
    return load_labelled_texts(LabelledTextsConfig(train=tuple(train), **settings), config)


def texts_of(corpus, part):
    """(label, text) of every text of a part, the tokens separated by blanks."""
    found, begin = [], 0
    texts = corpus.parts[part]
    for length, label in zip(texts.lengths, texts.labels):
        tokens = corpus.vocabulary.decode(texts.ids[begin : begin + length])
        found.append((corpus.labels[label], " ".join(token for token in tokens if token != "</s>")))
        begin += length
    assert begin == len(texts.ids)
    return found


@pytest.mark.slow
@every_config
def test_whatever_is_in_a_text_it_stays_one(config):
    """Blank lines, strange blanks, marks of other scripts, and texts longer than what the tokenizer takes at once."""
    strange = [
        "one\n\ntwo\n \n\nthree.", "\n\n  Yes. No! \n\n", "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g", "...", "\u201c", "'",
        "_", "</s> <unk>", "<pad>", "\u200bx\u200b", "e\u0301", "我们走吧。" * 3, "\u0130I", "x" * 5, '"', "``",
        "\t\ta\t",
        "word " * (CHUNK_CHARACTERS // 4), "y" * (CHUNK_CHARACTERS + 7), "Yes. " * (CHUNK_CHARACTERS // 5) + " ",
        "a" * (CHUNK_CHARACTERS - 1), "b" * CHUNK_CHARACTERS, "\r\n\r\nz\r\r", "1", "-", "e.g.", "?!", "\u00a0x\u00a0",
    ]  # fmt: skip
    pairs = [(str(number), text) for number, text in enumerate(strange)]
    write([(label[-1], text) for label, text in pairs for _ in range(2)])
    corpus = load(config, valid="a.jsonl")
    train = corpus.parts["train"]
    assert len(train) == 2 * len(strange) and (train.lengths > 1).all()
    assert [corpus.labels[label] for label in train.labels[::2]] == [label[-1] for label, _ in pairs]
    begins = np.cumsum(train.lengths) - train.lengths
    for number, (begin, length) in enumerate(zip(begins, train.lengths)):
        if config.unit == "word":
            assert train.ids[begin + length - 1] == corpus.vocabulary.eos_id
        twin = begins[number ^ 1]
        assert np.array_equal(train.ids[begin : begin + length], train.ids[twin : twin + train.lengths[number ^ 1]])
    longest = train.lengths[2 * strange.index("word " * (CHUNK_CHARACTERS // 4))]
    assert longest > CHUNK_CHARACTERS // 4


@pytest.mark.parametrize("seed", range(3))
@every_config
def test_random_characters_stay_one_text(config, seed):
    rng = np.random.default_rng(seed)
    alphabet = list(
        "ab.!?'\"-_`()<>/\\ \n\t\r\u00ad\u200b\u2060\ufeff\u0301\u1100\u1161\u2019\u201c\u2026\u00a0\u3000\x1f我"
    )
    texts = ["".join(rng.choice(alphabet, rng.integers(1, 12))) for _ in range(400)]
    write([("xy"[number % 2], text) for number, text in enumerate(texts)])
    corpus = load(config, valid="a.jsonl")
    blank = sum(not text.strip() for text in map(visible, texts))
    assert len(corpus.parts["train"]) == 400 - blank
    assert corpus.notes and f"{blank} texts are blank and left out" in corpus.notes[0]


def visible(text):
    for character in "\u00ad\u200b\u2060\ufeff":
        text = text.replace(character, "")
    return text


@every_config
def test_blank_texts_and_those_of_invisible_characters_are_left_out_with_a_note(config):
    write([("x", "one"), ("y", " \n\n "), ("y", "two"), ("x", "\u200b\ufeff\u2060"), ("y", "")])
    corpus = load(config, valid="a.jsonl")
    assert [label for label, _ in texts_of(corpus, "train")] == ["x", "y"]
    assert corpus.notes[0] == "a.jsonl: 3 texts are blank and left out (the first one is in row 2)"
    write([("x", "one"), ("y", "two"), ("y", "")])
    assert load(config, valid="a.jsonl").notes[0] == "a.jsonl: 1 text is blank and left out (the first one is in row 3)"
    write([("x", " "), ("y", "\u200b")])
    with pytest.raises(UserError, match=r"^a.jsonl contains no text$"):
        load(config, valid="a.jsonl")


def test_tokens_and_labels_are_those_of_the_file():
    write([("pos", "Yes. It is\n\nfine!"), ("neg", "No."), ("pos", "Fine.")])
    assert texts_of(load(valid="a.jsonl"), "train") == [
        ("pos", "Yes . It is fine !"),
        ("neg", "No ."),
        ("pos", "Fine ."),
    ]
    corpus = load(valid="a.jsonl")
    ends = [(corpus.parts["train"].ids[:8] == corpus.vocabulary.eos_id).tolist()]
    assert ends == [[False, False, True, False, False, False, False, True]]  # of each sentence
    assert corpus.labels == ("neg", "pos")
    assert [text for _, text in texts_of(load(CHARS, valid="a.jsonl"), "train")][1] == "N o . \n"
    assert texts_of(load(LINES, valid="a.jsonl"), "train")[0][1].count(".") == 1


@pytest.mark.parametrize("cached", [False, True])
def test_a_second_reading_is_the_same_and_a_changed_label_is_noticed(monkeypatch, cached):
    monkeypatch.setattr(tokenizing.corpus_cache, "load", tokenizing.corpus_cache.load if cached else lambda key: None)
    pairs = [("x" if number % 3 else "y", f"text {number}. And more") for number in range(40)]
    write(pairs)
    first, second = load(), load()
    assert first.fingerprint == second.fingerprint and first.labels == second.labels
    for part, texts in first.parts.items():
        for name in ("ids", "lengths", "labels"):
            assert np.array_equal(getattr(texts, name), getattr(second.parts[part], name))
    write([("y", pairs[1][1]) if number == 1 else pair for number, pair in enumerate(pairs)])
    changed = load()
    assert changed.fingerprint != first.fingerprint
    assert texts_of(changed, "train")[1] == ("y", texts_of(first, "train")[1][1])


def test_labels_of_folders_and_files_are_not_taken_from_the_cache():
    for name in ("t/a", "t/b", "u/a", "u/c"):
        Path(name).mkdir(parents=True)
        Path(name, "1.txt").write_text("Yes.")
    assert load(train=["t"], valid="t").labels == ("a", "b")
    assert load(train=["u"], valid="u").labels == ("a", "c")
    Path("jane.txt").write_text("It is. " * 9)
    Path("lewis.txt").write_text("It is not. " * 9)
    corpus = load(train=["jane.txt", "lewis.txt"])
    assert corpus.labels == ("jane", "lewis") and len(corpus.parts["train"]) == 2 * 5
    Path("lewis.txt").rename("emma.txt")
    assert load(train=["jane.txt", "emma.txt"]).labels == ("emma", "jane")


def test_every_label_is_in_every_part_in_the_order_of_the_file():
    write([(label, "x " * number + "x") for label, count in (("a", 8), ("b", 4), ("c", 40)) for number in range(count)])
    corpus = load()
    for number, count in enumerate((8, 4, 40)):
        parts = [texts.lengths[texts.labels == number] - 2 for texts in corpus.parts.values()]
        assert np.concatenate(parts).tolist() == list(range(count))
        assert [len(part) for part in parts] == [count // 2, count // 4, count // 4]
    assert len(load(test_fraction=0).parts) == 2
    assert [len(part) for part in load(test="a.jsonl").parts.values()] == [6 + 3 + 30, 2 + 1 + 10, 52]
    assert [len(part) for part in load(valid="a.jsonl").parts.values()] == [52, 52]


@pytest.mark.parametrize(("count", "sizes"), [(1, [1, 0, 0]), (2, [1, 1, 0]), (3, [2, 1, 0]), (4, [2, 1, 1]),
                                               (5, [3, 1, 1]), (7, [4, 2, 1])])  # fmt: skip
def test_a_rare_label_is_trained_on_first(count, sizes):
    write([("rare", f"r{number}") for number in range(count)] + [("often", f"o{number}") for number in range(20)])
    corpus = load()
    rare = [sum(label == "rare" for label, _ in texts_of(corpus, part)) for part in ("train", "valid", "test")]
    assert rare == sizes


def test_fractions_that_leave_nothing():
    write([(label, f"{label} {number}") for label in "ab" for number in range(9)])
    with pytest.raises(UserError, match="must be less than 1, got 0.5"):
        load(valid_fraction=0.5, test_fraction=0.5)
    with pytest.raises(UserError, match="the validation part has no texts, because each label has too few"):
        load(valid_fraction=0.05, test_fraction=0.05)


def test_labels_that_cannot_be():
    write([("x", "one"), ("x", "two")])
    with pytest.raises(UserError, match=r"^all training texts have the label 'x': a classifier needs at least two"):
        load(valid="a.jsonl")
    write([("x", "one"), ("y", "two")])
    Path("v.tsv").write_text("label\ttext\nx\tone\nz\ttwo\n")
    with pytest.raises(UserError, match=r"^v.tsv row 3: no training text has the label 'z' \(the labels are x, y\): "):
        load(valid="v.tsv")
    write([(f"a long text that is no label {number}" * 300, "x") for number in range(30)])
    with pytest.raises(UserError, match="there are 30 labels for 30 training texts, which looks like a wrong column"):
        load(valid="a.jsonl")


def test_the_vocabulary_and_labels_of_the_training_part_alone():
    write([("x", "common rare"), ("y", "common"), *[("x", f"valid{number}") for number in range(3)],
           *[("y", f"other{number}") for number in range(3)]])  # fmt: skip
    corpus = load()
    train = {token for _, text in texts_of(corpus, "train") for token in text.split()}
    held_out = {token for part in ("valid", "test") for _, text in texts_of(corpus, part) for token in text.split()}
    assert train == {"common", "rare", "valid0", "other0"} and held_out == {"<unk>"}


def test_a_known_vocabulary_is_kept_or_extended():
    write([("x", "one two"), ("y", "one"), ("x", "one"), ("y", "one")])
    corpus = load(valid="a.jsonl")
    write([("x", "one new new"), ("z", "one"), ("x", "one"), ("z", "one")])
    sections = {"corpus": LabelledTextsConfig(train=("a.jsonl",), valid="a.jsonl"), "text": WORDS}
    known = {"vocabulary": corpus.vocabulary, "labels": list(corpus.labels)}
    data = Classify().read(sections, known=known)
    assert data.facts["labels"] == ["x", "z"] and data.facts["vocabulary"].vocab_size == corpus.vocabulary.vocab_size
    corpus_settings = dataclasses.replace(sections["corpus"], init_from="m", add_words=1)
    added = Classify().read({**sections, "corpus": corpus_settings}, known=known)
    assert added.facts["vocabulary"].token_to_id("new") == corpus.vocabulary.vocab_size
    with pytest.raises(UserError, match="no training text has the label 'z'"):
        Classify().read(sections, known=known, is_resumed=True)
    assert "2 labels (x 2, z 2)" in Classify().describe(data)
