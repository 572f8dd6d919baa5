"""Files that are not UTF-8 text: each kind is named, with what to do; compressed ones are read."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.text import file_formats
from theano_rnn.text.file_formats import format_of, is_text_name
from theano_rnn.text.sources import Source

TEXT = "It is a truth, universally acknowledged.\nNo?\n"
CHINESE = "我们走吧。\n你好。\n"


def read(path):
    with Source(path) as source:
        return "".join(source.blocks(TextConfig()))


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(content, name="a.txt"):
        (tmp_path / name).write_bytes(content)
        return name

    return write


def zipped(name, content="hello"):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(name, content)
    return data.getvalue()


def tarred():
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))
    return data.getvalue()


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("name", ["a.txt", "a", "a.txt.gz", "A.TXT.BZ2", "a.csv.xz"])
def test_compressed_text_is_read_whatever_its_name(make, pack, name):
    text = "body\nyes\n" if "csv" in name else TEXT
    assert read(make(pack(text.encode()), name)) == ("yes\n\n" if "csv" in name else TEXT)


def test_a_text_that_begins_like_a_compressed_file_is_text(make):
    assert read(make(b"BZh4 is a mark.\n")) == "BZh4 is a mark.\n"


def test_endings_may_be_in_capitals():
    assert format_of("A.CSV.GZ", b"") == ("gzip", "csv")
    assert format_of("A.JSONL", b"") == (None, "jsonl")
    assert format_of("dir.csv/a.gz", b"") == ("gzip", None)
    assert format_of("Mr. A. novel", b"") == (None, None)
    assert [is_text_name(name) for name in ("A.TXT", "a.tsv.Gz", "a.gz", "a.md", "a", "a.txt.zst")] == [
        True, True, False, False, False, False]  # fmt: skip


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress, gzip.compress])
def test_a_compressed_file_that_is_cut_is_an_error(make, pack):
    with pytest.raises(UserError, match=r"a.txt is not a complete (gzip|bzip2|xz) file"):
        read(make(pack(TEXT.encode() * 99)[:-9]))


@pytest.mark.parametrize("name", ["a.bz2", "a.xz"])
def test_a_name_that_promises_compression_is_believed(make, name):
    with pytest.raises(UserError, match=f"{name} is not a complete"):
        read(make(TEXT.encode(), name))


@pytest.mark.parametrize("text", [TEXT, CHINESE], ids=["English", "Chinese"])
@pytest.mark.parametrize("encoding", ["UTF-16LE", "UTF-16BE", "UTF-32LE", "UTF-32BE"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["bare", "marked"])
def test_wide_encodings_are_named(make, text, encoding, mark):
    expected = encoding[:6] if mark else encoding
    with pytest.raises(UserError) as caught:
        read(make((mark + text).encode(encoding)))
    assert str(caught.value) == (
        f"a.txt is {expected}, not UTF-8: convert it with `iconv -f {expected} -t UTF-8 a.txt > a.utf8.txt`"
    )


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("“She’s” – in a café".encode("cp1252"), "a.txt",
         "is not UTF-8 at byte 0, it looks like Windows text (CP1252): convert it with "
         "`iconv -f CP1252 -t UTF-8 a.txt > a.utf8.txt`"),
        ("a café in winter".encode("latin-1"), "a.txt", "not UTF-8 at byte 5, it looks like Latin-1 or Windows text"),
        ("a café in winter".encode("latin-1"), "my book", "`iconv -f CP1252 -t UTF-8 'my book' > 'my book.txt'`"),
        ("a café in winter".encode("latin-1"), "a.csv", "a.csv > a.utf8.csv`"),
        (gzip.compress("a café in winter".encode("latin-1"), mtime=0), "a.txt.gz",
         "convert it with `gzip -dc a.txt.gz | iconv -f CP1252 -t UTF-8 > a.utf8.txt`"),
        ("Привет, мир".encode("cp1251"), "a.txt", "find out its encoding, such as CP1251"),
        (CHINESE.encode("gb18030"), "a.txt", "find out its encoding"),
        ("café olé".encode() + b"\xff more", "a.txt", "is not UTF-8 at byte 10, although the text before is: the file "
         "is dam"),
        (b"%PDF-1.7\n\0", "a.pdf", "is a PDF document, not plain text: extract its text with `pdftotext a.pdf"),
        (gzip.compress(b"%PDF-1.7\n\0", mtime=0), "a.gz", "is a PDF document"),
        (zipped("word/document.xml"), "a.docx", "is a Word document, not plain text: save it as plain text in UTF-8"),
        (zipped("word/document.xml"), "a.txt", "is a Word document"),
        (zipped("mimetype", "application/epub+zip"), "a.epub", "an e-book (EPUB), not plain text: save it as plain"),
        (zipped("mimetype", "application/vnd.oasis.opendocument.text"), "a.odt", "is an OpenDocument text"),
        (zipped("xl/workbook.xml"), "a.xlsx", "is an Excel table"),
        (zipped("a.txt"), "a.zip", "is a zip archive, not plain text: unpack it with `unzip a.zip`"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "a.doc", "is a document of an older Word or Excel"),
        (b"{\\rtf1\\ansi hello}", "a.rtf", "is a document in RTF"),
        (b"\x28\xb5\x2f\xfd\0abc", "a.txt.zst",
         "is compressed with zstd: decompress it with `zstd -dc a.txt.zst > a.txt`"),
        (b"7z\xbc\xaf\x27\x1c\0", "a.7z", "is a 7-Zip or RAR archive"),
        (tarred(), "a.tar", "is a tar archive: unpack it with `tar xf a.tar`"),
        (gzip.compress(tarred(), mtime=0), "a.tar.gz", "is a tar archive: unpack it with `tar xf a.tar.gz`"),
        (b"\x7fELF\0\0\1", "a.txt", "is not text: it has a zero byte at byte 4"),
    ],
)  # fmt: skip
def test_each_kind_is_named_with_what_to_do(make, content, name, message):
    with pytest.raises(UserError) as caught:
        read(make(content, name))
    assert message in str(caught.value) and str(caught.value).startswith(f"{name} ")
    assert "\n" not in str(caught.value)


def test_a_mark_is_found_over_blocks(make, monkeypatch):
    monkeypatch.setattr(file_formats, "BLOCK_BYTES", 5)
    with pytest.raises(UserError, match="not UTF-8 at byte 7, although the text before is"):
        read(make("a é bc".encode() + b"\xff"))
    with pytest.raises(UserError, match="not UTF-8 at byte 6, it looks like Latin-1"):
        read(make(b"\xef\xbb\xbfa b\xe9 cde fgh"))
