"""Check that a killed and resumed run ends with the same bytes: `python benchmarks/resume.py --kills 20`.

A model of a few megabytes trains on the first pages of data/austen and writes a checkpoint ten times a second. It is
killed by `kill -9`, alternately at a random time and while a checkpoint is being written, and then resumed. At the end
it is compared with an uninterrupted run: every byte of the checkpoint, and the log except for its clock times.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

NOVEL = Path(__file__).parents[1] / "data" / "austen" / "emma.txt"
CLOCK_FIELDS = {"tokens_per_second", "seconds"}
SIZES = ["--embedding-size", "96", "--hidden-size", "96", "--batch-size", "8", "--bptt-steps", "12", "--epochs", "3"]
PROGRAM = """
import functools, sys
from theano_rnn.cli import session
from theano_rnn.cli.main import command
session.fit = functools.partial(session.fit, save_seconds=0.1)
raise SystemExit(command("train", sys.argv[1:], prog="train"))
"""


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A training process in `folder`."""
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], cwd=folder, stdout=subprocess.DEVNULL)


def ended(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that must succeed."""
    if process.wait() != 0:
        raise SystemExit(f"training ended with status {process.returncode}")


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> bool:
    """Until there is such a file; False where the process has ended before."""
    while not path.exists():
        if process.poll() is not None:
            return False
        time.sleep(0.0002)
    return True


def killed(process: subprocess.Popen[bytes], path: Path, moment: float, within: float | None) -> bool:
    """Kill a process `moment` seconds after its first checkpoint; with `within` that long after it begins another.

    False where it ended by itself before.
    """
    wait_for(path, process)
    time.sleep(moment)
    if within is not None:
        wait_for(Path(f"{path}.unfinished"), process)
        time.sleep(within)
    process.kill()
    return process.wait() == -signal.SIGKILL


def records(path: Path) -> list[dict[str, Any]]:
    """The log, without what the clock said."""
    lines = path.read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in CLOCK_FIELDS} for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="number of kills (default: %(default)s)")
    parser.add_argument("--characters", type=int, default=60_000,
                        help="characters of the novel to train on (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1,
                        help="random seed for the times of the kills (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each run (default: %(default)s)")
    parser.add_argument("--engine", default="c", help="engine of each run (default: %(default)s)")
    options = parser.parse_args()
    rng, num_exact, num_within = random.Random(options.seed), 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["THEANO_RNN_CACHE"] = str(folder / "cache")
        os.environ["OPENBLAS_NUM_THREADS"] = str(options.threads)
        (folder / "text.txt").write_text(NOVEL.read_text(encoding="utf-8")[: options.characters], encoding="utf-8")
        engine = ["--engine", options.engine]
        new_run = ["--train", "text.txt", *SIZES, *engine]
        whole = folder / "whole.safetensors"
        process = start(folder, *new_run, "--checkpoint", whole.name)
        wait_for(whole, process)
        began = time.monotonic()
        ended(process)
        seconds = time.monotonic() - began
        print(f"left alone: {seconds:.1f} s after compiling, checkpoint of {whole.stat().st_size:,} bytes", flush=True)
        for number in range(options.kills):
            path = folder / f"model{number}.safetensors"
            unfinished = Path(f"{path}.unfinished")
            while True:
                moment = rng.uniform(0, 0.9 * seconds)
                process = start(folder, *new_run, "--checkpoint", path.name)
                if killed(process, path, moment, rng.uniform(0, 0.003) if number % 2 else None):
                    break
                seconds = min(seconds, moment)  # it had ended: the first run was slower, so this one counts for nothing
                path.unlink()
            is_within = unfinished.exists()
            ended(start(folder, "--resume", *engine, "--checkpoint", path.name))
            is_exact = path.read_bytes() == whole.read_bytes()
            is_exact = is_exact and records(path.with_suffix(".jsonl")) == records(whole.with_suffix(".jsonl"))
            num_exact += is_exact
            num_within += is_within
            where = "within a checkpoint write" if is_within else "between checkpoint writes"
            outcome = "exact" if is_exact else "DIFFERENT"
            print(f"kill {number + 1} after {moment:.2f} s, {where}: {outcome}", flush=True)
            path.unlink()
    print(f"{num_exact} of {options.kills} exact; {num_within} of the kills within a checkpoint write")
    raise SystemExit(num_exact != options.kills)


if __name__ == "__main__":
    main()
