"""Worker processes: they give the result of one process, and always end with the program."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from theano_rnn.settings.base import RunError, UserError, to_mapping
from theano_rnn.settings.text import TextConfig
from theano_rnn.text import worker_processes
from theano_rnn.text.reading import Chunk
from theano_rnn.text.worker_processes import ChunkTokenizer, Worker, WorkerPool, receive, run_worker, send

ROOT = Path(__file__).parents[2]
TEXT = TextConfig()
CHUNKS = [Chunk(f'"Unit {number}," said é. And 𝔸 so on.', False, number % 2 == 0) for number in range(9)]


@pytest.fixture
def crew(monkeypatch):
    """Returns the list of workers that were started."""
    started = []

    class Recorded(Worker):
        def __init__(self, text):
            super().__init__(text)
            started.append(self)

    monkeypatch.setattr(worker_processes, "Worker", Recorded)
    return started


@pytest.fixture
def pool():
    """Returns pools, which are closed at the end of the test."""
    with contextlib.ExitStack() as stack:
        yield lambda num_workers, text=TEXT: stack.enter_context(WorkerPool(text, num_workers))


def listed(tokens):
    return [(each.ids.tolist(), each.types) for each in tokens]


def test_processes_give_the_same_in_the_same_order(crew):
    expected = listed(map(ChunkTokenizer(TEXT), CHUNKS))
    with WorkerPool(TEXT, 0) as none, WorkerPool(TEXT, 2) as two:
        assert listed(none.tokenize(iter(CHUNKS))) == expected
        assert not crew  # nothing is started before it is needed
        for _ in range(2):  # files, which share the processes
            assert listed(two.tokenize(iter(CHUNKS))) == expected
    assert [worker.process.poll() for worker in crew] == [-signal.SIGKILL] * 2


@pytest.mark.slow
def test_no_more_is_read_than_is_worked_on(pool):
    read = []

    def counted():
        for number in range(100):
            read.append(number)
            yield CHUNKS[0]

    work = pool(1).tokenize(counted())
    next(work)
    assert len(read) == 2
    work.close()
    assert listed(pool(1).tokenize(iter(CHUNKS[:1]))) == listed([ChunkTokenizer(TEXT)(CHUNKS[0])])


def test_a_killed_process_is_an_error_not_a_wait(crew):
    with WorkerPool(TEXT, 2) as pool:
        work = pool.tokenize(iter(CHUNKS * 20))
        next(work)
        crew[0].process.kill()
        with pytest.raises(RunError, match="has ended unexpectedly"):
            list(work)
    assert all(worker.process.poll() is not None for worker in crew)


def test_an_interrupt_leaves_no_process(crew):
    def interrupted():
        yield CHUNKS[0]
        yield CHUNKS[1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), WorkerPool(TEXT, 1) as pool:
        list(pool.tokenize(interrupted()))
    assert crew[0].process.poll() is not None


def test_a_users_mistake_arrives_as_such(tmp_path, monkeypatch, pool):
    monkeypatch.setenv("NLTK_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError, match="sentences=punkt_tab cannot be used"):
        list(pool(1, TextConfig(sentences="punkt_tab")).tokenize(iter(CHUNKS)))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.slow
def test_workers_end_with_a_program_that_is_killed():
    code = (
        "import time\nfrom theano_rnn.text.worker_processes import *\n"
        "crew = [Worker(TextConfig()) for _ in range(2)]\n"
        "crew[0](Chunk('A.', False, False))\n"
        "print(*(worker.process.pid for worker in crew), flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT) as program:
        pids = [int(pid) for pid in program.stdout.readline().split()]
        program.kill()
    assert len(pids) == 2
    deadline = time.monotonic() + 20
    while any(is_running(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_running(pid) for pid in pids)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0] != "Z"
    except OSError:
        return False


def test_a_program_without_a_guard_can_use_workers(tmp_path):
    """The main module is not imported again, which `multiprocessing` would do."""
    (tmp_path / "text.txt").write_text("One. Two.\n\n" * 20)
    code = (
        "print('once')\nimport sys\nfrom theano_rnn.text.tokenizing import *\nfrom theano_rnn.settings.text import *\n"
        "print(tokenize_file(sys.argv[1], TextConfig(), num_workers=1).ids.size)\n"
    )
    (tmp_path / "program.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "THEANO_RNN_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, str(tmp_path / "program.py"), str(tmp_path / "text.txt")]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (result.stdout, result.stderr) == ("once\n120\n", "")


@pytest.mark.parametrize("data", [b"", b"\x01", (9).to_bytes(8, "little") + b"short"])
def test_half_a_message_is_none(data):
    with pytest.raises(EOFError, match="no message"):
        receive(io.BytesIO(data))


def served(monkeypatch, requests, config=TEXT, answers=None):
    stream = io.BytesIO()
    for request in requests:
        send(stream, json.dumps(request).encode())
    stream.seek(0)
    answers = answers or io.BytesIO()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=answers))
    monkeypatch.setattr(sys, "argv", ["-c", "[]", json.dumps(to_mapping(config))])
    run_worker()
    monkeypatch.undo()
    return answers


def test_a_worker_answers_until_there_are_no_more_units(monkeypatch):
    answers = served(monkeypatch, CHUNKS[:2])
    answers.seek(0)
    for chunk in CHUNKS[:2]:
        expected = ChunkTokenizer(TEXT)(chunk)
        assert receive(answers) == b"ids"
        assert np.frombuffer(receive(answers), np.int32).tolist() == expected.ids.tolist()
        assert json.loads(receive(answers)) == expected.types
    assert not answers.read()


def test_a_worker_passes_a_mistake_on(monkeypatch):
    def refuse(_):
        raise UserError("no such resource")

    monkeypatch.setattr(worker_processes, "ChunkTokenizer", refuse)
    answers = served(monkeypatch, CHUNKS[:1])
    answers.seek(0)
    assert [receive(answers) for _ in range(3)] == [b"error", b"", b"no such resource"]


def test_a_worker_without_memory_says_so(monkeypatch, crew):
    def refuse(_):
        raise MemoryError

    monkeypatch.setattr(worker_processes, "ChunkTokenizer", refuse)
    answers = served(monkeypatch, CHUNKS[:1])
    answers.seek(0)
    worker = Worker(TEXT)
    worker.stop()
    worker.requests, worker.responses = io.BytesIO(), answers
    with pytest.raises(MemoryError, match="a process that tokenizes text ran out of memory"):
        worker(CHUNKS[0])


def test_a_worker_ends_when_nobody_reads(monkeypatch):
    class Closed(io.BytesIO):
        def write(self, _):
            raise BrokenPipeError

    served(monkeypatch, CHUNKS[:2], answers=Closed())
