"""Read labelled texts from a table: a label and a text in each row.

The column with the label is the one that is named, or one with a usual name, such as `label` or `class`. A file of
comma- or tab-separated values with two columns needs no header.

>>> table = LabelledTable("reviews.tsv", "tsv")
>>> list(table.labelled_texts(["label\\ttext\\n", "pos\\tA charming film.\\n", "neg\\tDull.\\n"]))
[LabelledText(line=2, label='pos', text='A charming film.'), LabelledText(line=3, label='neg', text='Dull.')]
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from theano_rnn.settings.base import UserError
from theano_rnn.text.tables import DELIMITERS, MAX_ROW_CHARACTERS, Row, Table, is_prose, listed, split_lines

LABEL_COLUMNS = (
    "label", "labels", "class", "category", "sentiment", "polarity", "target", "rating", "stars", "score", "y",
)  # fmt: skip
TEXT_COLUMNS = ("text", "body", "sentence", "review", "content", "comment", "message")
HEADERLESS_COLUMNS = 2


class LabelledText(NamedTuple):
    """A text with its label, and the line where it begins."""

    line: int
    label: str
    text: str


class LabelledTable(Table):
    """A table with a column of labels and a column of texts. Parameters as of `Table`; `label_column` may be None."""

    def __init__(self, name: str, kind: str, column: str | None = None, label_column: str | None = None) -> None:
        super().__init__(name, kind, column)
        self.label_column = label_column

    def labelled_texts(self, blocks: Iterable[str]) -> Iterator[LabelledText]:
        """Yields the rows of a table that comes in blocks. A text may be blank.

        Raises
        ------
        UserError
            If a row cannot be read or has no label, or it is not clear which columns have labels and texts.
        """
        lines: Iterator[str] = split_lines(blocks, MAX_ROW_CHARACTERS)
        first = next(lines, "")
        if self.kind != "jsonl" and (names := self.missing_header(first)):
            lines, self.line = itertools.chain([names + "\n", first], lines), -1
        else:
            lines = itertools.chain([first], lines)
        sample, rows = self.read(lines)
        if not sample:
            return
        self.label_column = label_column = self.find_label_column(sample)
        self.column = column = self.find_text_column(sample)
        for row in rows:
            label, text = row.values.get(label_column, "").strip(), row.values.get(column, "")
            if not label and not text.strip() and not any(map(str.strip, row.values.values())):
                continue  # an empty line
            if self.kind == "csv" and not {label_column, column} <= row.values.keys():
                missing = label_column if label_column not in row.values else column
                raise self.error(
                    row.line, f"the row has only {len(row.values)} of the columns, without {missing}: put texts that "
                    'contain line ends in "quotation marks"',
                )  # fmt: skip
            if not label:
                raise self.error(row.line, f"the row has no label in column {label_column}: add it, or remove the row")
            yield LabelledText(row.line, label, text)

    def missing_header(self, first: str) -> str:
        """Returns a header for a table of two columns that has none, given its first line; else ""."""
        found = {}
        for mark in "\t" if self.kind == "tsv" else DELIMITERS:
            fields = fields_of(first, mark)
            if {field.strip().lower() for field in fields} & {*LABEL_COLUMNS, *TEXT_COLUMNS}:
                return ""
            if len(fields) == HEADERLESS_COLUMNS:
                found[mark] = [is_prose(field) for field in fields]
        if not found or self.column or self.label_column:
            return ""
        mark = next((mark for mark, prose in found.items() if any(prose) and not all(prose)), next(iter(found)))
        return mark.join(["text", "label"] if found[mark] == [True, False] else ["label", "text"])

    def find_label_column(self, sample: Sequence[Row]) -> str:
        """Returns the column with the labels: the named one, or one with a usual name."""
        names = columns_of(sample)
        if self.label_column is not None:
            if self.label_column in names:
                return self.label_column
            problem = f"no column {self.label_column}"
        else:
            for usual in LABEL_COLUMNS:
                if found := [name for name in names if name.lower() == usual and name != self.column]:
                    return found[0]
            others = [name for name in names if name != self.column]
            if self.column is not None and len(others) == 1:
                return others[0]
            problem = f"no column {LABEL_COLUMNS[0]}"
        raise UserError(f"{self.name} has {problem} (its columns: {listed(names)}): name the column that has the "
                        "labels with --label-column")  # fmt: skip

    def find_text_column(self, sample: Sequence[Row]) -> str:
        """Returns the column with the texts: the named one, one with a usual name, or the only one of prose."""
        names = [name for name in columns_of(sample) if name != self.label_column]
        if self.column is None:
            for usual in TEXT_COLUMNS:
                if found := [name for name in names if name.lower() == usual]:
                    return found[0]
            if len(names) == 1:
                return names[0]
        rows = [row._replace(values={name: row.values.get(name, "") for name in names}) for row in sample]
        return self.text_column(rows)

    def json_text(self, name: str, value: Any) -> str | None:
        """Returns a text as it is, and a number or a truth value, which may be a label, as JSON writes it."""
        return json.dumps(value) if isinstance(value, (bool, int, float)) else super().json_text(name, value)


def fields_of(line: str, mark: str) -> list[str]:
    """Returns the fields of the first line of a CSV file; [] if it cannot be read."""
    try:
        return next(csv.reader([line], delimiter=mark, skipinitialspace=True), [])
    except csv.Error:
        return []


def columns_of(sample: Sequence[Row]) -> list[str]:
    """Returns the names of the columns of some rows, in the order of the table."""
    return list(dict.fromkeys(name for row in sample for name in row.values))
