"""Units of text to ids by several processes at once.

>>> unit = Unit("To be. Not to be.", is_continued=False, is_open=False)
>>> tokens = UnitTokenizer(TextConfig())(unit)
>>> tokens.types, tokens.ids.tolist()
(['To', 'be', '.', 'Not', 'to'], [1, 2, 3, 0, 4, 5, 2, 3, 0])
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

from theano_rnn.settings.base import UserError, to_mapping
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.reading import Unit, sentences_of
from theano_rnn.text.words import sentence_splitter, word_tokenizer


class UnitTokens(NamedTuple):
    """The ids of one unit, int32, shape (tokens,), 0 for the end of a sentence; and its types, of ids 1, 2, ..."""

    ids: npt.NDArray[np.int32]
    types: list[str]


class UnitTokenizer:
    """Units to ids: what a worker process does."""

    def __init__(self, text: TextConfig) -> None:
        self.text = text
        self.split = sentence_splitter(text)
        self.words = word_tokenizer(text)

    def __call__(self, unit: Unit) -> UnitTokens:
        numbers: defaultdict[str, int] = defaultdict()
        numbers.default_factory = lambda: len(numbers) + 1
        ids: list[int] = []
        for sentence, is_whole in sentences_of(unit, self.text, self.split):
            ids.extend(map(numbers.__getitem__, self.words(sentence)))
            if is_whole:
                ids.append(0)
        return UnitTokens(np.array(ids, np.int32), list(numbers))


class Worker:
    """Another Python that tokenizes units; it ends when this program does, however that ends.

    It is no `multiprocessing` process: those run the user's main module again, and need a guard in it.
    """

    START = (
        "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
        "import theano_rnn.text.worker_processes as w; w.serve()"
    )

    def __init__(self, text: TextConfig) -> None:
        settings = json.dumps(to_mapping(text))
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.START, json.dumps([os.path.abspath(folder) for folder in sys.path]), settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # an interrupt from the keyboard is for us; the worker sees the end of its input
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.requests: IO[bytes] = self.process.stdin
        self.answers: IO[bytes] = self.process.stdout

    def __call__(self, unit: Unit) -> UnitTokens:
        """The ids of a unit.

        Raises
        ------
        RuntimeError
            The process has ended.
        UserError
            As `sentence_splitter`.
        """
        try:
            send(self.requests, json.dumps(unit, ensure_ascii=False).encode())
            kind, ids, types = receive(self.answers), receive(self.answers), receive(self.answers)
        except (EOFError, OSError, ValueError) as error:  # ValueError: closed by stop()
            raise RuntimeError("a process that tokenizes text has ended unexpectedly, perhaps out of memory") from error
        if kind != b"ids":
            raise UserError(types.decode())
        return UnitTokens(np.frombuffer(ids, np.int32), json.loads(types))

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.requests, self.answers):
            with contextlib.suppress(OSError):  # what was not sent is not missed
                pipe.close()


def send(stream: IO[bytes], message: bytes) -> None:
    """Write a message after its length."""
    stream.write(len(message).to_bytes(8, "little"))
    stream.write(message)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes:
    """The next message; EOFError where there is none."""
    for_length = stream.read(8)
    length = int.from_bytes(for_length, "little")
    message = stream.read(length) if len(for_length) == 8 else b""
    if len(for_length) < 8 or len(message) < length:
        raise EOFError("no message")
    return message


def serve() -> None:
    """Answer units until there are no more: the life of a worker process."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    tokenize = None
    while True:
        try:
            unit = Unit(*json.loads(receive(requests)))
        except (EOFError, OSError):
            return
        try:
            tokenize = tokenize or UnitTokenizer(TextConfig(**json.loads(sys.argv[2])))
            tokens = tokenize(unit)
            answer = [b"ids", tokens.ids.tobytes(), json.dumps(tokens.types, ensure_ascii=False).encode()]
        except UserError as error:
            answer = [b"error", b"", str(error).encode()]
        try:
            for message in answer:
                send(answers, message)
        except OSError:
            return


def tokenized_units(work: Iterator[Unit], text: TextConfig, workers: int) -> Generator[UnitTokens, None, None]:
    """The ids of each unit, in order; at most two units a worker are waiting."""
    if workers < 1:
        yield from map(UnitTokenizer(text), work)
        return
    crew: list[Worker] = []
    idle: SimpleQueue[Worker] = SimpleQueue()

    def one(unit: Unit) -> UnitTokens:
        worker = idle.get()
        try:
            return worker(unit)
        finally:
            idle.put(worker)

    pool = ThreadPoolExecutor(workers)
    try:
        for _ in range(workers):
            crew.append(Worker(text))
            idle.put(crew[-1])
        waiting: deque[Future[UnitTokens]] = deque()
        for unit in work:
            waiting.append(pool.submit(one, unit))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for worker in crew:
            worker.stop()
        pool.shutdown(cancel_futures=True)
