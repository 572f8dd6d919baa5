"""Advice on texts that do not suit the settings."""

import random
from pathlib import Path

import pytest

from theano_rnn.preprocessing import load_corpus
from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import CorpusConfig, TextConfig
from theano_rnn.text.advice import has_no_blanks, looks_tokenized

NOVEL = Path(__file__).parents[2] / "data" / "austen" / "emma.txt"
PUNKT, LINE, CHARS = TextConfig(), TextConfig(sentences="line"), TextConfig(unit="char")
TITLES = "\n".join(" ".join(random.Random(i).choices(["Red", "Sea", "Of", "Jane", "Sky"], k=4)) for i in range(900))
CHINESE = "我爱北京天安门"
LONG = "\n\n".join(" ".join(["word"] * 250) + "." for _ in range(40))


@pytest.fixture(autouse=True)
def cache(monkeypatch):
    monkeypatch.setenv("THEANO_RNN_CACHE_MB", "0")


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def loaded(text, config=PUNKT, **settings):
        Path("a.txt").write_text(text, encoding="utf-8")
        return load_corpus(CorpusConfig(train=("a.txt",), **settings), config)

    return loaded


@pytest.mark.parametrize(
    ("text", "config", "message"),
    [
        (TITLES, TextConfig(), r"a single sentence of 3,600 tokens, so nothing is left to train on\. If each line is "
         "one item, add --sentences line"),
        (TITLES.replace("\n", " "), TextConfig(), "a single sentence of 3,600 tokens.*fold -s.*--unit char"),
        (TITLES.replace("\n", " "), LINE, "a single sentence of 3,600 tokens.*Put each sentence on a line"),
        ("\n".join([CHINESE] * 99), TextConfig(), "a single sentence of 99 tokens.*no spaces between words, so add"),
        (" ".join(["the", "<unk>"] * 99), TextConfig(), "a single sentence.*tokenized already.*--tokens whitespace"),
        (TITLES + ".\n\nMore.", TextConfig(), r"the text is 2 sentences of 3,6\d\d tokens in total, so nothing is left "
         "to validate on"),
        ("One. Two.", TextConfig(), r"the validation part is empty \(valid_fraction 0.05\): add text"),
    ],
)  # fmt: skip
def test_a_text_of_too_few_sentences_says_what_to_do(load, text, config, message):
    with pytest.raises(UserError, match=message) as caught:
        load(text, config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [TITLES, CHINESE * 99])
def test_what_the_error_says_helps(load, text):
    assert load(text, LINE if text is TITLES else CHARS).train.size


@pytest.mark.parametrize(
    ("text", "config", "note"),
    [
        (LONG, TextConfig(),
         "a.txt: sentences have 251 tokens on average, which is long. Break the text into lines, for example with "
         "`fold -s -w 200`, and add --sentences line; or learn characters instead of words with --unit char."),
        (LONG.replace(" word word", "\nword word"), TextConfig(),
         "a.txt: sentences have 251 tokens on average, which is long. If each line is one item, add "
         "--sentences line. For characters instead of words, add --unit char."),
        (LONG, LINE, "a.txt: sentences have 251 tokens on average, which is long. Put each sentence on a line of its "
         "own, or leave out --sentences line."),
        ("\n\n".join([CHINESE * 3] * 40), TextConfig(),
         "a.txt: the text has no spaces between words, so add --unit char"),
        (" = Title = \n\n the dog , no @-@ one . it is . \n" * 40, TextConfig(),
         "a.txt: the text looks tokenized already, so add --tokens whitespace --sentences line to keep its tokens"),
        ("the <unk> said . no one . \n" * 40, LINE, "a.txt: the text looks tokenized already, so add --tokens "
         "whitespace to keep its tokens"),
    ],
)  # fmt: skip
def test_one_line_of_advice(load, text, config, note):
    corpus = load(text, config)
    assert corpus.notes == (note,)
    assert load_corpus(CorpusConfig(train=("a.txt",)), config, vocabulary=corpus.vocabulary).notes == ()


@pytest.mark.parametrize("config", [CHARS, TextConfig(tokens="whitespace", sentences="line")])
def test_who_follows_the_advice_gets_none(load, config):
    text = "\n".join([CHINESE * 3] * 40) if config is CHARS else "the <unk> said .\n" * 40
    assert load(text, config).notes == ()


def test_a_novel_needs_no_advice(load):
    assert load(NOVEL.read_text(encoding="utf-8")[:400_000]).notes == ()


def test_several_files_are_one_line(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text(LONG)
    [note] = load_corpus(CorpusConfig(train=(str(tmp_path),)), TextConfig()).notes
    assert note.startswith(f"{tmp_path}/0.txt and 2 more files: sentences have 251 tokens on average")


def test_the_column_that_was_found_is_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,text\n" + "1,It is. So it is.\n" * 40)
    corpus = load_corpus(CorpusConfig(train=(str(path),)), TextConfig())
    assert corpus.notes == (f"reading column text of {path}",)
    continued = load_corpus(CorpusConfig(train=(str(path),)), TextConfig(), vocabulary=corpus.vocabulary)
    assert continued.notes == corpus.notes
    assert load_corpus(CorpusConfig(train=(str(path),), column="text"), TextConfig()).notes == ()


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("สวัสดีครับ ผมชื่อสมชาย", True), ("私は学生です。", True), ("Это русский текст, да.", False),
        ("안녕하세요 저는 학생입니다", False), ("我 爱 北京 天安门 。", False), ("He said 你好 to all of them.", False),
    ],
)  # fmt: skip
def test_scripts_without_blanks(sample, expected):
    assert has_no_blanks(sample) is expected


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("the <unk> said N .", True), ("a , b . " * 30, True), ("x = y = z\n" * 30, False),
        ("= Title =\nOh, no.", False),
        ("write <unk> for it, please.", False), ("Oh, no. " * 50, False), ("", False),
    ],
)  # fmt: skip
def test_tokenized_text(sample, expected):
    assert looks_tokenized(sample) is expected


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("<!DOCTYPE html>\n<html><body><p>It was a day. " * 40, "this is HTML or XML"),
        ('[{"id": 1, "text": "It was a day."}, ' * 40, "this looks like JSON"),
        ("A.\n\n*** START OF THE PROJECT GUTENBERG EBOOK EMMA ***\n\n" + "It was a day. " * 40, "licence"),
        ("It was a day. He said: [sic]. " * 40, None),
    ],
)
def test_formats_whose_marks_are_no_words_are_named(text, note, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(text)
    corpus = load_corpus(CorpusConfig(train=(str(path),), valid=str(path)), TextConfig())
    named = [line for line in corpus.notes if "this" in line or "licence" in line]
    assert [note in line for line in named] == ([True] if note else [])
