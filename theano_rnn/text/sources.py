"""Files of text to characters: found, unpacked, decoded and checked, in a stream.

A source is a file name, or - for standard input; `.gz` at its end is unpacked, `.csv` gives its column `body`.

>>> import tempfile, pathlib
>>> with tempfile.TemporaryDirectory() as folder:
...     path = pathlib.Path(folder, "letters.csv")
...     _ = path.write_text('body\\n"Dear Jane,\\r\\nno."\\nYes\\n', newline="")
...     with Source(path) as source:
...         "".join(source.blocks(TextConfig()))
'Dear Jane,\\nno.\\n\\nYes\\n\\n'
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import os
import stat
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, final

from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig

BLOCK_BYTES = 1 << 18  # of one reading


@final
class Source:
    """An open file of text that can be read twice: its name for messages, its kind, its size in bytes.

    Standard input, pipes and devices are first copied to a temporary file without a name.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError
        There is no such file, or it cannot be read.
    UserError
        The file is empty.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        name = os.fspath(path)
        self.name = "standard input" if name == "-" else name
        self.file: IO[bytes]
        if name == "-":
            self.file = spooled(sys.stdin.buffer)
        else:
            if Path(name).is_dir():
                raise IsADirectoryError(f"{name} is a folder, not a file of text")
            try:
                self.file = open(name, "rb")  # noqa: SIM115 - closed by __exit__
            except FileNotFoundError as error:
                raise FileNotFoundError(f"{name}: there is no such file") from error
            except OSError as error:
                raise type(error)(f"{name} cannot be read: {error.strerror}") from error
            if not stat.S_ISREG(os.fstat(self.file.fileno()).st_mode):
                with self.file as pipe:
                    self.file = spooled(pipe)
        self.is_gzip = name.endswith(".gz")
        self.is_csv = name.removesuffix(".gz").endswith(".csv")
        self.num_bytes = os.fstat(self.file.fileno()).st_size
        self.modified = os.fstat(self.file.fileno()).st_mtime_ns
        if not self.num_bytes:
            self.file.close()
            raise UserError(f"{self.name} is empty")

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def has_changed(self) -> bool:
        """Whether somebody has written to the file since it was opened."""
        now = os.fstat(self.file.fileno())
        return (now.st_size, now.st_mtime_ns) != (self.num_bytes, self.modified)

    def digest(self) -> str:
        """SHA-256 of the bytes of the file and of how they are to be read, hexadecimal."""
        self.file.seek(0)
        digest = hashlib.sha256(f"gzip={self.is_gzip} csv={self.is_csv} ".encode())
        while block := self.file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()

    def blocks(self, config: TextConfig) -> Iterator[str]:
        """The text in blocks of any size, with `\\n` for every kind of line end.

        A CSV file gives its bodies, an empty line after each (a line break only with `unit="char"`).

        Raises
        ------
        UserError
            The file is not UTF-8 text, not the gzip or CSV that its name says, or all blank.
        """
        self.file.seek(0)
        blocks = self.decoded()
        if self.is_csv:
            blocks = self.bodies(blocks, "\n" if config.unit == "char" else "\n\n")
        is_blank = True
        for block in blocks:
            is_blank = is_blank and not block.strip()
            yield block
        if is_blank:
            raise UserError(f"{self.name} holds no text" + (" in its column body" if self.is_csv else ", only blanks"))

    def raw(self) -> Iterator[bytes]:
        """The bytes, unpacked, in blocks."""
        if not self.is_gzip:
            while block := self.file.read(BLOCK_BYTES):
                yield block
            return
        try:
            with gzip.GzipFile(fileobj=self.file) as unpacked:
                while block := unpacked.read(BLOCK_BYTES):
                    yield block
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{self.name} is not a whole gzip file: {error}") from error

    def decoded(self) -> Iterator[str]:
        """The characters, without a byte order mark."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        newlines = io.IncrementalNewlineDecoder(None, translate=True)
        num_read, is_first = 0, True
        for block in self.raw():
            text = self.decode(decoder, block, num_read)
            num_read += len(block)
            if text and is_first:
                text, is_first = text.removeprefix("\ufeff"), False
            yield newlines.decode(text)
        yield newlines.decode(self.decode(decoder, b"", num_read, final=True), final=True)

    def decode(self, decoder: codecs.IncrementalDecoder, block: bytes, offset: int, final: bool = False) -> str:
        """The characters of the next block, which starts at byte `offset`."""
        start = offset - len(decoder.getstate()[0])
        if not offset and block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise UserError(f"{self.name} is UTF-16, not UTF-8: convert it with `iconv -f UTF-16 -t UTF-8`")
        if (position := block.find(b"\0")) >= 0:
            raise UserError(f"{self.name} is not text: it holds a zero byte at byte {offset + position}")
        try:
            return decoder.decode(block, final)
        except UnicodeDecodeError as error:
            raise UserError(
                f"{self.name} is not UTF-8 at byte {start + error.start}: "
                "convert it, as with `iconv -f LATIN1 -t UTF-8` if it is Latin-1"
            ) from error

    def bodies(self, blocks: Iterator[str], end: str) -> Iterator[str]:
        """The fields of the column `body`, each closed by `end`."""
        rows = csv.reader(lines(blocks), skipinitialspace=True)
        header = [column.strip() for column in self.next_row(rows) or []]
        if "body" not in header:
            raise UserError(f"{self.name} has no column body, only {', '.join(header) or 'blanks'}")
        column = header.index("body")
        while (row := self.next_row(rows)) is not None:
            if any(field.strip() for field in row[len(header) :]):
                raise UserError(
                    f"{self.name} line {rows.line_num} has {len(row)} fields, its header {len(header)}: "
                    'a body with commas must be in "quotation marks"'
                )
            if column < len(row):
                yield row[column] + (end if end == "\n\n" or not row[column].endswith("\n") else "")

    def next_row(self, rows: Iterator[list[str]]) -> list[str] | None:
        """The next row, however long its fields are; none at the end."""
        limit = csv.field_size_limit(2**31 - 1)
        try:
            return next(rows, None)
        except csv.Error as error:
            raise UserError(f"{self.name} is not a proper CSV file: {error}") from error
        finally:
            csv.field_size_limit(limit)


def spooled(stream: IO[bytes]) -> IO[bytes]:
    """A temporary file without a name that holds all that `stream` has."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    while block := stream.read(BLOCK_BYTES):
        copy.write(block)
    copy.flush()
    return copy


def lines(blocks: Iterator[str]) -> Iterator[str]:
    """The lines, each with its line end."""
    parts: list[str] = []
    for block in blocks:
        *whole, rest = block.split("\n")
        for line in whole:
            parts.append(line)
            yield "".join(parts) + "\n"
            parts = []
        if rest:
            parts.append(rest)
    if parts:
        yield "".join(parts)
