"""Recognize the format of a file by its name and its first bytes, and say what to do with one that is not UTF-8 text.

>>> format_of("Letters.CSV.GZ", b"")
FileFormat(compression='gzip', table='csv')
>>> format_of("letters.txt", bz2.compress(b"Dear Jane"))
FileFormat(compression='bzip2', table=None)
>>> problem_of_beginning(b"%PDF-1.7", "book.pdf")
'is a PDF document, not plain text: extract its text with `pdftotext book.pdf book.pdf.txt`'
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import re
import shlex
import zlib
from collections.abc import Iterator
from pathlib import PurePath
from typing import IO, NamedTuple

from theano_rnn.settings.base import UserError

BLOCK_BYTES = 1 << 18  # read at a time
COMPRESSIONS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz"}
TABLES = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
PLAIN = (".txt", ".text")
MAGIC = {"gzip": rb"\x1f\x8b\x08", "bzip2": rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", "xz": rb"\xfd7zXZ\0"}
OLE, ZSTD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"\x28\xb5\x2f\xfd"  # older Office documents; zstd
ARCHIVES = (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07")
DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError)
SAMPLE_BYTES = 4096  # looked at to recognize an encoding
UNICODE_MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"),
)  # fmt: skip
WIDE_ENCODINGS = ("UTF-32LE", "UTF-32BE", "UTF-16LE", "UTF-16BE")


class FileFormat(NamedTuple):
    """How a file is compressed (gzip, bzip2 or xz), and which kind of table it is (csv, tsv or jsonl), or None."""

    compression: str | None
    table: str | None


def format_of(name: str, beginning: bytes) -> FileFormat:
    """Returns the format of a file. The first bytes decide how it is compressed, and if they do not, its name."""
    suffixes = [suffix.lower() for suffix in PurePath(name).suffixes]
    named = COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    if named:
        suffixes.pop()
    found = next((kind for kind, mark in MAGIC.items() if re.match(mark, beginning)), None)
    return FileFormat(found or named, TABLES.get(suffixes[-1]) if suffixes else None)


def is_text_name(name: str) -> bool:
    """Returns whether a name is that of a text file or a table, also of a compressed one."""
    suffixes = [suffix.lower() for suffix in PurePath(name).suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return bool(suffixes) and (suffixes[-1] in PLAIN or suffixes[-1] in TABLES)


def decompressed_blocks(file: IO[bytes], compression: str | None, name: str) -> Iterator[bytes]:
    """Yields the bytes of a file in blocks, decompressed.

    Raises
    ------
    UserError
        If the compressed data are damaged or cut off.
    """
    if compression is None:
        while block := file.read(BLOCK_BYTES):
            yield block
        return
    try:
        opened: IO[bytes] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}[compression](file, "rb")  # type: ignore[operator]
        with opened as decompressed:
            while block := decompressed.read(BLOCK_BYTES):
                yield block
    except DAMAGE as error:
        raise UserError(f"{name} is not a complete {compression} file: {error}") from error


def problem_of_beginning(beginning: bytes, name: str) -> str | None:
    """Returns what is wrong with a file that begins like this, and what to do; None if it may be UTF-8 text."""
    known = (b"%PDF-", b"PK\x03\x04", OLE, b"{\\rtf", ZSTD, *ARCHIVES)
    if not beginning.startswith(known) and beginning[257:262] != b"ustar":
        marked = next((encoding for mark, encoding in UNICODE_MARKS if beginning.startswith(mark)), None)
        encoding = marked or wide_encoding(beginning[:SAMPLE_BYTES])
        return f"is {encoding}, not UTF-8: {conversion(encoding, name)}" if encoding else None
    file, new = quoted_names(name)
    if beginning.startswith(b"%PDF-"):
        return f"is a PDF document, not plain text: extract its text with `pdftotext {file} {new}`"
    if beginning.startswith(b"PK\x03\x04"):
        kind = office_kind(beginning, name)
        if kind is None:
            return f"is a zip archive, not plain text: unpack it with `unzip {file}` and name the text files in it"
        return (
            f"is {kind}, not plain text: save it as plain text in UTF-8, "
            f"for example with `pandoc -t plain --wrap=none {file} -o {new}`"
        )
    if beginning.startswith(OLE):
        return "is a document of an older Word or Excel, not plain text: save it as plain text in UTF-8"
    if beginning.startswith(b"{\\rtf"):
        return f"is a document in RTF, not plain text: convert it with `pandoc -t plain --wrap=none {file} -o {new}`"
    if beginning.startswith(ZSTD):
        new = shlex.quote(name.removesuffix(".zst")) if name.endswith(".zst") else new
        return f"is compressed with zstd: decompress it with `zstd -dc {file} > {new}`"
    if beginning.startswith(ARCHIVES):
        return "is a 7-Zip or RAR archive: unpack it and name the text files in it"
    return f"is a tar archive: unpack it with `tar xf {file}` and name the text files in it"


def office_kind(beginning: bytes, name: str) -> str | None:
    """Returns which document a zip archive is; None if it is an ordinary archive."""
    kinds = {
        ".epub": "an e-book (EPUB)", ".odt": "an OpenDocument text", ".docx": "a Word document",
        ".xlsx": "an Excel table",
    }  # fmt: skip
    marks = {b"application/epub+zip": ".epub", b"application/vnd.oasis.opendocument.text": ".odt",
             b"word/": ".docx", b"xl/": ".xlsx"}  # fmt: skip
    found = next((kind for mark, kind in marks.items() if mark in beginning[:SAMPLE_BYTES]), None)
    return kinds.get(found or PurePath(name).suffix.lower())


def wide_encoding(sample: bytes) -> str | None:
    """Returns the encoding of text with two or four bytes for each character and no mark; None for anything else.

    >>> wide_encoding("A truth, it is.".encode("utf-16-be")), wide_encoding(b"\\x7fELF\\0\\0\\1")
    ('UTF-16BE', None)
    """
    if b"\0" not in sample:
        return None
    shares = {encoding: share_of_common_characters(sample, encoding) for encoding in WIDE_ENCODINGS}
    best = max(WIDE_ENCODINGS, key=lambda encoding: shares[encoding])
    return best if shares[best] else None


def share_of_common_characters(sample: bytes, encoding: str) -> float:
    """Returns the share of ASCII and of Chinese and Japanese punctuation; 0 if the bytes are no text in `encoding`."""
    width = int(encoding[4:6]) // 8
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample[: len(sample) // width * width])
    except UnicodeDecodeError:
        return 0.0
    common = [c for c in text if "\0" < c <= "\x7f" or "\u3000" <= c <= "\u303f" or "\uff00" <= c <= "\uff65"]
    readable = sum(c.isprintable() or c.isspace() for c in text)
    is_plausible = len(common) >= 0.7 * len(text) or any(c in " \n\u3002" for c in common)
    return len(common) / len(text) if text and readable >= 0.98 * len(text) and is_plausible else 0.0


def problem_of_encoding(block: bytes, byte: int, *, follows_utf8: bool, name: str) -> str:
    """Returns what is wrong with a file that is not UTF-8 from a byte on, and what to do.

    Parameters
    ----------
    block
        A part of the file with that byte.
    byte
        Its position in the whole file.
    follows_utf8
        Whether the text before contains valid UTF-8 outside ASCII, so that the file is UTF-8 with a damaged place.
    name
        The file, for the advice.
    """
    what = f"is not UTF-8 at byte {byte}"
    high = [value for value in block if value >= 0x80]
    if follows_utf8:
        file, new = quoted_names(name)
        return (
            f"{what}, although the text before is: the file is damaged there, or its parts have different encodings; "
            f"`iconv -c -f UTF-8 -t UTF-8 {file} > {new}` drops what is not UTF-8"
        )
    length = len(block) - sum(map(block.count, b" \r\n\t"))
    num_letters = sum(value >= 0xA0 for value in high)  # below are punctuation marks of CP1252
    if num_letters > 0.3 * length or not is_decodable(block, "cp1252"):
        return (
            f"{what}: find out its encoding, such as CP1251, GB18030, SHIFT_JIS or MACINTOSH, and "
            f"{conversion('ENCODING', name)}"
        )
    kind = "Windows text (CP1252)" if any(value < 0xA0 for value in high) else "Latin-1 or Windows text (CP1252)"
    return f"{what}, it looks like {kind}: {conversion('CP1252', name)}"


def is_decodable(block: bytes, encoding: str) -> bool:
    """Returns whether the bytes are text in this encoding, which has one byte for each character."""
    try:
        block.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def conversion(encoding: str, name: str) -> str:
    """Returns the advice to convert a file."""
    file, new = quoted_names(name)
    if name == "standard input":
        return f"convert it with `iconv -f {encoding} -t UTF-8` in the pipe"
    if compression := format_of(name, b"").compression:
        program = {"gzip": "gzip", "bzip2": "bzip2", "xz": "xz"}[compression]
        return f"convert it with `{program} -dc {file} | iconv -f {encoding} -t UTF-8 > {new}`"
    return f"convert it with `iconv -f {encoding} -t UTF-8 {file} > {new}`"


def quoted_names(name: str) -> tuple[str, str]:
    """Returns the name of a file and a name for the converted one, as a shell takes them."""
    path = PurePath("FILE" if name == "standard input" else name)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    plain = path.with_suffix("") if suffixes and suffixes[-1] in COMPRESSIONS else path
    kind = plain.suffix if plain.suffix.lower() in TABLES else ".txt"
    new = plain.with_suffix(".utf8" + kind) if plain.suffix.lower() in (*PLAIN, *TABLES) else PurePath(f"{plain}.txt")
    return shlex.quote(str(path)), shlex.quote(str(new))
