"""Files to a corpus: a vocabulary, and ids for training, validation and test, all on disk.

>>> import tempfile, pathlib, os
>>> with tempfile.TemporaryDirectory() as folder:
...     path = pathlib.Path(folder, "text.txt")
...     _ = path.write_text("To be. " * 38 + "Or not. " * 2)
...     corpus = load_corpus(CorpusConfig(train=(str(path),)), TextConfig())
>>> corpus.vocabulary.words
('.', 'To', 'be')
>>> corpus.train[:4].tolist(), corpus.test.tolist()
([3, 4, 2, 1], [0, 0, 2, 1, 0, 0, 2, 1])
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from fractions import Fraction
from math import floor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import CorpusConfig, TextConfig
from theano_rnn.text.corpus_cache import BLOCK_IDS, IdFile
from theano_rnn.text.reading import read_sentences
from theano_rnn.text.sources import Source
from theano_rnn.text.tokenizing import Progress, TokenizedFile, tokenize, tokenize_file
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.vocabulary_extension import with_new_words

__all__ = [
    "Corpus", "Progress", "Source", "TokenizedFile", "encode", "encode_file", "load_corpus", "read_sentences",
    "tokenize_file",
]  # fmt: skip

Ids = npt.NDArray[np.int32]
Part = tuple[TokenizedFile, int, int]  # a file, and where in its ids the part starts and ends


class Corpus(NamedTuple):
    """What a model learns from: a vocabulary and ids, int32, shape (tokens,), `eos_id` at each sentence's end.

    `fingerprint` is the SHA-256 of all of them, hexadecimal: it changes if and only if one of them does.
    """

    vocabulary: Vocabulary
    train: Ids
    valid: Ids
    test: Ids | None
    fingerprint: str


def load_corpus(
    corpus: CorpusConfig,
    text: TextConfig,
    *,
    known: Vocabulary | None = None,
    add_words: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Corpus:
    """The vocabulary and the ids of the files that `corpus` names, cut as it says.

    Of the n sentences of each training file (with `unit="char"`: characters) the first `floor(n * (1 - valid_fraction
    - test_fraction))` are for training, those up to `floor(n * (1 - test_fraction))` for validation, the rest for the
    test. The vocabulary knows the training part only; or it is `known`, and `add_words` of that part at most.
    `progress` starts again with each file.

    Raises
    ------
    OSError, UserError
        As `tokenize_file`.
    UserError
        No training file is named, a part is empty, or there are fewer than two tokens to train on.
    """
    if not corpus.train:
        raise UserError("train must name at least one file")
    read = {path: tokenize_file(path, text, workers=workers, progress=progress) for path in named_files(corpus)}
    train, valid, test = parts(corpus, text, [read[path] for path in corpus.train])
    if corpus.valid is not None:
        valid = [whole(read[corpus.valid])]
    if corpus.test is not None:
        test = [whole(read[corpus.test])]
    types, counts = count(train)
    if counts.sum() < 2:
        raise UserError(f"the training part has {counts.sum()} tokens: give more text, or smaller fractions")
    if not any(end > start for _, start, end in valid):
        raise UserError(
            f"the validation part is empty (valid_fraction {corpus.valid_fraction:g}): "
            "give more text, a larger --valid-fraction, or a file with --valid"
        )
    if known is None:
        vocabulary = Vocabulary.from_counts(types, counts, corpus.vocab_size, corpus.min_count, text)
    else:
        vocabulary = with_new_words(known, types, counts, add_words)
    digest = hashlib.sha256(json.dumps(vocabulary.to_json(), sort_keys=True).encode())
    arrays = []
    for name, these in (("train", train), ("valid", valid), ("test", test)):
        arrays.append(encode_parts(these, vocabulary, digest))
        digest.update(f"{name} {arrays[-1].size} ".encode())
    return Corpus(vocabulary, arrays[0], arrays[1], arrays[2] if test else None, digest.hexdigest())


def encode_file(
    path: str | os.PathLike[str],
    vocabulary: Vocabulary,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Ids:
    """The ids of a whole file under a vocabulary, int32, shape (tokens,), on disk; `eos_id` ends each sentence.

    Raises
    ------
    OSError, UserError
        As `tokenize_file`.
    """
    with Source(path) as source:
        return encode(source, vocabulary, workers=workers, progress=progress)


def encode(
    source: Source, vocabulary: Vocabulary, *, workers: int | None = None, progress: Progress | None = None
) -> Ids:
    """`encode_file` of an open file."""
    tokenized = tokenize(source, vocabulary.text, workers=workers, progress=progress)
    return encode_parts([whole(tokenized)], vocabulary, hashlib.sha256())


def named_files(corpus: CorpusConfig) -> list[str]:
    """All files, each once."""
    given = [*corpus.train, *(path for path in (corpus.valid, corpus.test) if path is not None)]
    if given.count("-") > 1:
        raise UserError("standard input can be read once only, - is given twice")
    return list(dict.fromkeys(given))


def parts(corpus: CorpusConfig, text: TextConfig, files: Sequence[TokenizedFile]) -> tuple[list[Part], ...]:
    """What of each training file is for training, validation and test."""
    test_fraction = Fraction(str(corpus.test_fraction)) if corpus.valid is None and corpus.test is None else Fraction(0)
    valid_fraction = Fraction(str(corpus.valid_fraction)) if corpus.valid is None else Fraction(0)
    if valid_fraction + test_fraction >= 1:
        raise UserError(
            f"valid_fraction and test_fraction leave nothing to train on: "
            f"{corpus.valid_fraction:g} + {corpus.test_fraction:g} must be less than 1"
        )
    train: list[Part] = []
    valid: list[Part] = []
    test: list[Part] = []
    for file in files:
        first = cut(file, text, 1 - valid_fraction - test_fraction)
        second = cut(file, text, 1 - test_fraction)
        train.append((file, 0, first))
        valid.append((file, first, second))
        if test_fraction:
            test.append((file, second, file.ids.size))
    return train, valid, test


def cut(file: TokenizedFile, text: TextConfig, share: Fraction) -> int:
    """Where the first `share` of a file's sentences (characters) ends; exact, however the share is written."""
    if text.unit == "char":
        return floor(file.ids.size * share)
    blocks = range(0, file.ids.size, BLOCK_IDS)
    ends = np.concatenate([start + np.flatnonzero(file.ids[start : start + BLOCK_IDS] == 0) for start in blocks])
    num_sentences = floor(ends.size * share)
    return int(ends[num_sentences - 1]) + 1 if num_sentences else 0


def whole(file: TokenizedFile) -> Part:
    """All of a file."""
    return file, 0, file.ids.size


def count(train: Sequence[Part]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """The types of the files, and how often each occurs in the parts."""
    numbers: dict[str, int] = {}
    total = np.zeros(0, np.int64)
    for (ids, types), start, end in train:
        counts = np.zeros(len(types), np.int64)
        for block in range(start, end, BLOCK_IDS):
            counts += np.bincount(ids[block : min(block + BLOCK_IDS, end)], minlength=len(types))
        places = np.array([numbers.setdefault(word, len(numbers)) for word in types[1:]], np.int64)
        total = np.concatenate([total, np.zeros(len(numbers) - total.size, np.int64)])
        total[places] += counts[1:]
    return list(numbers), total


def encode_parts(these: Sequence[Part], vocabulary: Vocabulary, digest: hashlib._Hash) -> Ids:
    """The ids of the parts, one after another, under a vocabulary; `digest` sees them too."""
    encoded = IdFile()
    for (ids, types), start, end in these:
        new_ids = np.array([vocabulary.eos_id, *map(vocabulary.token_to_id, types[1:])], np.int32)
        for block in range(start, end, BLOCK_IDS):
            piece = new_ids[ids[block : min(block + BLOCK_IDS, end)]]
            digest.update(piece)
            encoded.append(piece)
    return encoded.array()
