"""Tokenize chunks of text in several processes at once.

>>> chunk = Chunk("To be. Not to be.", starts_mid_sentence=False, ends_mid_sentence=False)
>>> tokens = ChunkTokenizer(TextConfig())(chunk)
>>> tokens.types, tokens.ids.tolist()
(['To', 'be', '.', 'Not', 'to'], [2, 3, 4, 0, 5, 6, 3, 4, 1])
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections import defaultdict, deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt

from theano_rnn.settings.base import RunError, UserError, to_mapping
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.reading import Chunk, split_chunk
from theano_rnn.text.words import sentence_splitter, word_tokenizer


class ChunkTokens(NamedTuple):
    """The ids of a chunk, int32, shape (tokens,), and its types, with ids 2, 3, ...

    0 is the end of a sentence, 1 the end of a sentence with which its paragraph ends.
    """

    ids: npt.NDArray[np.int32]
    types: list[str]


class ChunkTokenizer:
    """Tokenizes chunks; the part of the work that a worker process does."""

    def __init__(self, text: TextConfig) -> None:
        self.text = text
        self.split_sentences = sentence_splitter(text)
        self.split_words = word_tokenizer(text)

    def __call__(self, chunk: Chunk) -> ChunkTokens:
        numbers: defaultdict[str, int] = defaultdict()
        numbers.default_factory = lambda: len(numbers) + 2
        ids: list[int] = []
        for sentence, is_complete, ends_paragraph in split_chunk(chunk, self.text, self.split_sentences):
            ids.extend(map(numbers.__getitem__, self.split_words(sentence)))
            if is_complete:
                ids.append(int(ends_paragraph))
        return ChunkTokens(np.array(ids, np.int32), list(numbers))


class Worker:
    """A process that tokenizes chunks; it ends with this program, even if that is killed.

    `multiprocessing` is not used because it imports the user's main module again, which then needs a guard.
    """

    PROGRAM = (
        "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
        "import theano_rnn.text.worker_processes as w; w.run_worker()"
    )

    def __init__(self, text: TextConfig) -> None:
        settings = json.dumps(to_mapping(text))
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                self.PROGRAM,
                json.dumps([os.path.abspath(folder) for folder in sys.path]),
                settings,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C reaches this program only; the worker ends when its input ends
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.requests: IO[bytes] = self.process.stdin
        self.responses: IO[bytes] = self.process.stdout

    def __call__(self, chunk: Chunk) -> ChunkTokens:
        """Returns the tokens of a chunk.

        Raises
        ------
        RunError
            If the process has ended.
        MemoryError
            If the process has run out of memory.
        UserError
            As in `sentence_splitter`.
        """
        try:
            send(self.requests, json.dumps(chunk, ensure_ascii=False).encode())
            kind, ids, types = receive(self.responses), receive(self.responses), receive(self.responses)
        except (EOFError, OSError, ValueError) as error:  # ValueError: closed by stop()
            raise RunError(
                "a process that tokenizes text has ended unexpectedly: check that there is enough memory, and run the "
                "command again"
            ) from error
        if kind == b"memory":
            raise MemoryError("a process that tokenizes text ran out of memory")
        if kind != b"ids":
            raise UserError(types.decode())
        return ChunkTokens(np.frombuffer(ids, np.int32), json.loads(types))

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.requests, self.responses):
            with contextlib.suppress(OSError):  # unsent data does not matter now
                pipe.close()


def send(stream: IO[bytes], message: bytes) -> None:
    """Write a message, preceded by its length in 8 bytes."""
    stream.write(len(message).to_bytes(8, "little"))
    stream.write(message)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes:
    """Returns the next message. Raises `EOFError` if there is none, or only a part of one."""
    prefix = stream.read(8)
    length = int.from_bytes(prefix, "little")
    message = stream.read(length) if len(prefix) == 8 else b""
    if len(prefix) < 8 or len(message) < length:
        raise EOFError("no message")
    return message


def run_worker() -> None:
    """Tokenize chunks from standard input until it ends; this is the main function of a worker process."""
    requests, responses = sys.stdin.buffer, sys.stdout.buffer
    tokenize = None
    while True:
        try:
            chunk = Chunk(*json.loads(receive(requests)))
        except (EOFError, OSError):
            return
        try:
            tokenize = tokenize or ChunkTokenizer(TextConfig(**json.loads(sys.argv[2])))
            tokens = tokenize(chunk)
            response = [b"ids", tokens.ids.tobytes(), json.dumps(tokens.types, ensure_ascii=False).encode()]
        except UserError as error:
            response = [b"error", b"", str(error).encode()]
        except MemoryError:
            response = [b"memory", b"", b""]
        try:
            for message in response:
                send(responses, message)
        except OSError:
            return


class WorkerPool:
    """Worker processes that share the chunks of one file after another. Call `close`, or use it in a `with` statement.

    They are started by the first call of `tokenize`. Without any, the work is done in this process.
    """

    def __init__(self, text: TextConfig, num_workers: int) -> None:
        self.text, self.num_workers = text, num_workers
        self.workers: list[Worker] = []
        self.idle: SimpleQueue[Worker] = SimpleQueue()
        self.threads = ThreadPoolExecutor(max(1, num_workers))

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tokenize(self, chunks: Iterator[Chunk]) -> Generator[ChunkTokens, None, None]:
        """Yields the tokens of each chunk, in order; at most two chunks per worker wait."""
        if self.num_workers < 1:
            yield from map(ChunkTokenizer(self.text), chunks)
            return
        while len(self.workers) < self.num_workers:
            self.workers.append(Worker(self.text))
            self.idle.put(self.workers[-1])
        waiting: deque[Future[ChunkTokens]] = deque()
        for chunk in chunks:
            waiting.append(self.threads.submit(self.tokenize_with_idle_worker, chunk))
            if len(waiting) >= 2 * self.num_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def tokenize_with_idle_worker(self, chunk: Chunk) -> ChunkTokens:
        worker = self.idle.get()
        try:
            return worker(chunk)
        finally:
            self.idle.put(worker)

    def close(self) -> None:
        """End the processes."""
        for worker in self.workers:
            worker.stop()
        self.threads.shutdown(cancel_futures=True)
