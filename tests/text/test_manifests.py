"""Manifests: usual names of columns, paths relative to the file, and errors that name the line."""

import json

import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.text.manifests import ListedRecording, read_manifest

ROWS = [("a.wav", "three five", "ann"), ("sub/b.wav", "one", "7")]


@pytest.mark.parametrize("kind", ["jsonl", "tsv", "csv"])
@pytest.mark.parametrize(
    "names", [("audio", "text", "speaker"), ("path", "sentence", "client_id"), ("audio_filepath", "Text", "speaker_id")]
)
def test_each_kind_of_manifest_with_usual_names_of_columns(tmp_path, kind, names):
    path = tmp_path / f"list.{kind}"
    if kind == "jsonl":
        rows = [dict(zip(names, row), duration=1.5) for row in ROWS]
        rows[1][names[2]] = 7  # a number
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        mark = "\t" if kind == "tsv" else ","
        path.write_text("".join(mark.join(row) + "\n" for row in (names, *ROWS)))
    first, second = read_manifest(str(path))
    assert first == ListedRecording(first.line, str(tmp_path / "a.wav"), "three five", "ann")
    assert (second.audio, second.speaker) == (str(tmp_path / "sub/b.wav"), "7")


def test_speakers_may_be_missing_and_transcripts_of_single_rows(tmp_path):
    path = tmp_path / "list.jsonl"
    path.write_text('{"audio": "/x/a.wav", "text": ""}\n{"audio": "b.wav"}\n\n')
    assert [(row.audio, row.text, row.speaker) for row in read_manifest(str(path))] == [
        ("/x/a.wav", "", ""), (str(tmp_path / "b.wav"), None, ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"sound": "a.wav", "text": "x"}\n', r"no column audio \(its columns: sound, text\)"),
        ("a.tsv", "audio\tlabel\na.wav\tx\n", r"no column text \(its columns: audio, label\)"),
        ("a.tsv", "audio\ttext\n\tx\n", "line 2: the row has no path in column audio"),
        ("a.tsv", "audio\ttext\n", "lists no recordings"),
        ("a.tsv", "audio\ttext\na.wav\n", "line 2: the row has 1 fields"),
        ("a.jsonl", "{", "line 1: this is not JSON"),
        ("a.txt", "a.wav x\n", "is not a manifest: name a table"),
        ("a.jsonl", "", "is empty"),
    ],
)
def test_what_is_no_manifest_is_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(UserError, match=message) as raised:
        read_manifest(str(path))
    assert "\n" not in str(raised.value) and name in str(raised.value)
