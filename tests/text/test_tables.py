"""Tables: the column with the text, and no row that is lost in silence."""

import gzip
import json

import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.text import tables
from theano_rnn.text.sources import Source

CHARS = TextConfig(unit="char")


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def texts(content, name="a.csv", column=None):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        with Source(name, column) as source:
            return list(source.texts(TextConfig()))

    return texts


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'id,review,label\n1,"Oh, no, ""never"".\nAgain?",neg\n2,Very good indeed,pos\n'),
        ("a.tsv", 'id\treview\tlabel\n1\tOh, no, "never". Again?\tneg\n2\tVery good indeed\tpos\n'),
        ("a.jsonl", '{"id": 1, "review": "Oh, no, \\"never\\".\\r\\nAgain?", "label": "neg"}\n\n'
                    '{"id": 2, "review": "Very good indeed", "label": "pos"}\n'),
    ],
)  # fmt: skip
def test_the_only_column_with_text_is_found_or_one_is_named(table, name, content):
    first = 'Oh, no, "never".' + (" Again?" if name == "a.tsv" else "\nAgain?")
    assert table(content, name) == table(content, name, "review") == [first, "Very good indeed"]
    assert table(content, name, "label") == ["neg", "pos"]
    with pytest.raises(UserError, match=r"has no column nope \(its columns: .*review, label\): name .* with --column"):
        table(content, name, "nope")


def test_body_goes_before_other_columns_with_text(table):
    assert table("title,body\nOh no,yes it is\n") == ["yes it is"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("name\nEmma\nJane\n", ["Emma", "Jane"]),  # the only one
        ("id,when,name\n1,2020-01-01 10:00,Emma\n", ["Emma"]),  # the only one with letters
        ("id,url,text\n1,https://example.org/a/long/address,Dear me\n", ["Dear me"]),
        ("id,text,lang\n1,我们走吧我们走吧我们走吧我们走吧我们走吧我们走吧,zh\n", ["我们走吧" * 6]),
    ],
)
def test_what_looks_like_text(table, content, expected):
    assert table(content) == expected


@pytest.mark.parametrize(
    "content", ["title,text\na title,a text\n", "a,b\nEmma,Jane\n", "a,b\n1,2\n", "x,x y\n,\n"], ids=repr
)
def test_a_column_is_not_guessed(table, content):
    with pytest.raises(UserError, match="has no column body .*: name the column that has the text with --column"):
        table(content)


def test_fields_may_be_separated_by_semicolons(table):
    assert table('id;body\n1;"Oh, no; never"\n2;yes, no\n') == ["Oh, no; never", "yes, no"]
    with pytest.raises(UserError, match="a.csv line 3: the row has 3 fields, but the header has 2"):
        table("id;body\n1;a\n2;b;c\n")


def test_json_lines_may_be_strings(table):
    assert table('"one\\ntwo"\n"e\\u0301"\n', "a.jsonl") == ["one\ntwo", "é"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "body\nfine\n" + '"never closed\n' + "more, text\n" * 9,
         "a.csv line 3: a quotation mark that opens in this row is never closed"),
        ("a.csv", 'id,body\n1,fine\n2,"He said \\"no\\", and left"\n3,b\n',
         'a.csv line 3: a quotation mark inside a quoted text must be doubled, "" (not \\")'),
        ("a.csv", 'id,body\n1,"first\nsecond" third"\n', "a.csv line 2: a quotation mark inside a quoted text must be "
         'doubled, "" (not \\") (near line 3)'),
        ("a.csv", 'body\n"one\ntwo\n"three"\n', "a.csv line 2: a quotation mark inside"),
        ("a.csv", "id,body\n1,\"two\nlines\"\n2,Oh, no\n", "a.csv line 4: the row has 3 fields, but the header has 2"),
        ("a.csv", 'id,body\n1,"ends with \\", yes"\n', "a.csv line 2: the row has 3 fields"),
        ("a.csv", "id,body\n1,two\nlines\n2,b\n", "a.csv line 3: the row has only 1 of the columns, without body"),
        ("a.tsv", "id\tbody\n1\ta\tb\n", "a.tsv line 2: the row has 3 fields, but the header has 2"),
        ("a.tsv", 'id\tbody\n1\t"a\nb"\n', "a.tsv line 3: the row has 1 fields, but the header has 2"),
        ("a.jsonl", '{"body": "a"}\n{"body": \n', "a.jsonl line 2: this is not JSON"),
        ("a.jsonl", '{"body": "a"}\n[1]\n', "a.jsonl line 2: each line must be one JSON object with a text, got '[1]'"),
        ("a.jsonl", '{"body": "a"}\n{"body": 3}\n', "a.jsonl line 2: body must be a text, got 3"),
        ("a.jsonl", '{"body": "a\\ud800"}\n', "a.jsonl line 1: a text has a half of a surrogate pair"),
        ("a.jsonl", "[" * 100_000 + "\n", "a.jsonl line 1: this is not JSON"),
        ("a.jsonl", '{"id": 1}\n', "a.jsonl has no column body (its columns: none)"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_read_is_an_error_with_its_line(table, name, content, message):
    with pytest.raises(UserError) as caught:
        table(content, name)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_rows_after_those_that_were_looked_at_are_checked_too(table):
    lines = [json.dumps({"text": "a b"})] * 200
    assert len(table("\n".join(lines), "a.jsonl")) == 200
    with pytest.raises(UserError, match="line 201: text must be a text, got 7"):
        table("\n".join([*lines, '{"text": 7}']), "a.jsonl")


def test_quotation_marks_of_tab_separated_text_are_text(table):
    assert table('body\n"Oh" no\n"She said ""no"""\n"open\n', "a.tsv") == ['"Oh" no', 'She said "no"', '"open']


@pytest.mark.parametrize("content", ["body\n" + "x" * 3000, 'body\n"' + "x\n" * 3000, 'body\n"' + 'x",' * 1000])
@pytest.mark.parametrize("name", ["a.csv.gz", "a.tsv.gz", "a.jsonl.gz"])
def test_a_row_cannot_take_the_memory(table, monkeypatch, name, content):
    monkeypatch.setattr(tables, "MAX_ROW_CHARACTERS", 1000)
    content = content.removeprefix("body\n") if "jsonl" in name else content
    if "csv" not in name:
        content = content.replace("\n", "\\n") if "jsonl" in name else "body\n" + content[5:].replace("\n", " ")
    with pytest.raises(UserError, match="a row has more than|fields"):
        table(gzip.compress(content.encode()), name)


def test_the_limit_is_64_mi_characters(table):
    assert tables.MAX_ROW_CHARACTERS == 1 << 26
    with pytest.raises(UserError, match="line 2: a row has more than 64 Mi characters"):
        table(gzip.compress(b"body\n" + b"x" * (1 << 26) + b"y\n"), "a.csv.gz")


def test_characters_of_texts_are_counted_as_they_are(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('id,body\n1,"  Oh, no.\n\n Yes "\n2,b\n3,"c\n"\n')
    bodies = ["  Oh, no.\n\n Yes ", "b", "c\n"]
    with Source(path) as source:
        for config in (TextConfig(), CHARS):
            assert source.count(config) == (5, sum(map(len, bodies)))
        assert "".join(source.blocks(CHARS)) == "  Oh, no.\n\n Yes \nb\nc\n"


def test_a_mark_between_two_tables_is_no_part_of_a_row(table):
    assert table("\ufeffbody\na\n\ufeff\"b, c\"\n") == ["a", "b, c"]


def test_the_digest_tells_the_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\nx y,z\n")
    digests = set()
    for column in (None, "a", "b"):
        with Source(path, column) as source:
            digests.add(source.digest())
    assert len(digests) == 3
