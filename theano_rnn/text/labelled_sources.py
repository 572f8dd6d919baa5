"""Labelled texts from files: tables, lines of ``label TAB text``, folders named like labels, or one file per label.

For the tokenizer, a source of labelled texts is a text in which each of them is one paragraph (of characters: one
line). So the tokenizer's cache and its processes serve labelled texts, too.

>>> import tempfile, pathlib
>>> with tempfile.TemporaryDirectory() as folder:
...     path = pathlib.Path(folder, "reviews.txt")
...     _ = path.write_text("pos\\tA charming film.\\nneg\\tDull.\\n")
...     with LabelledFile(str(path)) as source:
...         [(each.label, each.text) for each in source.labelled_texts(TextConfig())]
[('pos', 'A charming film.'), ('neg', 'Dull.')]
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.folders import label_folders, text_files
from theano_rnn.text.labelled_tables import LabelledTable, LabelledText
from theano_rnn.text.normalizing import normalize, normalized_blocks
from theano_rnn.text.reading import sentences_of
from theano_rnn.text.sources import Source
from theano_rnn.text.tables import split_lines
from theano_rnn.text.tokenizing import TokenizedSource

HEADER = ("label", "text")


class LabelledSource(TokenizedSource, Protocol):
    """Labelled texts that can be read more than once, and that the tokenizer can read as one text."""

    def __enter__(self) -> Any: ...
    def __exit__(self, *_: object) -> None: ...
    def labelled_texts(self, config: TextConfig) -> Iterator[LabelledText]: ...


class LabelledFile(Source):
    """A file of labelled texts: a table, or lines with a label, a tab and a text.

    Parameters
    ----------
    path, column
        As of `Source`.
    label_column
        The column of a table with the labels, as of `LabelledTable`.
    label
        The label of every sentence of the file, which then is plain text. None: the labels are in the file.
    """

    def __init__(
        self, path: str, column: str | None = None, label_column: str | None = None, *, label: str | None = None
    ) -> None:
        super().__init__(path, column)
        self.label_column, self.label = label_column, label

    def __enter__(self) -> LabelledFile:
        return self

    def digest(self) -> str:
        """Returns the SHA-256 of the file and of what decides which texts it has, hexadecimal."""
        return hashlib.sha256(repr([super().digest(), self.label_column, self.label]).encode()).hexdigest()

    def labelled_texts(self, config: TextConfig) -> Iterator[LabelledText]:
        """Yields the texts, normalized; a text may be blank.

        Raises
        ------
        UserError
            As in `Source.blocks` and `LabelledTable.labelled_texts`; or if a line has no label.
        """
        self.file.seek(0)
        blocks = normalized_blocks(self.decoded_blocks(), config)
        if self.label is not None:
            for number, sentence in enumerate(sentences_of(blocks, config), start=1):
                if sentence.strip():  # of characters, blank lines are sentences
                    yield LabelledText(number, self.label, sentence)
        elif self.format.table is not None:
            table = LabelledTable(self.name, self.format.table, self.column, self.label_column)
            for found in table.labelled_texts(blocks):
                yield found._replace(text=normalize(found.text, config))  # JSON may spell characters as \u0301
        else:
            yield from labelled_lines(blocks, self.name)

    def blocks(self, config: TextConfig) -> Iterator[str]:
        """Yields the texts for the tokenizer; see `paragraphs`."""
        return paragraphs(self.labelled_texts(config), config)

    def has_labels(self, config: TextConfig) -> bool:
        """Returns whether the file is a table, or its first line has a tab."""
        if self.format.table is not None:
            return True
        self.file.seek(0)
        lines = split_lines(self.decoded_blocks())
        return "\t" in next((line for line in lines if line.strip()), "")


class LabelledFolders:
    """Folders named like labels, such as ``train/pos`` and ``train/neg``; each file is one text.

    Parameters
    ----------
    path
        The folder that has these folders.
    """

    def __init__(self, path: str) -> None:
        self.name = path
        self.files = [(folder.name, name) for folder in label_folders(path) for name in text_files(str(folder))[0]]
        self.states = [self.state_of(name) for _, name in self.files]
        self.num_bytes = sum(size for size, _ in self.states)
        self.num_done = 0

    def state_of(self, name: str) -> tuple[int, int]:
        """Returns the size of a file and the time of its last change."""
        found = os.stat(name)
        return found.st_size, found.st_mtime_ns

    def __enter__(self) -> LabelledFolders:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def num_bytes_read(self) -> int:
        """Returns how many bytes of the files the current pass has read."""
        return self.num_done

    def has_changed(self) -> bool:
        """Returns whether a file has been written to since the folders were opened."""
        return self.states != [self.state_of(name) for _, name in self.files]

    def digest(self) -> str:
        """Returns the SHA-256 of all files and their labels, hexadecimal."""
        digest = hashlib.sha256()
        for label, name in self.files:
            digest.update(repr([label, hashlib.sha256(Path(name).read_bytes()).hexdigest()]).encode())
        return digest.hexdigest()

    def labelled_texts(self, config: TextConfig) -> Iterator[LabelledText]:
        """Yields the text of each file, normalized, with its number in the place of a line."""
        self.num_done = 0
        for number, (label, name) in enumerate(self.files, start=1):
            size, _ = self.states[number - 1]
            text = ""
            if size:
                with Source(name) as source:
                    source.file.seek(0)  # its first bytes were read to find out its format
                    text = "".join(normalized_blocks(source.decoded_blocks(), config))
            self.num_done += size
            yield LabelledText(number, label, text)

    def blocks(self, config: TextConfig) -> Iterator[str]:
        """Yields the texts for the tokenizer; see `paragraphs`."""
        return paragraphs(self.labelled_texts(config), config)


def labelled_lines(blocks: Iterator[str], name: str) -> Iterator[LabelledText]:
    """Yields the lines of a text, each a label, a tab and a text; blank lines are left out."""
    is_first = True
    for number, line in enumerate(split_lines(blocks), start=1):
        if not line.strip():
            continue
        label, tab, text = line.rstrip("\n").partition("\t")
        label = label.strip()
        is_header, is_first = is_first and (label.lower(), text.strip().lower()) == HEADER, False
        if is_header:
            continue
        if not tab or not label:
            raise UserError(f"{name} line {number}: each line must be a label, a tab and a text: add them, or give a "
                            "table with a column of labels (.csv, .tsv, .jsonl)")  # fmt: skip
        yield LabelledText(number, label, text)


def paragraphs(texts: Iterator[LabelledText], config: TextConfig) -> Iterator[str]:
    """Yields the texts that are not blank, each as one paragraph, or as one line if lines are the unit of the text."""
    end = "\n" if config.unit == "char" or config.sentences == "line" else "\n\n"
    for _, _, text in texts:
        if text.strip():
            yield one_line(text, config) + end


def one_line(text: str, config: TextConfig) -> str:
    """Returns a text without line breaks, as a classifier reads it.

    >>> one_line(" A  charming\\nfilm. ", TextConfig())
    'A charming film.'
    """
    return " ".join(text.split()) if config.has_sentences else text.replace("\n", " ")


def labelled_sources(
    paths: Sequence[str], config: TextConfig, column: str | None = None, label_column: str | None = None
) -> list[LabelledSource]:
    """Returns the sources that the paths name: files, folders of labelled files, and folders named like labels.

    Several files of plain text are one label each: the name of the file is the label of its sentences.

    Raises
    ------
    OSError, UserError
        As in `Source`, and if a folder has no text files.
    """
    sources: list[LabelledSource] = []
    plain: list[str] = []
    with contextlib.ExitStack() as opened:  # closes the files if one of them cannot be used
        for path in paths:
            if os.path.isdir(path) and label_folders(path):
                sources.append(LabelledFolders(path))
                continue
            for name in text_files(path)[0] if os.path.isdir(path) else [path]:
                source = opened.enter_context(LabelledFile(name, column, label_column))
                if not source.has_labels(config):
                    source.label = label_of(name)
                    plain.append(source.name)
                sources.append(source)
        check_plain(plain, sources)
        opened.pop_all()
    return sources


def check_plain(plain: Sequence[str], sources: Sequence[LabelledSource]) -> None:
    """Raises `UserError` if the files of plain text, whose names are labels, are not all files, or only one."""
    if plain and (len(plain) < len(sources) or len(sources) == 1):
        raise UserError(f"{plain[0]} has no labels: each line must be a label, a tab and a text; or give a table with "
                        "a column of labels (.csv, .tsv, .jsonl), a folder with one folder of texts for each label, or "
                        "several files, each with the texts of one label")  # fmt: skip


def label_of(path: str) -> str:
    """Returns the label of the sentences of a plain file: its name without endings and without underscores.

    >>> label_of("data/sense_and_sensibility.txt.gz")
    'sense and sensibility'
    """
    name = Path(path).name
    return (name.partition(".")[0] or name).replace("_", " ")
