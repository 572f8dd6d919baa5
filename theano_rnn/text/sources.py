"""Read text files as a stream of characters: open, decompress, decode and check them.

A source is a file name, or - for standard input. A name that ends in `.gz` is decompressed; of a `.csv` file only the
column `body` is read.

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

BLOCK_BYTES = 1 << 18  # read at a time


@final
class Source:
    """An open text file that can be read more than once.

    Has the `name` for messages, the format (`is_gzip`, `is_csv`) and the size, `num_bytes`. Standard input, pipes and
    devices can be read only once, so they are first copied to an unnamed temporary file.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError
        If the file does not exist or cannot be read.
    UserError
        If the file is empty.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        name = os.fspath(path)
        self.name = "standard input" if name == "-" else name
        self.file: IO[bytes]
        if name == "-":
            self.file = copy_to_temporary_file(sys.stdin.buffer)
        else:
            if Path(name).is_dir():
                raise IsADirectoryError(f"{name} is a folder, not a text file: name a file in it")
            try:
                self.file = open(name, "rb")  # noqa: SIM115 - closed by __exit__
            except FileNotFoundError as error:
                raise FileNotFoundError(
                    f"cannot find {name} (looked in {Path(name).absolute().parent}). "
                    "Check the name, or give the full path"
                ) from error
            except OSError as error:
                raise type(error)(f"cannot read {name}: {error.strerror}") from error
            if not stat.S_ISREG(os.fstat(self.file.fileno()).st_mode):
                with self.file as pipe:
                    self.file = copy_to_temporary_file(pipe)
        self.is_gzip = name.endswith(".gz")
        self.is_csv = name.removesuffix(".gz").endswith(".csv")
        self.num_bytes = os.fstat(self.file.fileno()).st_size
        self.modified_ns = os.fstat(self.file.fileno()).st_mtime_ns
        if not self.num_bytes:
            self.file.close()
            raise UserError(f"{self.name} is empty")

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def has_changed(self) -> bool:
        """Returns whether the file has been written to since it was opened."""
        now = os.fstat(self.file.fileno())
        return (now.st_size, now.st_mtime_ns) != (self.num_bytes, self.modified_ns)

    def digest(self) -> str:
        """Returns the SHA-256 of the file's bytes and format (gzip, CSV), hexadecimal."""
        self.file.seek(0)
        digest = hashlib.sha256(f"gzip={self.is_gzip} csv={self.is_csv} ".encode())
        while block := self.file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()

    def blocks(self, config: TextConfig) -> Iterator[str]:
        """Yields the text in blocks of any size, with every line end as `\\n`.

        Each text in the `body` column of a CSV file is followed by an empty line (with `unit="char"`: by a line break).

        Raises
        ------
        UserError
            If the file is not UTF-8 text, is not the gzip or CSV file that its name promises, or contains only white
            space.
        """
        self.file.seek(0)
        blocks = self.decoded_blocks()
        if self.is_csv:
            blocks = self.csv_bodies(blocks, "\n" if config.unit == "char" else "\n\n")
        is_blank = True
        for block in blocks:
            is_blank = is_blank and not block.strip()
            yield block
        if is_blank:
            raise UserError(
                f"{self.name} contains no text" + (" in its column body" if self.is_csv else ", only white space")
            )

    def decompressed_blocks(self) -> Iterator[bytes]:
        """Yields the bytes of the file in blocks, decompressed if it is a gzip file."""
        if not self.is_gzip:
            while block := self.file.read(BLOCK_BYTES):
                yield block
            return
        try:
            with gzip.GzipFile(fileobj=self.file) as decompressed:
                while block := decompressed.read(BLOCK_BYTES):
                    yield block
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{self.name} is not a complete gzip file: {error}") from error

    def decoded_blocks(self) -> Iterator[str]:
        """Yields the characters in blocks, without a byte order mark."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        newlines = io.IncrementalNewlineDecoder(None, translate=True)
        num_read, is_first = 0, True
        for block in self.decompressed_blocks():
            text = self.decode_block(decoder, block, num_read)
            num_read += len(block)
            if text and is_first:
                text, is_first = text.removeprefix("\ufeff"), False
            yield newlines.decode(text)
        yield newlines.decode(self.decode_block(decoder, b"", num_read, final=True), final=True)

    def decode_block(self, decoder: codecs.IncrementalDecoder, block: bytes, offset: int, final: bool = False) -> str:
        """Returns the characters of a block that starts at byte `offset`."""
        start = offset - len(decoder.getstate()[0])
        if not offset and block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise UserError(f"{self.name} is UTF-16, not UTF-8: convert it with `iconv -f UTF-16 -t UTF-8`")
        if (position := block.find(b"\0")) >= 0:
            raise UserError(f"{self.name} is not text: it has a zero byte at byte {offset + position}")
        try:
            return decoder.decode(block, final)
        except UnicodeDecodeError as error:
            raise UserError(
                f"{self.name} is not UTF-8 at byte {start + error.start}: "
                "convert it, for example with `iconv -f LATIN1 -t UTF-8` if it is Latin-1"
            ) from error

    def csv_bodies(self, blocks: Iterator[str], end: str) -> Iterator[str]:
        """Yields the texts in the column `body`, each followed by `end`."""
        rows = csv.reader(split_lines(blocks), skipinitialspace=True)
        header = [column.strip() for column in self.next_csv_row(rows) or []]
        if "body" not in header:
            found = ", ".join(name for name in header if name) or "none"
            raise UserError(f"{self.name} has no column body (its columns: {found}): rename the text column to body")
        column = header.index("body")
        while (row := self.next_csv_row(rows)) is not None:
            if any(field.strip() for field in row[len(header) :]):
                raise UserError(
                    f"{self.name} line {rows.line_num} has {len(row)} fields, but the header has {len(header)}: "
                    'put texts that contain commas in "quotation marks"'
                )
            if column < len(row):
                yield row[column] + (end if end == "\n\n" or not row[column].endswith("\n") else "")

    def next_csv_row(self, rows: Iterator[list[str]]) -> list[str] | None:
        """Returns the next row, with fields of any length; None at the end."""
        limit = csv.field_size_limit(2**31 - 1)
        try:
            return next(rows, None)
        except csv.Error as error:
            raise UserError(f"{self.name} is not a valid CSV file: {error}") from error
        finally:
            csv.field_size_limit(limit)


def copy_to_temporary_file(stream: IO[bytes]) -> IO[bytes]:
    """Returns an unnamed temporary file with the rest of `stream`."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    while block := stream.read(BLOCK_BYTES):
        copy.write(block)
    copy.flush()
    return copy


def split_lines(blocks: Iterator[str]) -> Iterator[str]:
    """Yields the lines of the text, each with its line end."""
    parts: list[str] = []
    for block in blocks:
        *complete, rest = block.split("\n")
        for line in complete:
            parts.append(line)
            yield "".join(parts) + "\n"
            parts = []
        if rest:
            parts.append(rest)
    if parts:
        yield "".join(parts)
