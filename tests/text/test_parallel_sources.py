"""Pairs of sentences: files and tables, headers, blank sides, line numbers, and what is refused."""

import gzip
import io
import json

import numpy as np
import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.parallel_sources import PairFiles, line_tokenizer
from theano_rnn.text.vocabulary import Vocabulary

TEXT = TextConfig(sentences="line")
PAIRS = [("A dog.", "Ein Hund."), ("", "Leer"), ("It is late, very.", "Es ist spät, sehr."), ("Go!", "Los!")]
KEPT = [0, 2, 3]


def read(*paths, columns=(None, None)):
    """The line numbers of the pairs, the number of lines, both sides of the pairs, and the notes."""
    with PairFiles(*map(str, paths), columns=columns) as files:
        kept, num_lines = files.find_pairs(TEXT)
        sides = ["".join(files.side(side, kept).blocks(TEXT)).splitlines() for side in (0, 1)]
        return kept.tolist(), num_lines, list(zip(*sides)), files.notes


def files_of(folder, pairs=PAIRS):
    paths = folder / "a.en", folder / "a.de"
    for side, path in enumerate(paths):
        path.write_text("".join(pair[side] + "\n" for pair in pairs))
    return paths


def test_lines_of_two_files_belong_together(tmp_path):
    kept, num_lines, pairs, notes = read(*files_of(tmp_path))
    assert (kept, num_lines, pairs, notes) == (KEPT, 4, [PAIRS[i] for i in KEPT], [])


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_line_ends_and_white_space(tmp_path, ending):
    text = "\ufeffOne  two\r\n\u200b\r\nthree\xa0\tfour\u2028five" + ending
    (tmp_path / "a").write_bytes(text.encode())
    (tmp_path / "b").write_text("eins\nzwei\ndrei")
    assert read(tmp_path / "a", tmp_path / "b")[:3] == ([0, 2], 3, [("One two", "eins"), ("three four five", "drei")])


TABLES = {
    "plain.tsv": "".join(f"{a}\t{b}\n" for a, b in PAIRS),
    "header.tsv": "en\tde\n" + "".join(f"{a}\t{b}\n" for a, b in PAIRS),
    "three.tsv": "A dog.\tEin Hund.\tTatoeba 1\n\nIt is late, very.\tEs ist spät, sehr.\t\nGo!\tLos!\tx\n",
    "header.csv": "en,de\n" + "".join(f'"{a}","{b}"\n' for a, b in PAIRS),
    "plain.csv": 'A dog.,Ein Hund.\n,Leer\n"It is late, very.","Es ist spät, sehr."\nGo!,Los!\n',
    "semicolon.csv": "A dog.;Ein Hund.\n;Leer\nIt is late, very.;Es ist spät, sehr.\nGo!;Los!\n",
    "objects.jsonl": "".join(json.dumps({"en": a, "de": b}) + "\n" for a, b in PAIRS),
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("is_compressed", [False, True])
def test_tables(tmp_path, name, is_compressed):
    path = tmp_path / (f"{name}.gz" if is_compressed else name)
    path.write_bytes(gzip.compress(TABLES[name].encode()) if is_compressed else TABLES[name].encode())
    kept, num_lines, pairs, notes = read(path)
    assert (kept, num_lines, pairs) == (KEPT, 4, [PAIRS[i] for i in KEPT])
    assert notes == ([f"{path}: the source is column en, the target column de"]
                     if name.startswith(("header", "objects")) else [])  # fmt: skip


@pytest.mark.parametrize("name", ["header.tsv", "header.csv", "objects.jsonl"])
def test_columns_are_named(tmp_path, name):
    (tmp_path / name).write_text(TABLES[name])
    *_, pairs, notes = read(tmp_path / name, columns=("de", "en"))
    assert pairs == [PAIRS[i][::-1] for i in KEPT] and notes == []
    for columns, message in ((("fr", "en"), "has no column fr .its columns: en, de.: name it with --source-column"),
                             (("en", "fr"), "has no column fr .its columns: en, de.: name it with --target-column")):
        with pytest.raises(UserError, match=message):
            read(tmp_path / name, columns=columns)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a.txt": "one\n"}, "a.txt is one file of plain text: name two files"),
        ({"a": "1\n2\n", "b": "1\n"}, "a has 2 lines, but .*b has 1: the lines of both must belong together"),
        ({"a": "1\n2\n", "b": "1\n2\n\n"}, "a has 2 lines, but .*b has 3"),
        ({"a": "\n\n", "b": "1\n2\n"}, "a contains no pairs"),
        ({"a": "", "b": "1\n"}, "a is empty"),
        ({"a": "x\0y\n", "b": "1\n"}, "a is not text: it has a zero byte at byte 1"),
        ({"a": "1\n", "b": b"\xff\xfe1\0"}, "b is UTF-16, not UTF-8"),
        ({"a.tsv": "One sentence.\n"}, "a.tsv has no column for the target"),
        ({"a.tsv": "en\tde\n"}, "a.tsv contains no pairs"),
        ({"a.tsv": "A dog.\tEin Hund.\nonly one\n"}, "a.tsv line 2: the row has 1 fields"),
        ({"a.tsv": "en\tde\nA dog.\tEin Hund.\nonly one\n"}, "a.tsv line 3: the row has 1 fields"),
        ({"a.jsonl": '{"en": "A"\n'}, "a.jsonl line 1: this is not JSON"),
        ({"a.jsonl": '"A"\n'}, "a.jsonl has no column for the target"),
        ({"a.csv": 'en,de\n"A dog,x\n'}, "a.csv line 2: a quotation mark"),
    ],
    ids=lambda each: repr(each)[:60],
)
def test_what_cannot_be_pairs_is_refused_in_one_line(tmp_path, content, message):
    for name, text in content.items():
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message) as caught:
        read(*(tmp_path / name for name in content))
    assert "\n" not in str(caught.value)


def test_folders_missing_files_and_standard_input_twice_are_refused(tmp_path):
    paths = files_of(tmp_path)
    with pytest.raises(IsADirectoryError, match="is a folder, not a text file"):
        read(tmp_path, paths[1])
    with pytest.raises(FileNotFoundError, match="cannot find"):
        read(paths[0], tmp_path / "missing")
    with pytest.raises(UserError, match="only one of two files can be standard input"):
        read("-", "-")


def test_one_side_may_come_from_standard_input(tmp_path, monkeypatch):
    _, target = files_of(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("".join(a + "\n" for a, _ in PAIRS).encode())))
    assert read("-", target)[2] == [PAIRS[i] for i in KEPT]


def test_the_same_file_twice_is_said(tmp_path):
    path, _ = files_of(tmp_path)
    assert read(path, path)[3] == [f"{path} is both the source and the target"]


def test_a_digest_depends_on_all_that_decides_the_lines(tmp_path):
    path = tmp_path / "header.tsv"
    path.write_text(TABLES["header.tsv"])
    digests = []
    for columns, side, kept in (((None, None), 0, [0]), ((None, None), 1, [0]), (("de", "en"), 0, [0]),
                                ((None, None), 0, [0, 2])):  # fmt: skip
        with PairFiles(str(path), columns=columns) as files:
            digests.append(files.side(side, np.array(kept)).digest())
    assert len(set(digests)) == 4


@pytest.mark.parametrize("unit", ["word", "char"])
def test_a_line_is_split_as_a_file_is(tmp_path, unit):
    from theano_rnn.tasks.parallel_corpus import with_ends
    from theano_rnn.text.tokenizing import NUM_ENDS, tokenize_source, worker_pool

    text = TextConfig(sentences="line", unit=unit)
    lines = ["A dog (isn't it?) runs... Mr. X. It is!", "  cafe\u0301\u200b «oui»\xa0! ", "x" * 50 + " long " * 2_000]
    for path in (tmp_path / "a", tmp_path / "b"):
        path.write_text("\n".join(lines))
    with PairFiles(str(tmp_path / "a"), str(tmp_path / "b")) as files, worker_pool(text, 0) as pool:
        kept, _ = files.find_pairs(text)
        tokens = with_ends(tokenize_source(files.side(0, kept), text, pool))
    ends = np.flatnonzero(tokens.ids < NUM_ENDS)
    found = [[tokens.types[i] for i in part[:-1]] for part in np.split(tokens.ids, ends + 1)[:-1]]
    split = line_tokenizer(Vocabulary(("a",), text))
    assert found == [split(line) for line in lines] and split(" \u200b") == []
