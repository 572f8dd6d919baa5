"""Reading text files: compressed ones, CSV files, and files that are not text."""

import csv
import gzip
import io
import os
import threading
from types import SimpleNamespace

import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.text import file_formats, tables
from theano_rnn.text.sources import Source
from theano_rnn.text.tables import split_lines

WORDS, CHARS = TextConfig(), TextConfig(unit="char")


def read(path, config=WORDS):
    with Source(path) as source:
        return "".join(source.blocks(config))


@pytest.fixture
def make(tmp_path):
    def write(content, name="text.txt"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_characters_do_not_depend_on_the_size_of_a_reading(make, monkeypatch, size):
    monkeypatch.setattr(file_formats, "BLOCK_BYTES", size)
    path = make("\ufeffé—\r\n\r\n\U0001f600\rx\ufeff\r".encode())
    assert read(path) == "é—\n\n\U0001f600\nx\n"
    assert read(path, TextConfig(rules=1)) == "é—\n\n\U0001f600\nx\ufeff\n"


def test_packed_text_is_unpacked(make):
    assert read(make(gzip.compress(b"one\ntwo"), "a.txt.gz")) == "one\ntwo"


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_bodies_are_texts_of_their_own(make, name):
    content = b'\xef\xbb\xbfid, body ,x\r\n1, "a ""b"",\r\nc",\r\n\r\n2,d,z, \r\n3\r\n'
    path = make(gzip.compress(content) if name.endswith("gz") else content, name)
    assert read(path) == 'a "b",\nc\n\nd\n\n'
    assert read(path, CHARS) == 'a "b",\nc\nd\n'


def test_a_body_that_ends_with_a_line_end_gets_no_other_as_characters(make):
    assert read(make(b'body\n"a\n"\nb\n', "a.csv"), CHARS) == "a\nb\n"


def test_a_body_may_be_large_and_the_limit_of_others_stays(make):
    before = csv.field_size_limit()
    assert len(read(make(b"body\n" + b"x" * 300_000, "a.csv"))) == 300_002
    assert csv.field_size_limit() == before


def test_standard_input_is_read(monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"typed")))
    with Source("-") as source:
        assert (source.name, source.num_bytes) == ("standard input", 5)
        assert source.digest() and "".join(source.blocks(WORDS)) == "typed"


def test_standard_input_may_be_compressed(monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(gzip.compress(b"typed"))))
    assert read("-") == "typed"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_can_be_read_twice(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"piped",))
    writer.start()
    with Source(path) as source:
        assert ["".join(source.blocks(WORDS)) for _ in range(2)] == ["piped", "piped"]
    writer.join()


def test_digest_tells_content_and_kind_but_not_name(make):
    digests = []
    for name, content in [("a.txt", b"body"), ("b.txt", b"body"), ("a.csv", b"body"), ("c.txt", b"bodx")]:
        with Source(make(content, name)) as source:
            digests.append(source.digest())
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_a_change_is_noticed(make):
    path = make(b"one")
    with Source(path) as source:
        assert not source.has_changed()
        path.write_bytes(b"other")
        assert source.has_changed()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cannot find .*absent\.txt \(looked in .*\)\. Check the name"):
        Source(tmp_path / "absent.txt")


def test_a_folder_is_named(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        Source(tmp_path)


def test_a_file_that_cannot_be_opened_is_named(make):
    path = make(b"text")
    with pytest.raises(NotADirectoryError, match="cannot read .*more: Not a directory"):
        Source(path / "more")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "a.txt is empty"),
        ("a.txt", b" \n\t\n", "a.txt contains no text, only white space"),
        ("a.txt", b"\xef\xbb\xbf", "a.txt contains no text"),
        ("a.txt", b"ab\0c", "a.txt is not text: it has a zero byte at byte 2"),
        ("a.txt", b"abc\xc3", "not UTF-8 at byte 3"),
        ("a.gz", b"text", "a.gz is not a complete gzip file"),
        ("a.gz", gzip.compress(b"text" * 999, mtime=0)[:-9], "a.gz is not a complete gzip file"),
        ("a.gz", gzip.compress(bytes(range(256)), mtime=0)[:20] + b"\xff" * 300, "a.gz is not a complete gzip file"),
        ("a.csv", b"id, text\n1,2\n", "a.csv has no column body \\(its columns: id, text\\): name .* with --column"),
        ("a.csv", b"\n", "a.csv has no column body \\(its columns: none\\)"),
        ("a.csv", b"body\n", "a.csv contains no text in its column body"),
        ("a.csv", b"body\nOh, no\n", r"a.csv line 2: the row has 2 fields, but the header has 1: put texts that"),
    ],
)
def test_what_is_no_text_is_an_error_in_one_line(make, name, content, message):
    with pytest.raises(UserError, match=message) as caught:
        read(make(content, name))
    assert "\n" not in str(caught.value)


def test_the_byte_is_counted_over_readings(make, monkeypatch):
    monkeypatch.setattr(file_formats, "BLOCK_BYTES", 2)
    with pytest.raises(UserError, match="not UTF-8 at byte 5"):
        read(make("éaé".encode() + b"\xff"))
    with pytest.raises(UserError, match="not UTF-8 at byte 3"):
        read(make(b"abc\xc3("))


def test_a_broken_csv_file_is_an_error(make, monkeypatch):
    def broken(*_, **__):
        raise csv.Error("what is this")
        yield

    monkeypatch.setattr(tables.csv, "reader", broken)
    with pytest.raises(UserError, match="not a valid CSV file: what is this"):
        read(make(b"body\n", "a.csv"))


@pytest.mark.parametrize("blocks", [["a\nb", "c\n", "\nd"], ["a\n", "bc\n\n", "d"], ["a\nbc\n\nd"]])
def test_lines_do_not_depend_on_blocks(blocks):
    assert list(split_lines(iter(blocks))) == ["a\n", "bc\n", "\n", "d"]


def test_a_last_line_end_begins_no_line():
    assert list(split_lines(iter(["a\n"]))) == ["a\n"]
