"""Chapter 1: from text files to a corpus, which is a vocabulary and the ids of training, validation and test parts.

A network reads numbers, not text. `load_corpus` makes them in six steps:

1. File to characters: open, decompress, decode, check and normalize each file (`text/sources.py`; of a table only one
   column, `text/tables.py`).
2. Characters to sentences: split paragraphs with NLTK's Punkt (`text/reading.py` streams the text, `text/words.py`
   finds the sentences).
3. Sentences to tokens: NLTK's word tokenizer (`text/words.py`). Several processes share steps 2 and 3, and a cache on
   disk keeps their result for the next run (`text/tokenizing.py`). Until the vocabulary is known, each file numbers its
   own distinct tokens, with 0 for the end of a sentence and 1 for the end of a sentence that also ends its paragraph.
4. Tokens to parts: split each training file into training, validation and test (here).
5. Training part to `Vocabulary`: count its words and keep the most frequent ones (`text/vocabulary.py`), or extend the
   vocabulary of an existing model (`text/vocabulary_extension.py`).
6. Tokens to ids: look each file's distinct tokens up in the vocabulary (`text/type_ids.py`). The result is a `Corpus`.

With `unit="subword"`, the tokens of step 3 are words, and step 5 learns the pieces that step 6 turns them into
(`text/subwords.py`).

Texts may be larger than memory, so ids stay on disk and are mapped into memory when they are read.

>>> import tempfile, pathlib, os
>>> with tempfile.TemporaryDirectory() as folder:
...     path = pathlib.Path(folder, "text.txt")
...     _ = path.write_text("To be. " * 38 + "Or not. " * 2)
...     corpus = load_corpus(CorpusConfig(train=(str(path),)), TextConfig())
>>> corpus.vocabulary.words
('.', 'To', 'be')
>>> corpus.train[:4].tolist(), corpus.test.tolist()  # 0 is an unknown word, 1 the end of a sentence
([3, 4, 2, 1], [0, 0, 2, 1, 0, 0, 2, 1])
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from fractions import Fraction
from math import floor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import CorpusConfig, TextConfig
from theano_rnn.text.advice import Advice
from theano_rnn.text.corpus_cache import BLOCK_IDS, IdFile
from theano_rnn.text.folders import expand_folders
from theano_rnn.text.paragraphs import paragraph_ends
from theano_rnn.text.sources import Source, size_of
from theano_rnn.text.tokenizing import NUM_ENDS, Progress, TokenizedFile, tokenize_source, worker_pool
from theano_rnn.text.type_ids import TypeIds
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.vocabulary_extension import extend_vocabulary, new_vocabulary

__all__ = ["Corpus", "encode_file", "encode_source", "load_corpus"]

Ids = npt.NDArray[np.int32]


class Corpus(NamedTuple):
    """A vocabulary and the ids of each part, int32, shape (tokens,); `eos_id` ends each sentence.

    `fingerprint` is the SHA-256 of all of them, hexadecimal: it changes if and only if one of them changes. `notes` are
    lines of advice for the user, if the text does not seem to suit the settings.
    """

    vocabulary: Vocabulary
    train: Ids
    valid: Ids
    test: Ids | None
    fingerprint: str
    notes: tuple[str, ...] = ()


class FilePart(NamedTuple):
    """The ids of a tokenized file from position `start` up to, but not including, `end`."""

    file: TokenizedFile
    start: int
    end: int


def load_corpus(
    corpus: CorpusConfig,
    text: TextConfig,
    *,
    vocabulary: Vocabulary | None = None,
    add_words: int = 0,
    num_workers: int | None = None,
    progress: Progress | None = None,
) -> Corpus:
    """Returns the vocabulary and the ids of the files that `corpus` names.

    A training file of n sentences (with `unit="char"`: n characters) is split in order: training gets the first
    `floor(n * (1 - valid_fraction - test_fraction))`, validation those up to `floor(n * (1 - test_fraction))`, the test
    the rest.

    Parameters
    ----------
    corpus
        Files, fractions, and the size of the vocabulary.
    text
        How text becomes tokens.
    vocabulary
        The vocabulary of an existing model. If None, one is built, from the training part only.
    add_words
        Extend `vocabulary` by at most this many new words of the training part.
    num_workers, progress
        As in `tokenize_file`; `progress` starts again with each file.

    Raises
    ------
    OSError, UserError
        As in `tokenize_file`.
    UserError
        If no training file is named, the validation part is empty, or the training part has fewer than two tokens.

    Notes
    -----
    The name of a folder stands for its text files. No advice on settings is given if there is a `vocabulary`, because
    its settings cannot be changed.
    """
    if not corpus.train:
        raise UserError("train must name at least one file")
    names = [expand_folders(paths) for paths in (corpus.train, corpus.valid, corpus.test)]
    files: dict[str, TokenizedFile] = {}
    advice, training_names = Advice(text), set(names[0])
    paths = distinct_names(names)
    with worker_pool(text, sum(map(size_of, paths)), num_workers) as pool:
        for path in paths:
            with Source(path, corpus.column) as source:
                files[path] = tokenize_source(source, text, pool, progress)
                if path in training_names:
                    advice.look_at(source, files[path])
    train, valid, test = split_files(corpus, text, [files[path] for path in names[0]])
    valid = [whole_file(files[path]) for path in names[1]] or valid
    test = [whole_file(files[path]) for path in names[2]] or test
    types, counts = count_types(train)
    has_valid = any(end > start for _, start, end in valid)
    advice.check_sizes(int(counts.sum()), has_valid=has_valid, corpus=corpus)
    is_new = vocabulary is None
    if vocabulary is None:
        vocabulary = new_vocabulary(types, counts, corpus, text)
    else:
        vocabulary = extend_vocabulary(vocabulary, types, counts, add_words)
    if vocabulary.paragraph_ends is None:
        vocabulary = dataclasses.replace(vocabulary, paragraph_ends=paragraph_ends(train, text.unit))
    digest = hashlib.sha256(json.dumps(stable_description(vocabulary), sort_keys=True).encode())
    arrays: list[Ids] = []
    lookups: dict[int, TypeIds] = {}
    for name, parts in (("train", train), ("valid", valid), ("test", test)):
        arrays.append(encode_parts(parts, vocabulary, digest, lookups))
        digest.update(f"{name} {arrays[-1].size} ".encode())
    notes = advice.notes() if is_new else tuple(advice.formats)
    return Corpus(vocabulary, arrays[0], arrays[1], arrays[2] if test else None, digest.hexdigest(), notes)


def stable_description(vocabulary: Vocabulary) -> dict[str, Any]:
    """Returns the parts of a vocabulary that the fingerprint covers: its words, and its settings, without `rules` if 1.

    With `rules`, the fingerprint of a run of version 0.2.0 or before would differ, so it could not be resumed.
    """
    description = vocabulary.to_json()
    description.pop("paragraph_ends", None)
    if vocabulary.text.rules == 1:
        del description["text"]["rules"]
    return description


def distinct_names(groups: Sequence[Sequence[str]]) -> list[str]:
    """Returns the names of all files to read, each once.

    Raises
    ------
    UserError
        If standard input is named twice. It can be read only once.
    """
    names = [name for group in groups for name in group]
    if names.count("-") > 1:
        raise UserError("standard input can be read only once, but - is given twice: name a file instead")
    return list(dict.fromkeys(names))


def split_files(corpus: CorpusConfig, text: TextConfig, files: Sequence[TokenizedFile]) -> tuple[list[FilePart], ...]:
    """Split each training file into its training, validation and test parts.

    Raises
    ------
    UserError
        If the fractions leave nothing to train on.
    """
    test_fraction = Fraction(str(corpus.test_fraction)) if not corpus.valid and not corpus.test else Fraction(0)
    valid_fraction = Fraction(str(corpus.valid_fraction)) if not corpus.valid else Fraction(0)
    if valid_fraction + test_fraction >= 1:
        raise UserError(
            f"valid_fraction + test_fraction must be less than 1, got {corpus.valid_fraction:g} + "
            f"{corpus.test_fraction:g}: lower one of them, to leave text to train on"
        )
    train: list[FilePart] = []
    valid: list[FilePart] = []
    test: list[FilePart] = []
    for file in files:
        train_end = split_position(file, text, 1 - valid_fraction - test_fraction)
        valid_end = split_position(file, text, 1 - test_fraction)
        train.append(FilePart(file, 0, train_end))
        valid.append(FilePart(file, train_end, valid_end))
        if test_fraction:
            test.append(FilePart(file, valid_end, file.ids.size))
    return train, valid, test


def split_position(file: TokenizedFile, text: TextConfig, fraction: Fraction) -> int:
    """Returns the number of ids in the first `fraction` of a file's sentences (with `unit="char"`: characters).

    A `Fraction` keeps this exact: with floats, 1 - 0.05 - 0.05 might round to one sentence fewer.
    """
    if text.unit == "char":
        return floor(file.ids.size * fraction)
    blocks = range(0, file.ids.size, BLOCK_IDS)
    ends = np.concatenate([start + np.flatnonzero(file.ids[start : start + BLOCK_IDS] < NUM_ENDS) for start in blocks])
    num_sentences = floor(ends.size * fraction)
    return int(ends[num_sentences - 1]) + 1 if num_sentences else 0


def whole_file(file: TokenizedFile) -> FilePart:
    """Returns the part that covers all ids of a file."""
    return FilePart(file, 0, file.ids.size)


def count_types(parts: Sequence[FilePart]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Returns the types (distinct tokens) of the files, and how often each occurs in `parts`."""
    numbers: dict[str, int] = {}
    total = np.zeros(0, np.int64)
    for (ids, types), start, end in parts:
        counts = np.zeros(len(types), np.int64)
        for block in range(start, end, BLOCK_IDS):
            counts += np.bincount(ids[block : min(block + BLOCK_IDS, end)], minlength=len(types))
        positions = np.array([numbers.setdefault(word, len(numbers)) for word in types[NUM_ENDS:]], np.int64)
        total = np.concatenate([total, np.zeros(len(numbers) - total.size, np.int64)])
        total[positions] += counts[NUM_ENDS:]
    return list(numbers), total


def encode_parts(
    parts: Sequence[FilePart], vocabulary: Vocabulary, digest: hashlib._Hash, lookups: dict[int, TypeIds]
) -> Ids:
    """Returns the vocabulary's ids of the parts, concatenated; also adds them to `digest`.

    `lookups` keeps the ids of the types of each file, which parts have in common.
    """
    encoded = IdFile()
    for (ids, types), start, end in parts:
        lookup = lookups.get(id(types)) or lookups.setdefault(id(types), TypeIds(vocabulary, types))
        for block_ids in lookup.blocks(ids[start:end]):
            digest.update(block_ids)
            encoded.append(block_ids)
    return encoded.array()


def encode_file(
    path: str | os.PathLike[str],
    vocabulary: Vocabulary,
    *,
    column: str | None = None,
    num_workers: int | None = None,
    progress: Progress | None = None,
) -> Ids:
    """Returns the ids of a file under an existing vocabulary, int32, shape (tokens,), mapped from disk.

    `eos_id` ends each sentence.

    Raises
    ------
    OSError, UserError
        As in `tokenize_file`.
    """
    with Source(path, column) as source:
        return encode_source(source, vocabulary, num_workers=num_workers, progress=progress)


def encode_source(
    source: Source, vocabulary: Vocabulary, *, num_workers: int | None = None, progress: Progress | None = None
) -> Ids:
    """Same as `encode_file`, for a file that is already open."""
    with worker_pool(vocabulary.text, source.num_bytes, num_workers) as pool:
        tokenized = tokenize_source(source, vocabulary.text, pool, progress)
    return encode_parts([whole_file(tokenized)], vocabulary, hashlib.sha256(), {})
