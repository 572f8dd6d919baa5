"""Read text files as a stream of characters: open, decompress, decode and check them.

A source is a file name, or - for standard input. Files that gzip, bzip2 or xz compressed are decompressed, and of a
table (`.csv`, `.tsv`, `.jsonl`) only the column with the text is read.

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
import hashlib
import io
import os
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, cast

from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.arriving import ArrivingBytes
from theano_rnn.text.file_formats import (
    BLOCK_BYTES,
    decompressed_blocks,
    format_of,
    problem_of_beginning,
    problem_of_encoding,
)
from theano_rnn.text.normalizing import BYTE_ORDER_MARK, normalize, normalized_blocks
from theano_rnn.text.tables import Table

MAGIC_BYTES = 16


class Source:
    """An open text file that can be read more than once.

    Has the `name` for messages, the `format` and the size, `num_bytes`. Standard input, pipes and devices can be read
    only once, so they are first copied to an unnamed temporary file.

    Parameters
    ----------
    path
        The file; - for standard input.
    column
        The column of a table with the text. None: `body`, or else the only column with text.
    is_read_once
        Do not copy standard input, pipes and devices: read them while they are being written.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError
        If the file does not exist or cannot be read.
    UserError
        If the file is empty.
    """

    def __init__(self, path: str | os.PathLike[str], column: str | None = None, *, is_read_once: bool = False) -> None:
        name = os.fspath(path)
        self.name = "standard input" if name == "-" else name
        self.column = column
        self.text_column = column  # of a table; known after the first of `texts`
        self.file: IO[bytes]
        if name == "-":
            self.file = stdin_as_file(is_read_once)
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
                if is_read_once:
                    self.file = cast(IO[bytes], ArrivingBytes(self.file, closes=True))
                else:
                    with self.file as pipe:
                        self.file = copy_to_temporary_file(pipe)
        self.file.seek(0)
        self.format = format_of(name, self.file.read(MAGIC_BYTES))
        if isinstance(self.file, ArrivingBytes):
            self.num_bytes, self.modified_ns = len(self.file.first), 0
        else:
            self.num_bytes = os.fstat(self.file.fileno()).st_size
            self.modified_ns = os.fstat(self.file.fileno()).st_mtime_ns
        if not self.num_bytes:
            self.file.close()
            raise UserError(f"{self.name} is empty")

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    @property
    def is_arriving(self) -> bool:
        """Whether the text is read while it is being written."""
        return isinstance(self.file, ArrivingBytes)

    def has_changed(self) -> bool:
        """Returns whether the file has been written to since it was opened."""
        now = os.fstat(self.file.fileno())
        return (now.st_size, now.st_mtime_ns) != (self.num_bytes, self.modified_ns)

    def num_bytes_read(self) -> int:
        """Returns how many bytes of the file the current pass has read."""
        return min(self.file.tell(), self.num_bytes)

    def digest(self) -> str:
        """Returns the SHA-256 of the file's bytes and format (compression, table, column), hexadecimal."""
        self.file.seek(0)
        digest = hashlib.sha256(repr((*self.format, self.column if self.format.table else None)).encode())
        while block := self.file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()

    def blocks(self, config: TextConfig) -> Iterator[str]:
        """Yields the text in blocks of any size, as a model reads it: normalized, with every line end as `\\n`.

        Each text of a table is followed by an empty line (with `unit="char"`: by a line break, if it has none).

        Raises
        ------
        UserError
            If the file is not UTF-8 text, is not the compressed file or table that its name promises, or contains only
            white space.
        """
        if self.format.table is None:
            yield from self.texts(config)
            return
        end = "\n" if config.unit == "char" else "\n\n"
        for text in self.texts(config):
            yield text + (end if config.has_sentences or not text.endswith("\n") else "")

    def texts(self, config: TextConfig) -> Iterator[str]:
        """Same as `blocks`, but each block of a table is a text as it is there, with nothing added."""
        self.file.seek(0)
        is_blank = True
        blocks = normalized_blocks(self.decoded_blocks(), config)
        if self.format.table is not None:
            blocks = self.table_texts(blocks, config)
        for block in blocks:
            is_blank = is_blank and not block.strip()
            yield block
        if is_blank:
            where = ", only white space" if self.format.table is None else f" in its column {self.column or 'body'}"
            raise UserError(f"{self.name} contains no text{where}")

    def table_texts(self, blocks: Iterable[str], config: TextConfig) -> Iterator[str]:
        """Yields the texts of a table."""
        assert self.format.table is not None
        table = Table(self.name, self.format.table, self.column)
        for text in table.texts(blocks):
            self.text_column = table.column
            yield normalize(text, config)  # again, because JSON may spell characters as \\u0301

    def count(self, config: TextConfig) -> tuple[int, int]:
        """Returns the number of words, separated by blanks, and of characters in the text.

        Characters are counted as a character model reads them, line breaks included; what `blocks` adds between the
        texts of a table does not count.
        """
        if self.format.table is None:
            return count_words_and_characters(self.texts(config))
        words = characters = 0
        for text in self.texts(config):
            words += len(text.split())
            characters += len(text)
        return words, characters

    def decoded_blocks(self) -> Iterator[str]:
        """Yields the characters in blocks, without a byte order mark at the beginning."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        newlines = io.IncrementalNewlineDecoder(None, translate=True)
        num_read, is_first, is_ascii = 0, True, True
        for block in decompressed_blocks(self.file, self.format.compression, self.name):
            if not num_read and (problem := problem_of_beginning(block, self.name)):
                raise UserError(f"{self.name} {problem}")
            text = self.decode_block(decoder, block, num_read, is_ascii=is_ascii)
            num_read += len(block)
            if text and is_first:
                text, is_first = text.removeprefix(BYTE_ORDER_MARK), False
            is_ascii = is_ascii and text.isascii()
            yield newlines.decode(text)
        text = self.decode_block(decoder, b"", num_read, is_ascii=is_ascii, final=True)
        yield newlines.decode(text, final=True)

    def decode_block(
        self, decoder: codecs.IncrementalDecoder, block: bytes, offset: int, *, is_ascii: bool, final: bool = False
    ) -> str:
        """Returns the characters of a block that starts at byte `offset`; `is_ascii` says what all before it are."""
        if (position := block.find(b"\0")) >= 0:
            raise UserError(f"{self.name} is not text: it has a zero byte at byte {offset + position}")
        pending = decoder.getstate()[0]
        try:
            return decoder.decode(block, final)
        except UnicodeDecodeError as error:
            valid = (pending + block)[: error.start]
            problem = problem_of_encoding(
                pending + block, offset - len(pending) + error.start,
                follows_utf8=not is_ascii or not valid.removeprefix(codecs.BOM_UTF8).isascii(), name=self.name,
            )  # fmt: skip
            raise UserError(f"{self.name} {problem}") from error


def size_of(path: str) -> int:
    """Returns the bytes of a file; 0 for standard input and for what cannot be read."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def count_words_and_characters(blocks: Iterable[str]) -> tuple[int, int]:
    """Count the words, separated by blanks, and the characters of a text that comes in blocks.

    >>> count_words_and_characters(["to b", "e or", " not"])
    (4, 12)
    """
    words, characters, is_inside = 0, 0, False
    for block in blocks:
        if block:
            words += len(block.split()) - (is_inside and not block[0].isspace())
            characters += len(block)
            is_inside = not block[-1].isspace()
    return words, characters


def stdin_as_file(is_read_once: bool) -> IO[bytes]:
    """Returns standard input as a file: a copy, or what arrives if it is read only once."""
    stream = sys.stdin.buffer
    return cast(IO[bytes], ArrivingBytes(stream)) if is_read_once else copy_to_temporary_file(stream)


def copy_to_temporary_file(stream: IO[bytes]) -> IO[bytes]:
    """Returns an unnamed temporary file with the rest of `stream`."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    while block := stream.read(BLOCK_BYTES):
        copy.write(block)
    copy.flush()
    return copy
