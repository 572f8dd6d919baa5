"""Read the text column of a table: CSV, tab-separated values (TSV) or JSON lines.

Rows are read one at a time. A row that cannot be read is an error that names its line; none is skipped, except for rows
without a text. A row may have at most 64 Mi characters, so that a small compressed file cannot fill the memory.

>>> lines = ["id,body\\n", '1,"Dear Jane,\\n', 'no."\\n']
>>> list(Table("letters.csv", "csv", None).texts(lines))
['Dear Jane,\\nno.']
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from theano_rnn.settings.base import UserError

DEFAULT_COLUMN = "body"
DELIMITERS = ",;\t"  # of CSV, in this order; some spreadsheets separate fields with semicolons
MAX_ROW_CHARACTERS = 1 << 26
SAMPLE_ROWS, SAMPLE_CHARACTERS = 100, 1 << 20  # read to find the text column
PROSE_CHARACTERS = 20  # a longer value with letters is text even if it has no blanks, as in Chinese
KINDS = {"csv": "CSV", "tsv": "TSV", "jsonl": "JSON lines"}


class Row(NamedTuple):
    """The values of a row by column, and the line where it begins."""

    line: int
    values: Mapping[str, str]


class Table:
    """A table in a text file.

    Parameters
    ----------
    name
        The file, for messages.
    kind
        "csv", "tsv" or "jsonl".
    column
        The column with the text; None: `body`, or else the only column that looks like text.
    """

    def __init__(self, name: str, kind: str, column: str | None) -> None:
        self.name, self.kind, self.column = name, kind, column
        self.delimiter = ","  # of CSV
        self.line = 0  # the number of lines read
        self.start = 0  # the line where the current row begins
        self.num_characters = 0  # of the current row

    def texts(self, blocks: Iterable[str]) -> Iterator[str]:
        """Yields the text of each row of a table that comes in blocks.

        Raises
        ------
        UserError
            If a row cannot be read, or it is not clear which column has the text.
        """
        return filter(None, self.all_texts(blocks))

    def all_texts(self, blocks: Iterable[str]) -> Iterator[str]:
        """Same as `texts`, but yields "" for a row without a text."""
        sample, rows = self.read(split_lines(blocks, MAX_ROW_CHARACTERS))
        if not sample:
            return
        self.column = column = self.text_column(sample)
        for row in rows:
            if not row.values:
                continue  # an empty line
            if (
                not row.values.get(column)
                and self.kind == "csv"
                and column not in row.values
                and any(map(str.strip, row.values.values()))
            ):
                raise self.error(
                    row.line, f"the row has only {len(row.values)} of the columns, without {column}: put texts that "
                    'contain line ends in "quotation marks"',
                )  # fmt: skip
            yield row.values.get(column, "")

    def read(self, lines: Iterator[str]) -> tuple[list[Row], Iterator[Row]]:
        """Returns a sample of the first rows, and an iterator of all rows, the sample included."""
        first = next(lines, "")
        self.delimiter = next((mark for mark in DELIMITERS if mark in first), ",")
        read = {"csv": self.csv_rows, "tsv": self.tsv_rows, "jsonl": self.jsonl_rows}[self.kind]
        rows = read(self.limited(itertools.chain([first], lines)))
        sample, size = [], 0
        for row in rows:
            sample.append(row)
            size += sum(map(len, row.values.values()))
            if len(sample) == SAMPLE_ROWS or size > SAMPLE_CHARACTERS:
                break
        if not sample and self.kind == "jsonl":
            raise UserError(f"{self.name} has no rows")
        return sample, itertools.chain(sample, rows)

    def limited(self, lines: Iterator[str]) -> Iterator[str]:
        """Yields the lines, counted; raises `UserError` if the lines of one row are too long together."""
        for line in lines:
            self.line += 1
            self.num_characters += len(line)
            if self.num_characters > MAX_ROW_CHARACTERS:
                raise self.error(
                    self.start, f"a row has more than {MAX_ROW_CHARACTERS >> 20} Mi characters: "
                    "look for a quotation mark that is never closed" if self.kind == "csv" else
                    f"a row has more than {MAX_ROW_CHARACTERS >> 20} Mi characters: split it into several rows",
                )  # fmt: skip
            yield line

    def begin_row(self) -> None:
        self.start, self.num_characters = self.line + 1, 0

    def error(self, line: int, what: str) -> UserError:
        return UserError(f"{self.name} line {line}: {what}")

    def csv_rows(self, lines: Iterator[str]) -> Iterator[Row]:
        """Yields the rows of a CSV file after its header. Texts with commas or line ends stand in quotation marks."""
        reader = csv.reader(lines, delimiter=self.delimiter, skipinitialspace=True, strict=True)
        header = self.header(self.next_csv_row(reader) or [])
        while (fields := self.next_csv_row(reader)) is not None:
            if any(field.strip() for field in fields[len(header) :]):
                raise self.error(
                    self.start, f"the row has {len(fields)} fields, but the header has {len(header)}: put texts that "
                    'contain commas in "quotation marks", and write a quotation mark inside them as "" (not \\")',
                )  # fmt: skip
            yield Row(self.start, dict(zip(header, fields)))

    def next_csv_row(self, reader: Iterator[list[str]]) -> list[str] | None:
        """Returns the next row, with fields of any length up to the limit; None at the end."""
        self.begin_row()
        limit = csv.field_size_limit(MAX_ROW_CHARACTERS + 1)
        try:
            return next(reader, None)
        except csv.Error as error:
            if "unexpected end" in str(error):
                what = 'a quotation mark that opens in this row is never closed: close it, or write it as ""'
            elif "expected after" in str(error):
                where = f" (near line {self.line})" if self.line > self.start else ""
                what = f'a quotation mark inside a quoted text must be doubled, "" (not \\"){where}'
            else:
                what = f"this is not a valid CSV file: {error}"
            raise self.error(self.start, what) from error
        finally:
            csv.field_size_limit(limit)

    def tsv_rows(self, lines: Iterator[str]) -> Iterator[Row]:
        """Yields the rows of a file of tab-separated values after its header.

        A row is a line. Quotation marks are part of the text, except around a whole field, as spreadsheets write them.
        """
        header: list[str] | None = None
        self.begin_row()
        for line in lines:
            fields = [unquoted(field) for field in line.rstrip("\n").split("\t")]
            if header is None:
                header = self.header(fields)
            elif line.strip():
                if len(fields) < len(header) or any(field.strip() for field in fields[len(header) :]):
                    raise self.error(
                        self.start, f"the row has {len(fields)} fields, but the header has {len(header)}: a text in a "
                        "tab-separated file cannot contain tabs or line ends",
                    )  # fmt: skip
                yield Row(self.start, dict(zip(header, fields)))
            self.begin_row()

    def jsonl_rows(self, lines: Iterator[str]) -> Iterator[Row]:
        """Yields the texts of a file with one JSON object, or one string, on each line."""
        self.begin_row()
        for line in lines:
            if line.strip():
                yield self.json_row(line)
            self.begin_row()

    def json_row(self, line: str) -> Row:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self.error(self.start, f"this is not JSON ({error}): each line must be one JSON object") from error
        if isinstance(value, str):
            value = {self.column or DEFAULT_COLUMN: value}
        if not isinstance(value, dict):
            raise self.error(self.start, f"each line must be one JSON object with a text, got {line.strip()[:40]!r}")
        column = self.column or DEFAULT_COLUMN
        if value.get(column) is not None and self.json_text(column, value[column]) is None:
            raise self.error(self.start, f"{column} must be a text, got {json.dumps(value[column])[:40]}")
        values = {name: text for name, item in value.items() if (text := self.json_text(name, item)) is not None}
        if any(map(has_half_character, values.values())):
            raise self.error(self.start, "a text has a half of a surrogate pair (\\ud800 to \\udfff): remove it")
        return Row(self.start, {name: text.replace("\r\n", "\n").replace("\r", "\n") for name, text in values.items()})

    def json_text(self, name: str, value: Any) -> str | None:
        """Returns a value of a JSON object as text; None if it is no text."""
        return value if isinstance(value, str) else None

    def header(self, fields: list[str]) -> list[str]:
        """Returns the names of the columns. Raises `UserError` if the one that the user named is not among them."""
        header = [field.strip() for field in fields]
        self.check_column(header)
        return header

    def check_column(self, names: list[str]) -> None:
        if not any(names) or (self.column is not None and self.column not in names):
            raise UserError(
                f"{self.name} has no column {self.column or DEFAULT_COLUMN} (its columns: {listed(names)}): "
                "name the column that has the text with --column"
            )

    def text_column(self, sample: list[Row]) -> str:
        """Returns the column with the text: the named one, `body`, or the only one whose values look like text."""
        names = list(dict.fromkeys(name for row in sample for name in row.values))
        if self.kind == "jsonl":
            self.check_column(names)
        if self.column is not None:
            return self.column
        if DEFAULT_COLUMN in names:
            return DEFAULT_COLUMN
        for looks_like_text in (is_prose, has_letters):
            found = [name for name in names if mostly(looks_like_text, [row.values.get(name, "") for row in sample])]
            if len(found) == 1:
                return found[0]
            if found:
                break
        raise UserError(
            f"{self.name} has no column {DEFAULT_COLUMN} (its columns: {listed(names)}): "
            "name the column that has the text with --column"
        )


def split_lines(blocks: Iterable[str], limit: int | None = None) -> Generator[str, None, None]:
    """Yields the lines of the text, each with its line end; a line of more than `limit` characters in parts."""
    parts: list[str] = []
    num_waiting = 0
    for block in blocks:
        *complete, rest = block.split("\n")
        for line in complete:
            parts.append(line)
            yield "".join(parts) + "\n"
            parts, num_waiting = [], 0
        if rest:
            parts.append(rest)
            num_waiting += len(rest)
            if limit is not None and num_waiting > limit:
                yield "".join(parts)
                parts, num_waiting = [], 0
    if parts:
        yield "".join(parts)


def listed(names: list[str]) -> str:
    return ", ".join(name[:40] for name in names if name)[:200] or "none"


def mostly(is_true: Any, values: list[str]) -> bool:
    """Returns whether at least half of the values that are not blank fulfil a condition."""
    given = [value for value in values if value.strip()]
    return bool(given) and 2 * sum(map(is_true, given)) >= len(given)


def has_letters(value: str) -> bool:
    """Returns whether a value is more than a number or a date."""
    return any(map(str.isalpha, value))


def is_prose(value: str) -> bool:
    """Returns whether a value looks like a text of several words."""
    words = value.split()
    is_long = len(words) > 1 or (len(value) > PROSE_CHARACTERS and "://" not in value)
    return has_letters(value) and is_long


def unquoted(field: str) -> str:
    """Returns a field without the quotation marks around it, if those inside it are doubled."""
    inner = field[1:-1]
    if len(field) < 2 or field[0] != '"' or field[-1] != '"' or '"' in inner.replace('""', ""):
        return field
    return inner.replace('""', '"')


def has_half_character(text: str) -> bool:
    """Returns whether a text has a half of a surrogate pair, which is not a character."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False
