"""Contenders that take turns: each runs in its own process, and in each round all do the same work, in changing order.

A contender is ``python SCRIPT --worker SPECIFICATION``. It reads commands from standard input, a line each, and answers
each with a line of JSON: ``check`` (an answer that shows that it does the same work as the others), ``warm`` and
``round`` (numbers).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def answer(answers: Mapping[str, Callable[[], Any]]) -> None:
    """Run a contender: answer commands until the input ends."""
    for line in sys.stdin:
        print(json.dumps(answers[line.strip()]()), flush=True)


class Contenders:
    """The processes, by name. The first one is compared with the best of the others."""

    def __init__(self, script: str, specs: Mapping[str, Mapping[str, Any]]) -> None:
        self.workers: dict[str, Any] = {}
        for name, spec in specs.items():
            command = [sys.executable, script, "--worker", json.dumps(spec)]
            self.workers[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, command: str) -> dict[str, Any]:
        """Returns what each contender answers, one after another."""
        return {name: self.ask_one(name, command) for name in self.workers}

    def ask_one(self, name: str, command: str) -> Any:
        worker = self.workers[name]
        worker.stdin.write(command + "\n")
        worker.stdin.flush()
        line = worker.stdout.readline()
        if not line:
            raise SystemExit(f"{name} has ended")
        return json.loads(line)

    def rounds(self, count: int) -> dict[str, list[Any]]:
        """Returns the answers of each contender to ``round``, after ``warm``."""
        self.ask("warm")
        found: dict[str, list[Any]] = {name: [] for name in self.workers}
        for number in range(count):
            order = list(self.workers)
            for name in order[number % len(order) :] + order[: number % len(order)]:
                found[name].append(self.ask_one(name, "round"))
        return found

    def close(self) -> None:
        for process in self.workers.values():
            process.stdin.close()
            process.wait()


def print_rounds(rounds: Mapping[str, Sequence[Sequence[float]]], titles: Sequence[str]) -> None:
    """Print the median of each number of the rounds, and the first contender's ratio to the fastest other one."""
    own, *others = rounds
    for place, title in enumerate(titles):
        print(f"\n{title} (median of {len(rounds[own])} rounds)")
        for name, values in rounds.items():
            print(f"  {name:34} {statistics.median(v[place] for v in values):12,.1f}")
        ratios = [mine[place] / max(rounds[name][i][place] for name in others) for i, mine in enumerate(rounds[own])]
        print(f"  ratio to the fastest of PyTorch in each round: {statistics.median(ratios):.2f} "
              f"({min(ratios):.2f} to {max(ratios):.2f})")  # fmt: skip
