"""Commands on text as people have it: folders, tables, byte order marks, lines of characters, forms of letters."""

import gzip
import io
import json
import sys
from types import SimpleNamespace

import pytest
from tiny_runs import Commands, sentences, train_in

from theano_rnn.learning.checkpoint import load

MODEL = "model.safetensors"
CODE = "def f(x):\n\n    if x:\n\treturn  é\n\n\n  # end \n"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with a model of words and a model of characters."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "code.txt").write_text(CODE * 30)
    train_in(folder)
    train_in(folder, "--train", "code.txt", "--unit", "char", checkpoint="char.safetensors")
    return folder


@pytest.fixture
def commands(prepared, monkeypatch, capsys):
    return Commands(prepared, monkeypatch, capsys)


def scored(commands, *arguments):
    result = commands("score", *arguments)
    assert result.status == 0, result.err
    return result.out


def test_a_folder_stands_for_its_text_files(tmp_path, monkeypatch, capsys):
    books = tmp_path / "books"
    books.mkdir()
    (books / "b.txt").write_text(" ".join(sentences(40)))
    (books / "a.txt.gz").write_bytes(gzip.compress(" ".join(sentences(30, seed=1)).encode()))
    (books / "cover.jpg").write_bytes(b"\xff\xd8")
    (books / ".hidden.txt").write_text("hidden")
    commands = Commands(tmp_path, monkeypatch, capsys)
    result = commands.train("--train", "books", "--valid", "books")
    assert result.err.startswith("reading 2 files of books: a.txt.gz, b.txt (skipped: cover.jpg)\n" * 2)
    stored = load(MODEL).settings["corpus"]
    assert (stored["train"], stored["valid"]) == (["books/a.txt.gz", "books/b.txt"], ["books"])
    fingerprint = load(MODEL).fingerprint
    commands.train("--train", "books/a.txt.gz", "books/b.txt", "--valid", "books")
    assert load(MODEL).fingerprint == fingerprint
    result = commands("train", "--resume", "--checkpoint", MODEL, "--train", "books")
    assert result.status == 0 and result.out.startswith(f"{MODEL} is finished: nothing left to do")


def test_a_folder_without_text_is_an_error(commands):
    (commands.folder / "pictures").mkdir(exist_ok=True)
    (commands.folder / "pictures" / "a.jpg").write_bytes(b"\xff\xd8")
    result = commands("train", "--train", "pictures", "--checkpoint", "new.safetensors")
    assert result.status == 2 and len(result.err.splitlines()) == 1
    assert "pictures has no text files (.txt, .csv, .tsv, .jsonl, .ndjson, also compressed)" in result.err


@pytest.mark.slow
def test_advice_goes_to_standard_error_once(tmp_path, monkeypatch, capsys):
    (tmp_path / "long.txt").write_text("\n\n".join(" ".join(["word"] * 250) + "." for _ in range(40)))
    commands = Commands(tmp_path, monkeypatch, capsys)
    result = commands.train("--train", "long.txt")
    assert result.err.startswith("long.txt: sentences have 251 tokens on average") and result.err.count("average") == 1
    assert "on average" not in result.out


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "id,text\n1,Emma saw the ball.\n2,Jane met the house.\n"),
        ("t.TSV", "id\ttext\n1\tEmma saw the ball.\n2\tJane met the house.\n"),
        ("t.jsonl", '{"text": "Emma saw the ball."}\n{"text": "Jane met the house."}\n'),
    ],
)
def test_tables_are_scored(commands, name, content):
    (commands.folder / name).write_text(content)
    for arguments in ([], ["--column", "text"]):
        lines = scored(commands, MODEL, name, *arguments).splitlines()
        assert [line.split("\t")[3] for line in lines] == ["Emma saw the ball.", "Jane met the house."]
    for mode in ("--summary", "--stream"):
        totals = json.loads(scored(commands, MODEL, name, mode))
        assert (totals["characters"], totals["words"], totals["tokens"]) == (37, 8, 12)
    for mode in ((), ("--summary",), ("--stream",)):
        assert commands("score", MODEL, name, *mode).err == f"reading column text of {name}\n"
        assert commands("score", MODEL, name, *mode, "--column", "text").err == ""
    result = commands("score", MODEL, name, "--column", "nope", "--stream")
    assert result.status == 2 and f"{name} has no column nope" in result.err


@pytest.mark.slow
def test_the_column_reaches_the_other_texts_of_score_and_training(commands):
    (commands.folder / "two.csv").write_text("title,words\n" + "A ball,Emma saw the ball. Jane met the house.\n" * 40)
    result = commands("score", MODEL, "two.csv", "--stream")
    assert result.status == 2 and "name the column that has the text with --column" in result.err
    adapted = ["--dynamic", "rms", "--statistics-from", "two.csv"]
    assert json.loads(scored(commands, MODEL, "two.csv", "--column", "words", "--stream", *adapted))["tokens"] == 480
    commands.train("--train", "two.csv", "--column", "words", checkpoint="two.safetensors")
    assert load("two.safetensors").settings["corpus"]["column"] == "words"
    assert "column" not in load("two.safetensors").settings["text"]


def test_character_models_score_lines_as_they_are(commands):
    text = CODE * 30
    lines = scored(commands, "char.safetensors", "code.txt").splitlines()
    assert [line.split("\t", 3)[3] for line in lines] == text.splitlines()
    assert [int(line.split("\t")[1]) for line in lines] == [len(line) + 1 for line in text.splitlines()]
    for mode in ("--summary", "--stream"):
        totals = json.loads(scored(commands, "char.safetensors", "code.txt", mode))
        assert totals["characters"] == totals["tokens"] == len(text)
        assert totals["words"] == len(text.split())
    tokens = scored(commands, "char.safetensors", "code.txt", "--per-token")
    read = "".join(json.loads(f'"{line.split(chr(9), 1)[1]}"') for line in tokens.split("\n") if line)
    assert read == text


def test_words_and_characters_are_the_same_in_every_mode(commands):
    text = "Emma saw  the ball.\nJane met\n\n\n  the house. Oh"
    (commands.folder / "spaced.txt").write_text(text)
    for mode in ("--summary", "--stream"):
        totals = json.loads(scored(commands, MODEL, "spaced.txt", mode))
        assert (totals["words"], totals["characters"]) == (9, len(text))


def test_info_counts_characters(commands):
    assert f"({len(set(CODE))} characters, <unk> and </s>)" in commands("info", "char.safetensors").out


def test_letters_with_accents_are_the_same_in_either_form(commands, monkeypatch):
    def piped(text):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
        return scored(commands, "char.safetensors")

    assert piped("e\u0301x\ufeff\n") == piped("éx\n")


def test_marks_at_the_beginning_are_no_words(commands, monkeypatch):
    lists = "0 ||| Emma saw ||| A= 1 ||| 0\n0 ||| Jane saw ||| A= 1 ||| 1\n"
    (commands.folder / "lists.txt").write_text(lists)
    (commands.folder / "marked.txt").write_text("\ufeff" + lists)
    assert commands("rescore", MODEL, "marked.txt").out == commands("rescore", MODEL, "lists.txt").out
    (commands.folder / "answers.txt").write_text("\ufeffJane saw\n")
    result = commands("rescore", MODEL, "lists.txt", "--tune", "marked.txt", "--references", "answers.txt")
    assert result.status == 0 and "word error rate 0.0 %" in result.err
    result = commands("generate", MODEL, "--prompt", "\ufeffEmma", "--num-samples", "1")
    assert (result.err, result.out[:4]) == ("", "Emma")
    monkeypatch.setattr(sys, "stdin", io.StringIO("\ufeffEmma saw\n"))
    assert commands("generate", MODEL, "--interactive").err == ""
    (commands.folder / "run.toml").write_text('\ufeffhidden_size = 0\n\ufeffseed = 1\n')
    result = commands("train", "--config", "run.toml", "--train", "text.txt")
    assert result.status == 2 and "--hidden-size must be at least 1" in result.err


def test_lists_in_another_encoding_say_what_to_do(commands):
    (commands.folder / "lists.txt").write_bytes("0\té\t1\n".encode("latin-1"))
    result = commands("rescore", MODEL, "lists.txt")
    assert result.status == 2 and "`iconv -f CP1252 -t UTF-8 lists.txt > lists.utf8.txt`" in result.err
