"""Labelled texts in every form of file: which column, which label, and no row that is lost in silence."""

import gc
import gzip
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.labelled_sources import LabelledFolders, label_of, labelled_sources
from theano_rnn.text.labelled_tables import LABEL_COLUMNS, TEXT_COLUMNS

CHARS, LINES = TextConfig(unit="char"), TextConfig(sentences="line")
PAIRS = [("pos", "A fine film."), ("neg", "Very dull, I fear.")]


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write files into the current folder: names with text or bytes."""
    monkeypatch.chdir(tmp_path)

    def write(**files):
        for name, content in files.items():
            path = Path(name.replace("__", "/").replace("_", "."))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


def read(*names, config=None, column=None, label_column=None):
    """Labels and texts of all sources; then the lines where they begin."""
    config = config or TextConfig()
    found = []
    for source in labelled_sources(names, config, column, label_column):
        with source:
            found += list(source.labelled_texts(config))
            assert not source.has_changed()
    return [(each.label, each.text) for each in found], [each.line for each in found]


def refused(*names, **options):
    with pytest.raises((UserError, OSError)) as caught:
        read(*names, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Tables


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a_tsv", "label\ttext\npos\tA fine film.\nneg\tVery dull, I fear.\n"),
        ("a_csv", 'id,text,Label\n1,A fine film.,pos\n2,"Very dull, I fear.",neg\n'),
        ("a_csv", "Sentiment;Review\npos;A fine film.\nneg;Very dull, I fear.\n"),
        ("a_csv", "\ufeffCLASS\tBODY\npos\tA fine film.\nneg\tVery dull, I fear.\n"),
        ("a_csv", 'pos,A fine film.\nneg,"Very dull, I fear."\n'),
        ("a_csv", 'A fine film.,pos\n"Very dull, I fear.",neg\n'),
        ("a_csv", "pos;A fine film.\nneg;Very dull, I fear.\n"),
        ("a_csv", "\ufeffA fine film.;pos\nVery dull, I fear.;neg"),
        ("a_tsv", "pos\tA fine film.\nneg\tVery dull, I fear.\n"),
        ("a_tsv", "A fine film.\tpos\nVery dull, I fear.\tneg\n"),
        ("a_tsv", "A fine film.\tpos\r\nVery dull, I fear.\tneg\r\n"),
        ("a_jsonl", '{"text": "A fine film.", "label": "pos"}\n\n{"label": "neg", "text": "Very dull, I fear."}\n'),
        ("a_txt", "pos\tA fine film.\nneg\tVery dull, I fear.\n"),
        ("a_txt", "\ufeffLabel\tText\r\npos\tA fine film.\r\n\r\nneg\tVery dull, I fear.\r\n"),
        ("a_txt", "\n \nlabel\ttext\npos\tA fine film.\nneg\tVery dull, I fear.\n"),
        ("a", "pos\tA fine film.\nneg\tVery dull, I fear.\n"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_labels_and_texts_of_a_file(write, name, content, compressed):
    content = content.encode()
    write(**({f"{name}_gz": gzip.compress(content)} if compressed else {name: content}))
    file = name.replace("_", ".") + (".gz" if compressed else "")
    assert read(file)[0] == PAIRS


def test_a_semicolon_in_front_of_a_comma_separates_the_fields(write):
    """The first line has a comma, too, but only semicolons give a label and a text."""
    write(a_csv="neg;Very dull, I fear.\npos;Fine\n", b_csv="Very dull, I fear.;neg\nFine;pos\n")
    assert read("a.csv")[0] == read("b.csv")[0] == [("neg", "Very dull, I fear."), ("pos", "Fine")]


def test_lines_are_counted_as_an_editor_counts_them(write):
    write(a_csv='label,text\npos,"one\n\ntwo"\n\nneg,three\n', b_csv='pos,"one\ntwo"\nneg,three\n',
          c_txt="\nlabel\ttext\npos\tone\n\nneg\ttwo\n")  # fmt: skip
    assert read("a.csv") == ([("pos", "one\n\ntwo"), ("neg", "three")], [2, 6])
    assert read("b.csv") == ([("pos", "one\ntwo"), ("neg", "three")], [1, 3])
    assert read("c.txt")[1] == [3, 5]


@pytest.mark.parametrize("label", LABEL_COLUMNS)
def test_usual_names_are_found_in_any_case(write, label):
    for number, text in enumerate(TEXT_COLUMNS):
        write(**{f"a{number}_csv": f"id,{text.title()},{label.upper()},note\n7,A fine film.,pos,x y z\n"})
        assert read(f"a{number}.csv")[0] == PAIRS[:1]


def test_numbers_and_truth_values_of_json_are_labels(write):
    rows = [{"text": "a b", "label": value} for value in (1, 0, True, False, 2.5, " x ")]
    write(a_jsonl="\n".join(map(json.dumps, rows)))
    assert [label for label, _ in read("a.jsonl")[0]] == ["1", "0", "true", "false", "2.5", "x"]


@pytest.mark.parametrize("value", [None, "", "  ", [1], {}])
def test_a_row_of_json_without_a_label_is_named(write, value):
    rows = [{"text": "a b", "label": "x"}, {"text": "a b", "label": value}]
    write(a_jsonl="\n".join(map(json.dumps, rows)))
    assert refused("a.jsonl") == ("a.jsonl line 2: the row has no label in column label: add it, or remove the row")


@pytest.mark.parametrize("place", [3, 150])
def test_a_text_of_json_that_is_a_number_is_read_wherever_it_stands(write, place):
    rows = [{"text": "a b", "label": "x"}] * 200
    rows[place] = {"text": 1984, "label": "y"}
    write(a_jsonl="\n".join(map(json.dumps, rows)))
    assert read("a.jsonl")[0][place] == ("y", "1984")


def test_columns_that_are_named(write):
    write(
        a_csv="id,en,fr,lang,label\n1,yes,oui,x,p\n2,no,non,y,n\n", b_csv="u,v\na b,c d\n", c_csv="x y,z w\nq r,s t\n"
    )
    assert read("a.csv", column="fr")[0] == [("p", "oui"), ("n", "non")]
    assert read("a.csv", column="fr", label_column="lang")[0] == [("x", "oui"), ("y", "non")]
    assert read("b.csv", column="v")[0] == [("a b", "c d")]
    assert read("b.csv", label_column="v")[0] == [("c d", "a b")]
    assert refused("a.csv", column="nope").startswith(
        "a.csv has no column nope (its columns: id, en, fr, lang, label): "
    )
    assert refused("a.csv", label_column="nope") == (
        "a.csv has no column nope (its columns: id, en, fr, lang, label): name the column that has the labels with "
        "--label-column"
    )
    assert "name the column that has the text with --column" in refused("a.csv")  # en or fr?


def test_a_table_without_labels_is_refused(write):
    write(a_csv="id,when,text\n1,2,yes or no\n", b_jsonl='{"text": "yes or no"}\n', c_csv="text,note\na b,c d\n")
    for name, columns in (("a.csv", "id, when, text"), ("b.jsonl", "text"), ("c.csv", "text, note")):
        assert refused(name) == (f"{name} has no column label (its columns: {columns}): name the column that has the "
                                 "labels with --label-column")  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("label,text\npos,a\n,b c\n", "a.csv line 3: the row has no label in column label"),
        ('label,text\npos,"a\nb"\n  ,b c\n', "a.csv line 4: the row has no label in column label"),
        ("label,text\npos,two\nlines of text\n", "a.csv line 3: the row has only 1 of the columns, without text: put"),
        ("text,label\ntwo,pos\nlines of text\n", "a.csv line 3: the row has only 1 of the columns, without label: put"),
        ("label,text\npos,a, b\n", "a.csv line 2: the row has 3 fields, but the header has 2"),
        ('label,text\npos,"a\n', "a.csv line 2: a quotation mark that opens in this row is never closed"),
    ],
)
def test_a_row_that_cannot_be_read_is_an_error_with_its_line(write, content, message):
    write(a_csv=content)
    assert refused("a.csv").startswith(message)


def test_empty_rows_and_blank_texts(write):
    """Empty rows are skipped; a blank text with a label is passed on, to be left out with a note."""
    write(a_csv='label,text\n\n,\npos,a\n"","  "\nneg, \n', b_tsv="label\ttext\n\t\npos\ta\nneg\t\n")
    assert read("a.csv") == ([("pos", "a"), ("neg", "")], [4, 6])
    assert read("b.tsv")[0] == [("pos", "a"), ("neg", "")]


# Lines, folders and files


@pytest.mark.parametrize(
    ("content", "line"), [("pos\ta\nneg b\n", 2), ("pos\ta\n\n\tb\n", 3), ("pos\ta\n  \tb\n", 2)], ids=repr
)
def test_a_line_without_label_or_tab_is_named(write, content, line):
    write(a_txt=content)
    assert refused("a.txt").startswith(f"a.txt line {line}: each line must be a label, a tab and a text: add them")


def test_a_line_may_have_more_tabs_and_no_text(write):
    write(a_txt="pos\ta\tb\nneg\t\nlabel\ttext\n")
    assert read("a.txt")[0] == [("pos", "a\tb"), ("neg", ""), ("label", "text")]


def test_folders_are_labels_and_each_file_is_a_text(write):
    write(train__pos__2_txt="Two\n\nparagraphs.", train__pos__1_txt_gz=gzip.compress("Un cafe\u0301.".encode()),
          train__neg__a_txt="\ufeffNo.", train__neg__b_txt="", train__empty__x_jpg=b"\0", train__deep__more__x_txt="x",
          train__readme_txt="not a label")  # fmt: skip
    for hidden in ("train/.git/a.txt", "train/system/.a.txt", "train/pos/.b.txt"):
        Path(hidden).parent.mkdir(exist_ok=True)
        Path(hidden).write_text("hidden")
    Path("train/folder/x.txt").mkdir(parents=True)
    Path("train/void").mkdir()
    found, numbers = read("train")
    assert found == [("neg", "No."), ("neg", ""), ("pos", "Un café."), ("pos", "Two\n\nparagraphs.")]
    assert numbers == [1, 2, 3, 4]


def test_a_file_in_a_folder_that_changes_is_noticed(write):
    write(t__a__1_txt="x", t__b__1_txt="y")
    folders = LabelledFolders("t")
    digest = folders.digest()
    assert not folders.has_changed()
    write(t__a__1_txt="longer")
    assert folders.has_changed() and LabelledFolders("t").digest() != digest
    Path("t/a").rename("t/c")
    Path("t/c/1.txt").write_text("x")
    assert LabelledFolders("t").digest() != digest  # another label, the same text


def test_a_folder_of_tables(write):
    write(t__1_csv="label,text\npos,A fine film.\n", t__2_tsv="neg\tVery dull, I fear.\n", t__3_jpg="")
    assert read("t")[0] == PAIRS
    Path("t/1.csv").unlink()
    Path("t/2.tsv").unlink()
    assert "t has no text files" in refused("t")


def test_names_of_plain_files_are_labels_of_their_sentences(write):
    write(jane_txt="It is. It is\nnot.\n\nYes.\n", lewis_txt_gz=gzip.compress(b"Oh dear!"))
    expected = [("jane", "It is."), ("jane", "It is not."), ("jane", "Yes."), ("lewis", "Oh dear!")]
    assert read("jane.txt", "lewis.txt.gz")[0] == expected
    assert read("jane.txt", "lewis.txt.gz", config=LINES)[0] == [
        ("jane", "It is. It is"), ("jane", "not."), ("jane", "Yes."), ("lewis", "Oh dear!"),
    ]  # fmt: skip
    assert read("jane.txt", "lewis.txt.gz", config=CHARS)[0] == [  # blank lines are no texts
        ("jane", "It is. It is"), ("jane", "not."), ("jane", "Yes."), ("lewis", "Oh dear!"),
    ]  # fmt: skip
    write(f__jane_txt="Yes.", f__lewis_txt="No.")
    assert read("f")[0] == [("jane", "Yes."), ("lewis", "No.")]
    assert label_of("x/.hidden") == ".hidden" and label_of("x/two_words.tar.gz") == "two words"


def test_one_plain_file_or_a_mixture_has_no_labels(write):
    write(a_txt="It is. It is not.\n", b_txt="pos\tyes\n", c_csv="label,text\na,b\n")
    for names in (["a.txt"], ["a.txt", "b.txt"], ["b.txt", "a.txt"], ["c.csv", "a.txt"]):
        assert refused(*names).startswith(
            "a.txt has no labels: each line must be a label, a tab and a text; or give a "
        )


def test_standard_input_is_read_more_than_once(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"pos\tA fine film.\nneg\tVery dull, I fear.")))
    (source,) = labelled_sources(["-"], TextConfig())
    with source:
        for _ in range(2):
            assert [(each.label, each.text) for each in source.labelled_texts(TextConfig())] == PAIRS
    assert source.name == "standard input"


@pytest.mark.slow
def test_files_that_are_missing_or_empty(write):
    write(a_txt="pos\ta\n", empty_txt="")
    assert refused("a.txt", "nothing.txt").startswith("cannot find nothing.txt")
    gc.collect()  # a.txt would be a ResourceWarning, were it still open
    assert refused("a.txt", "empty.txt") == "empty.txt is empty"


def test_the_digest_tells_columns_and_labels(write):
    write(a_csv="a,b,label\nx y,z,c\n", b_txt="One.\n")
    digests = set()
    for column, label_column in ((None, None), ("a", None), ("b", None), ("a", "b")):
        (source,) = labelled_sources(["a.csv"], TextConfig(), column, label_column)
        with source:
            digests.add(source.digest())
    assert len(digests) == 4
    Path("c.txt").write_text("One.\n")
    sources = labelled_sources(["b.txt", "c.txt"], TextConfig())
    digests = set()
    for source in sources:
        with source:
            digests.add(source.digest())
    assert len(digests) == 2
