"""Pairs of sentences: two files whose lines belong together, or a table with two columns.

A pair keeps its line number. Pairs with a blank side are left out and counted; nothing else is ever left out, added or
moved. For the tokenizer, each side is a text with one sentence on each line.

>>> import tempfile, pathlib
>>> with tempfile.TemporaryDirectory() as folder:
...     paths = [str(pathlib.Path(folder, name)) for name in ("a.en", "a.de")]
...     _ = pathlib.Path(paths[0]).write_text("A dog.\\nA cat.\\n")
...     _ = pathlib.Path(paths[1]).write_text("Ein Hund.\\n\\n")
...     with PairFiles(*paths) as files:
...         kept, num_lines = files.find_pairs(TextConfig())
...         kept.tolist(), num_lines, list(files.side(0, kept).blocks(TextConfig()))
([0], 2, ['A dog.\\n'])
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.normalizing import normalize, normalized_blocks
from theano_rnn.text.sources import Source
from theano_rnn.text.tables import MAX_ROW_CHARACTERS, Row, Table, listed, split_lines
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import model_tokenizer


class PairTable(Table):
    """A table with a column for each side; by default the first two columns. It may have no header."""

    def __init__(self, name: str, kind: str, columns: Sequence[str | None]) -> None:
        super().__init__(name, kind, None)
        self.columns = list(columns)
        self.has_header = True

    def pairs(self, blocks: Iterator[str]) -> Iterator[tuple[str, str]]:
        """Yields the texts of both sides of each row."""
        lines: Iterator[str] = split_lines(blocks, MAX_ROW_CHARACTERS)
        if self.kind != "jsonl" and self.columns == [None, None]:
            first = next(lines, "")
            self.has_header = not (" " in first.strip() or any(character in first for character in ".!?"))
            lines = itertools.chain([first], lines)
            if not self.has_header:  # it has a sentence
                mark = "\t" if self.kind == "tsv" or "\t" in first else ";" if "," not in first else ","
                names = [f"column {number}" for number in range(1, first.count(mark) + 2)]
                lines, self.line = itertools.chain([mark.join(names) + "\n"], lines), -1
        sample, rows = self.read(lines)
        if not sample:
            return
        names = list(dict.fromkeys(name for row in sample for name in row.values))
        for side, name in enumerate(self.columns):
            if name is None and len(names) > side:
                self.columns[side] = names[side]
            elif name not in names:
                flag = ("--source-column", "--target-column")[side]
                raise UserError(f"{self.name} has no column {name or 'for the target'} (its columns: {listed(names)}): "
                                f"name it with {flag}")  # fmt: skip
        source, target = (str(name) for name in self.columns)
        for row in rows:
            yield row.values.get(source, ""), row.values.get(target, "")

    def check_column(self, names: list[str]) -> None:
        """Any columns will do until `pairs` looks for its own."""

    def tsv_rows(self, lines: Iterator[str]) -> Iterator[Row]:
        """Same as `Table.tsv_rows`, but a blank line is a row, so that lines keep their numbers."""
        first = next(lines, "")
        blank = '""' + "\t" * first.count("\t") + "\n"  # the reader of tables skips lines without any field
        return super().tsv_rows(itertools.chain([first], (line if line.strip() else blank for line in lines)))


class PairFiles:
    """The files of one set of pairs: a source file and a target file, or one table.

    Parameters
    ----------
    source
        The source file, or the table.
    target
        The target file; None for a table.
    columns
        The columns of a table, as of `PairTable`.

    Attributes
    ----------
    notes : list of str
        After `find_pairs`: what was assumed about the files, for the user.
    """

    def __init__(self, source: str, target: str | None = None, columns: Sequence[str | None] = (None, None)) -> None:
        self.columns = tuple(columns)
        self.notes: list[str] = []
        if source == target == "-":
            raise UserError("only one of two files can be standard input: name the other one")
        self.files = [Source(source)]
        if target is None and self.files[0].format.table is None:
            self.files[0].file.close()
            raise UserError(f"{self.files[0].name} is one file of plain text: name two files, the source and its "
                            "translation, or a table with two columns (.tsv, .csv, .jsonl)")  # fmt: skip
        if target is not None:
            try:
                self.files.append(Source(target))
            except BaseException:
                self.files[0].file.close()
                raise

    def __enter__(self) -> PairFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self.files:
            file.file.close()

    def lines(self, side: int, config: TextConfig) -> Iterator[str]:
        """Yields the lines of one side, normalized, without line ends."""
        file = self.files[side % len(self.files)]
        file.file.seek(0)
        blocks = normalized_blocks(file.decoded_blocks(), config)
        if len(self.files) == 2:
            for line in split_lines(blocks):
                yield line.removesuffix("\n")
            return
        assert file.format.table is not None
        table = PairTable(file.name, file.format.table, self.columns)
        for number, pair in enumerate(table.pairs(blocks)):
            if not number and table.has_header and self.columns == (None, None):
                self.notes = [f"{file.name}: the source is column {table.columns[0]}, the target column "
                              f"{table.columns[1]}"]  # fmt: skip
            yield normalize(" ".join(pair[side].splitlines()), config)

    def find_pairs(self, config: TextConfig) -> tuple[Any, int]:
        """Returns the line numbers, from 0, of the pairs without a blank side, int64 (pairs,), and the number of lines.

        Raises
        ------
        UserError
            The two files have different numbers of lines, or no pair is left.
        """
        blanks = [np.array([not line.strip() for line in self.lines(side, config)], bool) for side in (0, 1)]
        counts = [len(side) for side in blanks]
        if counts[0] != counts[1]:
            names = [file.name for file in self.files]
            raise UserError(f"{names[0]} has {counts[0]:,} lines, but {names[-1]} has {counts[1]:,}: the lines of both "
                            "must belong together")  # fmt: skip
        paths = [file.name for file in self.files]
        if len(paths) == 2 and all(map(os.path.exists, paths)) and os.path.samefile(*paths):
            self.notes = [f"{paths[0]} is both the source and the target"]
        kept = np.flatnonzero(~(blanks[0] | blanks[1]))
        if not len(kept):
            raise UserError(f"{self.files[0].name} contains no pairs")
        return kept, counts[0]

    def side(self, number: int, kept: Any) -> PairSide:
        """Returns one side of the pairs with the line numbers `kept`, for the tokenizer."""
        return PairSide(self, number, kept)


class PairSide:
    """The kept lines of one side of `PairFiles`, or of what is like them, as a text for `tokenize_source`."""

    def __init__(self, files: Any, number: int, kept: Any) -> None:
        self.files, self.number, self.kept = files, number, kept
        self.source = files.files[number % len(files.files)]
        self.name, self.num_bytes = self.source.name, self.source.num_bytes

    def num_bytes_read(self) -> int:
        return int(self.source.num_bytes_read())

    def has_changed(self) -> bool:
        return bool(self.source.has_changed())

    def digest(self) -> str:
        """Returns the SHA-256 of the file and of what decides which lines are read, hexadecimal."""
        parts = [self.source.digest(), self.number, self.files.columns, hashlib.sha256(self.kept.tobytes()).hexdigest()]
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def blocks(self, config: TextConfig) -> Iterator[str]:
        """Yields the kept lines, with blanks in the place of other white space."""
        is_kept = np.zeros(int(self.kept.max(initial=-1)) + 1, bool)
        is_kept[self.kept] = True
        for number, line in enumerate(itertools.islice(self.files.lines(self.number, config), len(is_kept))):
            if is_kept[number]:
                yield " ".join(line.split()) + "\n"


def line_tokenizer(vocabulary: Vocabulary) -> Callable[[str], list[str]]:
    """Returns a function that splits a line into tokens, exactly as training reads it; none if the line is blank."""
    config = vocabulary.text
    tokenize = model_tokenizer(vocabulary)

    def split_line(line: str) -> list[str]:
        line = " ".join(normalize(line, config).split())
        return list(tokenize(line)) if line else []

    return split_line
