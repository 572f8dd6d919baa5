"""Whole texts become the ids that training makes of them; lines and rows arrive as they are written."""

import io
import os
import threading

import numpy as np
import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.settings.classification import LabelledTextsConfig
from theano_rnn.settings.text import TextConfig
from theano_rnn.tasks.labelled_corpus import load_labelled_texts
from theano_rnn.text import whole_texts
from theano_rnn.text.sources import Source
from theano_rnn.text.whole_texts import pieces_of_text, rows_of, text_encoder

TEXTS = [
    "A charming film.", "It is dull. Mr. Grant can't say \u201cNo\u201d--or will he?  Yes !", "x",
    "cafe\u0301 co\u00adoperate", "\u200b \u2060", "...", "I\u0307stanbul I", "a  b\u00a0c \u2028 d",
    "Dull" * 70_000, "Dull. " * 30_000,
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        TextConfig(), TextConfig(sentences="line"), TextConfig(lowercase=True, tokens="whitespace"),
        TextConfig(rules=1), TextConfig(unit="char"), TextConfig(unit="char", lowercase=True),
    ],
)  # fmt: skip
def test_the_ids_are_those_of_training(config, tmp_path):
    texts = [*TEXTS, *(["  "] if config.unit == "word" else [])]
    rows = [f"{label}\t{text}\n" for text in texts for label in ("neg", "pos")]
    (tmp_path / "train.txt").write_text("".join(rows))
    corpus = load_labelled_texts(LabelledTextsConfig(train=(str(tmp_path / "train.txt"),), valid_fraction=0.3,
                                                     test_fraction=0.0), config)  # fmt: skip
    encode = text_encoder(corpus.vocabulary)
    found = [ids for text in texts if (ids := encode(text))]
    wanted = []
    for number in range(len(corpus.labels)):
        for part in ("train", "valid"):
            texts_of_part = corpus.parts[part]
            ends = np.cumsum(texts_of_part.lengths)
            wanted += [texts_of_part.ids[end - length : end].tolist() for end, length, label
                       in zip(ends, texts_of_part.lengths, texts_of_part.labels) if label == number]  # fmt: skip
    assert found * 2 == wanted
    for text in texts[:8]:
        assert [piece.id for piece in pieces_of_text(text, corpus.vocabulary)] == encode(text)


def rows(path, **options):
    with Source(path, **options) as source:
        return list(rows_of(source))


def test_each_line_and_each_row_is_a_text(tmp_path):
    (tmp_path / "lines.txt").write_text("one\n\n two \nlast")
    assert rows(tmp_path / "lines.txt") == ["one", "", " two ", "last"]
    (tmp_path / "rows.csv").write_text('id,body\n1,"A film,\nby two."\n2,\n\n3,x\n')
    assert rows(tmp_path / "rows.csv") == ["A film,\nby two.", "", "x"]
    (tmp_path / "rows.jsonl").write_text('{"body": "A film"}\n{"id": "2"}\n\n"third"\n')
    assert rows(tmp_path / "rows.jsonl") == ["A film", "", "third"]


def test_a_line_that_has_arrived_is_read_before_the_next_one_is_written():
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe, open(writing, "wb", buffering=0) as out:
        out.write(b"first\nlas")
        with Source(f"/dev/fd/{pipe.fileno()}", is_read_once=True) as source:
            found = rows_of(source)
            assert [next(found), next(found)] == ["first", None]
            writer = threading.Timer(0.05, lambda: (out.write(b"t\n"), out.close()))
            writer.start()
            assert list(filter(None, found)) == ["last"]
            writer.join()


def test_a_line_without_end_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(whole_texts, "MAX_ROW_CHARACTERS", 100)
    (tmp_path / "long.txt").write_text("one\n" + "x" * 200)
    with pytest.raises(UserError, match="line 2: the line has more than"):
        rows(tmp_path / "long.txt")


def test_an_empty_pipe_is_empty(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(UserError, match="standard input is empty"):
        Source("-", is_read_once=True)
