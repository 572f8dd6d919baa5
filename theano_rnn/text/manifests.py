"""Manifests: tables that list recordings, with what was said in each and who said it.

A manifest is a file of JSON lines, such as ``{"audio": "a.wav", "text": "three five", "speaker": "ann"}``, or of tab-
or comma-separated values with a header. Columns may have other usual names, as those of NeMo and Common Voice. Paths
are relative to the folder of the manifest.

>>> table = ManifestTable("digits.tsv", "tsv")
>>> list(table.recordings(["audio\\tsentence\\n", "a.wav\\tthree five\\n"]))
[ListedRecording(line=2, audio='a.wav', text='three five', speaker='')]
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.normalizing import normalize
from theano_rnn.text.sources import Source
from theano_rnn.text.tables import MAX_ROW_CHARACTERS, Table, listed, split_lines

COLUMNS = {
    "audio": ("audio", "audio_filepath", "audio_path", "path", "file", "filename", "file_name", "wav", "features"),
    "text": ("text", "transcript", "transcription", "sentence", "words"),
    "speaker": ("speaker", "speaker_id", "spk", "spk_id", "client_id"),
}
REQUIRED = ("audio", "text")


class ListedRecording(NamedTuple):
    """A row of a manifest. `text` is None if the row has none; `speaker` is "" if it is not known."""

    line: int
    audio: str
    text: str | None
    speaker: str = ""


class ManifestTable(Table):
    """A table with a column of paths, one of transcripts and, if known, one of speakers."""

    def __init__(self, name: str, kind: str) -> None:
        super().__init__(name, kind, None)

    def check_column(self, names: list[str]) -> None:
        """Any columns will do until `recordings` looks for its own."""

    def json_text(self, name: str, value: Any) -> str | None:
        """Returns a value of a JSON object as text: also a whole number, since speakers may be numbered."""
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return str(value) if isinstance(value, str) or is_number else None

    def recordings(self, blocks: Iterable[str]) -> Iterator[ListedRecording]:
        """Yields the rows of a manifest that comes in blocks.

        Raises
        ------
        UserError
            If a row cannot be read or names no recording, or there is no column of paths or of transcripts.
        """
        sample, rows = self.read(split_lines(blocks, MAX_ROW_CHARACTERS))
        if not sample:
            return
        columns = self.find_columns(list(dict.fromkeys(name for row in sample for name in row.values)))
        for row in rows:
            if not any(map(str.strip, row.values.values())):
                continue
            audio = row.values.get(columns["audio"], "").strip()
            if not audio:
                raise self.error(row.line, f"the row has no path in column {columns['audio']}: add it, or remove the "
                                           "row")  # fmt: skip
            text = row.values.get(columns["text"])
            speaker = row.values.get(columns["speaker"], "").strip() if "speaker" in columns else ""
            yield ListedRecording(row.line, audio, None if text is None else normalize(text, TextConfig()), speaker)

    def find_columns(self, names: list[str]) -> dict[str, str]:
        """Returns the names of the columns of `COLUMNS` that there are."""
        lower = {name.lower(): name for name in reversed(names)}
        found = {role: next((lower[name] for name in usual if name in lower), None) for role, usual in COLUMNS.items()}
        for role in REQUIRED:
            if found[role] is None:
                what = {"audio": "the paths of the recordings", "text": "what is said in them"}[role]
                raise UserError(f"{self.name} has no column {role} (its columns: {listed(names)}): name the column "
                                f"with {what} {' or '.join(COLUMNS[role][:2])}")  # fmt: skip
        return {role: name for role, name in found.items() if name is not None}


def read_manifest(path: str) -> list[ListedRecording]:
    """Returns the recordings that a manifest lists, with paths that are absolute or relative to the current folder.

    Raises
    ------
    OSError
        The file cannot be opened.
    UserError
        It is not a manifest, or lists no recordings.
    """
    with Source(path) as source:
        if source.format.table is None:
            raise UserError(f"{source.name} is not a manifest: name a table (.jsonl, .tsv, .csv) with the columns "
                            "audio, text and speaker, or an .npz file with features")  # fmt: skip
        source.file.seek(0)
        table = ManifestTable(source.name, source.format.table)
        found = list(table.recordings(source.decoded_blocks()))
    if not found:
        raise UserError(f"{source.name} lists no recordings")
    folder = "" if path == "-" else os.path.dirname(path)
    return [recording._replace(audio=os.path.join(folder, recording.audio)) for recording in found]
