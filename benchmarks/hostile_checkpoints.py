"""Give damaged and hostile checkpoints to the commands, and count how they end.

    python benchmarks/hostile_checkpoints.py                    5,000 checkpoints; 60 took 14 s on two cores
    python benchmarks/hostile_checkpoints.py --count 200 --first 7000

Each checkpoint is a small good one with one or two changes, decided by a seed (`tests/mutated_checkpoints.py`): of
bytes, of a JSON value, of a tensor; with right checksums, with wrong ones, or with none. Each is read by `info`,
`score`, `generate`, `train --resume` and `export`, which compute as usual. Bad are: a traceback; more than `--seconds`;
more than 1 GiB of memory beyond what the process had; several lines of errors; and, if bytes were changed, a result
with status 0 that differs from the good checkpoint's. A worker process runs the commands, and is killed if it hangs.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from command_line import parser_of

ROOT = Path(__file__).resolve().parents[1]
GIB = 1 << 20  # in KiB
BAD = "bad.safetensors"
COMMANDS = (
    ("info", BAD), ("score", BAD, "text.txt"), ("generate", BAD, "--num-samples", "2"),
    ("train", "--resume", "--checkpoint", BAD, "--max-seconds", "1e-9"), ("export", BAD),
)  # fmt: skip


def peak_memory() -> int:
    """Returns the peak resident memory of this process in KiB since the last call of `forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def work(folder: Path) -> None:
    """Read seeds from standard input; write for each command how it ended, as a line of JSON."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import pytest
    from tiny_runs import Commands, run, train_in

    good = folder / "good.safetensors"
    Commands(folder, pytest.MonkeyPatch(), SimpleNamespace(readouterr=lambda: ("", "")))
    if not good.exists():
        train_in(folder, "--embedding-size", "4", "--dropout", "0.2", "--max-seconds", "1e-9", checkpoint=good.name)
    from mutated_checkpoints import mutated

    os.chdir(folder)
    work_folder = Path(tempfile.mkdtemp(dir=folder))
    os.chdir(work_folder)
    Path("text.txt").write_text((folder / "text.txt").read_text())
    for line in sys.stdin:
        seed = int(line)
        content, change = (good.read_bytes(), "") if seed < 0 else mutated(good, seed)
        for command in COMMANDS:
            for file in Path().glob("bad.*"):
                file.unlink()
            Path(BAD).write_bytes(content)
            output, errors = io.StringIO(), io.StringIO()
            forget_peak()
            started, before, problem, status = time.monotonic(), peak_memory(), "", None
            try:
                with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
                    status = run(*command)
            except BaseException as error:
                problem = f"traceback: {type(error).__name__}: {error}"[:200]
            lines = [line for line in errors.getvalue().splitlines() if not line.startswith("compiling ")]
            if not problem and status and len(lines) != 1 and not lines[0].startswith(BAD):
                problem = f"{len(lines)} lines of errors: {lines[:1]}"
            answer = {"status": status, "problem": problem, "change": change, "output": output.getvalue()[-2000:],
                      "error": lines[-1:], "seconds": round(time.monotonic() - started, 2),
                      "kib": peak_memory() - before}  # fmt: skip
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


class Worker:
    """A process that runs `work`; it is started again after a hang."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder, self.seconds = folder, seconds
        self.process: Any = None
        self.lines: Any = None

    def ask(self, seed: int) -> list[dict[str, Any]]:
        """Returns how each command ended."""
        if self.process is None:
            self.process = subprocess.Popen([sys.executable, __file__, "--work", str(self.folder)], text=True,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=subprocess.DEVNULL, bufsize=1)  # fmt: skip
            self.lines = queue.SimpleQueue()
            threading.Thread(target=self.read, args=(self.process.stdout, self.lines), daemon=True).start()
            if seed >= 0:
                self.ask(-1)
        self.process.stdin.write(f"{seed}\n")
        answers = []
        for _ in COMMANDS:
            limit = None if seed < 0 else self.seconds
            try:
                line = self.lines.get(timeout=limit)
            except queue.Empty:
                line = None
            if not line:
                self.close()
                kind = "hang" if line is None else "ended"
                answers.append({"status": None, "problem": kind, "change": "", "output": "", "seconds": 0, "kib": 0})
                return answers
            answers.append(json.loads(line))
        return answers

    @staticmethod
    def read(stream: Any, lines: Any) -> None:
        for line in stream:
            lines.put(line)
        lines.put("")

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def main() -> None:
    if sys.argv[1:2] == ["--work"]:
        work(Path(sys.argv[2]))
        return
    parser = parser_of(__doc__)
    parser.add_argument("--count", type=int, default=5000, help="number of checkpoints (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="first seed (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="limit for a command, with compiling "
                        "(default: %(default)s)")  # fmt: skip
    args = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(Path(folder), args.seconds)
        try:
            good = worker.ask(-1)
            assert all(answer["status"] == 0 for answer in good), good
            for seed in range(args.first, args.first + args.count):
                for command, answer, right in zip(COMMANDS, worker.ask(seed), good):
                    problem = answer["problem"]
                    has_changed_bytes = " at " in answer["change"]
                    if not problem and answer["kib"] > GIB:
                        problem = f"{answer['kib'] / GIB:.1f} GiB"
                    if not problem and answer["status"] == 0 and has_changed_bytes and command[0] in ("info", "score"):
                        problem = "" if answer["output"] == right["output"] else "another result with status 0"
                    counts[f"{command[0]}: {'bad' if problem else 'status ' + str(answer['status'])}"] += 1
                    if answer["status"] == 1 and not problem:
                        print(f"{seed} {command[0]}: {answer['change']}: status 1: {answer['error']}", flush=True)
                    if problem:
                        print(f"{seed} {command[0]}: {answer['change']}: {problem}", flush=True)
        finally:
            worker.close()
    for name, count in sorted(counts.items()):
        print(f"{count:6,} {name}")


if __name__ == "__main__":
    main()
