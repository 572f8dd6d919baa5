"""Tokenize a file: stream it through several processes and cache the result on disk for the next run.

A *type* is a distinct token. Ids here number the types of one file, in order of first appearance, from 2; 0 ends a
sentence, 1 ends a sentence and its paragraph. So the result depends neither on the number of processes nor on the
chunks that they get.
`theano_rnn.preprocessing` maps these ids to those of a vocabulary.

>>> import tempfile, pathlib
>>> with tempfile.TemporaryDirectory() as folder:
...     path = pathlib.Path(folder, "text.txt")
...     _ = path.write_text("To be.\\n\\nNot to be.")
...     tokenized = tokenize_file(path, TextConfig())
>>> tokenized.types, tokenized.ids.tolist()
(['</s>', '</s>', 'To', 'be', '.', 'Not', 'to'], [2, 3, 4, 1, 5, 6, 3, 4, 1])
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from theano_rnn.settings.base import UserError, to_mapping
from theano_rnn.settings.text import TextConfig
from theano_rnn.text import corpus_cache
from theano_rnn.text.reading import CHUNK_CHARACTERS, chunks
from theano_rnn.text.sources import Source
from theano_rnn.text.words import EOS, tokenization_fingerprint, word_tokenizer
from theano_rnn.text.worker_processes import ChunkTokens, WorkerPool

FORMAT_VERSION = 3  # of a cache entry: raise it when the same text gives other ids
NUM_ENDS = 2  # ids below this end a sentence
MIN_PARALLEL_BYTES = 1 << 20  # fewer are tokenized sooner than another process can start
MAX_WORKERS = 6
PROGRESS_SECONDS = 0.1

Progress = Callable[[int, int], None]  # called with the bytes done and the bytes in total


class TokenizedSource(Protocol):
    """What is tokenized: a text that comes in blocks, such as a `Source`."""

    name: str
    num_bytes: int

    def num_bytes_read(self) -> int: ...
    def has_changed(self) -> bool: ...
    def digest(self) -> str: ...
    def blocks(self, config: TextConfig) -> Iterator[str]: ...


class TokenizedFile(NamedTuple):
    """The ids of a file's tokens, int32, shape (tokens,), and the type of each id.

    Ids 0 and 1 are both `</s>`, the end of a sentence; with 1, its paragraph ends, too.
    """

    ids: npt.NDArray[np.int32]
    types: list[str]


def tokenize_file(
    path: str | os.PathLike[str],
    text: TextConfig,
    *,
    column: str | None = None,
    num_workers: int | None = None,
    progress: Progress | None = None,
) -> TokenizedFile:
    """Returns the ids of a file, mapped from disk, and its types, in memory.

    Parameters
    ----------
    path
        UTF-8 text or a table (.csv, .tsv, .jsonl), plain or compressed; - for standard input.
    text
        How text becomes tokens.
    column
        The column of a table with the text, as in `Source`.
    num_workers
        Additional processes; by default one per processor, at most 6, and none for less than 1 MiB.
    progress
        Called at most about ten times a second with the bytes done and the bytes in total.

    Raises
    ------
    OSError, UserError
        As in `Source`, `Source.blocks` and `sentence_splitter`.
    UserError
        If the file changes while it is read.
    """
    with Source(path, column) as source, worker_pool(text, source.num_bytes, num_workers) as pool:
        return tokenize_source(source, text, pool, progress)


def tokenize_source(
    source: TokenizedSource, text: TextConfig, pool: WorkerPool, progress: Progress | None = None
) -> TokenizedFile:
    """Same as `tokenize_file`, for a file that is already open, with processes that other files use too."""
    settings = [FORMAT_VERSION, CHUNK_CHARACTERS, source.digest(), tokenization_fingerprint(text), to_mapping(text)]
    key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()
    if (cached := corpus_cache.load(key)) is not None:
        return TokenizedFile(*cached)
    blocks = report_progress(source, source.blocks(text), progress)
    if text.unit == "char":
        tokenized = tokenize_characters(blocks, text)
    else:
        with contextlib.closing(pool.tokenize(chunks(blocks, text))) as tokenized_chunks:
            tokenized = merge_chunks(tokenized_chunks)
    if source.has_changed():
        raise UserError(f"{source.name} changed while it was being read: run the command again")
    corpus_cache.store(key, *tokenized)
    return tokenized


def worker_pool(text: TextConfig, num_bytes: int, num_workers: int | None = None) -> WorkerPool:
    """Returns processes for files of so many bytes in all: `num_workers` if given, else `default_num_workers`."""
    return WorkerPool(text, default_num_workers(num_bytes) if num_workers is None else num_workers)


def default_num_workers(num_bytes: int) -> int:
    """Returns the number of processes for files of so many bytes: one per processor, at most 6, none for a small text.

    Each process takes about 100 MB of memory.
    """
    if num_bytes < MIN_PARALLEL_BYTES or not sys.executable:
        return 0
    return min(MAX_WORKERS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def report_progress(source: TokenizedSource, blocks: Iterator[str], progress: Progress | None) -> Iterator[str]:
    """Yields the blocks unchanged, and calls `progress` every tenth of a second and at the end."""
    next_time = 0.0
    for block in blocks:
        yield block
        if progress is not None and time.monotonic() >= next_time:
            progress(source.num_bytes_read(), source.num_bytes)
            next_time = time.monotonic() + PROGRESS_SECONDS
    if progress is not None:
        progress(source.num_bytes, source.num_bytes)


def merge_chunks(tokenized_chunks: Iterable[ChunkTokens]) -> TokenizedFile:
    """Join the tokenized chunks of a file; each chunk numbers its own types, the file has one numbering."""
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = lambda: len(numbers) + NUM_ENDS
    file = corpus_cache.IdFile()
    for ids, types in tokenized_chunks:
        new_ids = np.arange(len(types) + NUM_ENDS, dtype=np.int32)
        new_ids[NUM_ENDS:] = list(map(numbers.__getitem__, types))
        file.append(new_ids[ids])
    return TokenizedFile(file.array(), [EOS] * NUM_ENDS + list(numbers))


def tokenize_characters(blocks: Iterator[str], text: TextConfig) -> TokenizedFile:
    """Tokenize into characters, each one a token, line breaks included; no sentence ends."""
    new_ids = np.zeros(sys.maxunicode + 1, np.int32)
    types = [EOS] * NUM_ENDS
    file = corpus_cache.IdFile()
    split = word_tokenizer(text)
    for block in blocks:
        if text.lowercase:
            block = "".join(split(block))
        codes = np.frombuffer(block.encode("utf-32-le"), np.uint32)
        distinct, first = np.unique(codes, return_index=True)
        for code in distinct[np.argsort(first)]:
            if not new_ids[code]:
                new_ids[code] = len(types)
                types.append(chr(code))
        file.append(new_ids[codes])
    return TokenizedFile(file.array(), types)
