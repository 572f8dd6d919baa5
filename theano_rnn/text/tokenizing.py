"""Files to ids on disk: in a stream, by several processes, remembered from one start to the next.

A *type* is a token of its own spelling. The types of a file are numbered as they first appear, from 1; 0 ends a
sentence. So neither the number of processes nor the cutting into units shows in the result.

>>> import tempfile, pathlib
>>> with tempfile.TemporaryDirectory() as folder:
...     path = pathlib.Path(folder, "text.txt")
...     _ = path.write_text("To be.\\n\\nNot to be.")
...     tokenized = tokenize_file(path, TextConfig())
>>> tokenized.types, tokenized.ids.tolist()
(['</s>', 'To', 'be', '.', 'Not', 'to'], [1, 2, 3, 0, 4, 5, 2, 3, 0])
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
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from theano_rnn.settings.base import UserError, to_mapping
from theano_rnn.settings.text import TextConfig
from theano_rnn.text import corpus_cache
from theano_rnn.text.reading import UNIT_CHARACTERS, units
from theano_rnn.text.sources import Source
from theano_rnn.text.words import EOS, splitter_signature, word_tokenizer
from theano_rnn.text.worker_processes import UnitTokens, tokenized_units

FORMAT_VERSION = 1  # of what is remembered: raise it when the same text gives other ids
IN_PROCESS_BYTES = 1 << 20  # files smaller than this are done before another process has started
MAX_WORKERS = 6
PROGRESS_SECONDS = 0.1

Progress = Callable[[int, int], None]


class TokenizedFile(NamedTuple):
    """Ids of a file's own types, int32, shape (tokens,), 0 for the end of a sentence; and the types by id."""

    ids: npt.NDArray[np.int32]
    types: list[str]


def tokenize_file(
    path: str | os.PathLike[str], text: TextConfig, *, workers: int | None = None, progress: Progress | None = None
) -> TokenizedFile:
    """The ids of a file, on disk, and its types, in memory.

    Parameters
    ----------
    path
        UTF-8 text, a CSV file with a column `body`, either packed by gzip; - for standard input.
    text
        How text becomes tokens.
    workers
        Processes beside this one; as many as there are processors if not said, none for a small file.
    progress
        Called with the bytes done and the bytes in all, about ten times a second at most.

    Raises
    ------
    OSError, UserError
        As `Source`, `Source.blocks` and `sentence_splitter`.
    """
    with Source(path) as source:
        return tokenize(source, text, workers=workers, progress=progress)


def tokenize(
    source: Source, text: TextConfig, *, workers: int | None = None, progress: Progress | None = None
) -> TokenizedFile:
    """`tokenize_file` of an open file."""
    settings = [FORMAT_VERSION, UNIT_CHARACTERS, source.digest(), splitter_signature(text), to_mapping(text)]
    key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()
    if (known := corpus_cache.load(key)) is not None:
        return TokenizedFile(*known)
    blocks = watched(source, source.blocks(text), progress)
    if text.unit == "char":
        tokenized = characters(blocks, text)
    else:
        if workers is None:
            workers = default_workers(source.num_bytes)
        with contextlib.closing(tokenized_units(units(blocks, text), text, workers)) as work:
            tokenized = merged(work)
    if source.has_changed():
        raise UserError(f"{source.name} changed while it was read")
    corpus_cache.store(key, *tokenized)
    return tokenized


def default_workers(num_bytes: int) -> int:
    """Processes for a file: as many as may run at once, but none for a small one; each takes about 100 MB of memory."""
    if num_bytes < IN_PROCESS_BYTES or not sys.executable:
        return 0
    return min(MAX_WORKERS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def watched(source: Source, blocks: Iterator[str], progress: Progress | None) -> Iterator[str]:
    """The blocks, and a word to `progress` now and then."""
    next_time = 0.0
    for block in blocks:
        yield block
        if progress is not None and time.monotonic() >= next_time:
            progress(min(source.file.tell(), source.num_bytes), source.num_bytes)
            next_time = time.monotonic() + PROGRESS_SECONDS
    if progress is not None:
        progress(source.num_bytes, source.num_bytes)


def merged(work: Iterable[UnitTokens]) -> TokenizedFile:
    """The units of a file as one, with one numbering of types."""
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = lambda: len(numbers) + 1
    file = corpus_cache.IdFile()
    for ids, types in work:
        new_ids = np.zeros(len(types) + 1, np.int32)
        new_ids[1:] = list(map(numbers.__getitem__, types))
        file.append(new_ids[ids])
    return TokenizedFile(file.array(), [EOS, *numbers])


def characters(blocks: Iterator[str], text: TextConfig) -> TokenizedFile:
    """Every character one token, line ends too."""
    new_ids = np.zeros(sys.maxunicode + 1, np.int32)
    types = [EOS]
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
