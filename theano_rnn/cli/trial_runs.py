"""Train each trial of a search in a process of its own, watch its log, and stop it early if the pruner wants that."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from theano_rnn.cli.files import CHECKPOINT_ENDING
from theano_rnn.cli.run_settings import LOG_ENDING
from theano_rnn.cli.space_files import SpaceFile, to_toml, without_test
from theano_rnn.learning.atomic_files import write_atomically
from theano_rnn.search.study import Claim, Study
from theano_rnn.settings.base import RunError

POLL_SECONDS = 0.2
WAIT_SECONDS = 1.0  # between two looks at the trials of other processes
SHORTEST_RUN = 0.1  # seconds
MAX_FAILURES = 3  # at the start of a search; then something is wrong with all trials


class Runner:
    """Runs trials until none is left.

    Parameters
    ----------
    study
    file
        What is searched.
    flags
        Further flags of ``train``.
    root
        The folder of a clone, if known.
    on_change
        Called with a line to show whenever a trial starts, and with the line and the claim when it has ended.
    """

    def __init__(
        self,
        study: Study,
        file: SpaceFile,
        root: Path | None,
        on_change: Callable[..., None],
        flags: Sequence[str] = (),
    ) -> None:
        self.study, self.file, self.on_change, self.flags = study, file, on_change, flags
        program = [str(root / "scripts" / "train.py")] if root else ["-m", "theano_rnn", "train"]
        self.command = [sys.executable, *program]
        self.signal: int | None = None
        self.running: dict[int, subprocess.Popen[bytes]] = {}
        self.error: BaseException | None = None
        self.changing = threading.Lock()
        self.is_waiting = False

    def stop(self, number: int) -> None:
        """Stop after a signal: the trials save and can be continued. After a second one, they end at once."""
        is_second, self.signal = self.signal is not None, number
        for process in list(self.running.values()):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL if is_second else signal.SIGTERM)

    def work(self, cores: Sequence[int]) -> None:
        """Run trials on these cores; on all if there are none. An error is kept in `error` and stops all workers."""
        try:
            if cores:
                os.sched_setaffinity(0, cores)  # of this thread, and so of the processes that it starts
            while self.signal is None and self.error is None:
                claim = self.study.claim()
                if claim is not None:
                    self.run(claim)
                elif self.study.is_done():
                    return
                else:
                    self.wait()
        except BaseException as error:
            self.error = self.error or error
            self.stop(signal.SIGTERM)

    def wait(self) -> None:
        """Wait for trials that others run, to continue them if they are interrupted."""
        numbers = [trial.number for trial in self.study.trials() if trial.state == "running"]
        if not self.is_waiting and not self.running and numbers:
            self.is_waiting = True
            self.on_change(f"waiting for {listed('trial', numbers)}, which another process runs")
        threading.Event().wait(WAIT_SECONDS)

    def run(self, claim: Claim) -> None:
        """Train one trial to its end."""
        recipe = claim.path.with_suffix(".toml")
        values = {**without_test(self.file.shared), **claim.settings}
        write_atomically(recipe, to_toml(values, f"Trial {claim.number} of {self.study.folder}"))
        shown = ", ".join(f"{name.replace('_', '-')} {short(value)}" for name, value in claim.settings.items())
        checkpoint, log = (claim.path.with_suffix(ending) for ending in (CHECKPOINT_ENDING, LOG_ENDING))
        is_continued = claim.is_interrupted and checkpoint.exists()
        self.on_change(f"trial {claim.number} {'continues' if is_continued else 'starts'}: {shown}")
        records = log_records(log) if is_continued else []
        status, is_pruned = 0, False
        if not (records and "best_step" in records[-1]):  # or it had ended, but nobody had noted that
            arguments = [*self.command, "--config", str(recipe), "--checkpoint", str(checkpoint), "--no-testing",
                         *self.flags, *(["--resume"] if is_continued else []), *self.time_left(records)]  # fmt: skip
            status, is_pruned = self.train(claim, arguments, log)
        is_pruned = is_pruned and status != 0  # else it was at its end
        if self.signal is not None and status and not is_pruned:
            claim.release()
            return
        self.end(claim, log_records(log), status, is_pruned)

    def time_left(self, records: Sequence[Mapping[str, Any]]) -> list[str]:
        """Returns the flag for the seconds that are left of ``max_seconds``."""
        limit = self.file.shared.get("max_seconds")
        return [] if limit is None else ["--max-seconds", str(max(SHORTEST_RUN, limit - seconds_of(records)))]

    def train(self, claim: Claim, arguments: Sequence[str], log: Path) -> tuple[int, bool]:
        """Run the command until it ends or is pruned. Returns its status and whether it was pruned.

        The process inherits the trial's lock. So the trial stays locked even if this process is killed.
        """
        name, is_pruned, size = f"valid_{self.file.selected.name}", False, 0
        with open(claim.path.with_suffix(".out"), "ab") as output:
            process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, pass_fds=[claim.lock],
                start_new_session=True,
            )  # fmt: skip
        self.running[claim.number] = process
        try:
            if self.signal is not None:  # it came before the process was known
                process.send_signal(signal.SIGTERM)
            while True:
                try:
                    return process.wait(POLL_SECONDS), is_pruned
                except subprocess.TimeoutExpired:
                    new_size = log.stat().st_size if log.exists() else 0
                if new_size != size and not is_pruned:
                    size = new_size
                    if claim.should_stop({each["epoch"]: each[name] for each in whole_epochs(log_records(log))}):
                        is_pruned = True
                        process.send_signal(signal.SIGTERM)
        finally:
            if process.poll() is None:
                process.kill()
            del self.running[claim.number]

    def end(self, claim: Claim, records: Sequence[Mapping[str, Any]], status: int, is_pruned: bool) -> None:
        """Record the result of a trial."""
        selected, number = self.file.selected, claim.number
        measured = [record for record in records if math.isfinite(record.get(f"valid_{selected.name}") or math.nan)]
        claim.should_stop({each["epoch"]: each[f"valid_{selected.name}"] for each in whole_epochs(measured)})
        if (status and not is_pruned) or not measured:
            reason = last_line(claim.path.with_suffix(".out")) if status else "it ended before its first validation"
            if status < 0:
                reason = f"ended by signal {-status}"
            claim.end("failed", {"reason": reason, "seconds": seconds_of(records)})
            line = f"trial {number} failed: {reason}"
        else:
            best = measured[0]
            for record in measured:
                if selected.is_better(record[f"valid_{selected.name}"], best[f"valid_{selected.name}"]):
                    best = record
            shown = best if not is_pruned else measured[-1]
            result = {
                "epoch": shown["epoch"], "epochs": measured[-1]["epoch"],
                **{name: shown[name] for name in shown if name.startswith(("train_", "valid_"))},
                "seconds": seconds_of(records),
            }  # fmt: skip
            claim.end("pruned" if is_pruned else "complete", result, float(shown[f"valid_{selected.name}"]))
            shown_value = self.file.shown.shown(value_shown(self.file, result))
            line = f"trial {number} {'pruned' if is_pruned else 'done'}: {shown_value} after epoch {shown['epoch']}"
        with self.changing:
            self.on_change(line, has_ended=True)
        states = [trial.state for trial in self.study.trials()]
        if states.count("failed") >= MAX_FAILURES and not {"complete", "pruned"} & set(states):
            raise RunError(f"the first {states.count('failed')} trials failed, the last one with: {reason}")


def log_records(path: Path) -> list[dict[str, Any]]:
    """Returns the records of a log, as far as it is written."""
    found: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def whole_epochs(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Returns the records of completed epochs."""
    return [record for record in records if "epoch" in record and "batch" not in record]


def seconds_of(records: Sequence[Mapping[str, Any]]) -> float:
    """Returns the seconds of a run; each process that had a part in it counted its own.

    >>> seconds_of([{"seconds": 2.0}, {"seconds": 4.0}, {"seconds": 1.5}, {"best_step": 3}])
    5.5
    """
    total = latest = 0.0
    for record in records:
        seconds = record.get("seconds") or latest
        if seconds < latest:
            total += latest
        latest = seconds
    return round(total + latest, 3)


def value_shown(file: SpaceFile, result: Mapping[str, Any]) -> float:
    """Returns the measure to show of a trial's result."""
    of_loss = file.shown.of_loss
    return of_loss(result["valid_loss"]) if of_loss else float(result[f"valid_{file.shown.name}"])


def last_line(path: Path) -> str:
    """Returns the last line that a trial printed, without the name of the command."""
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
    line = next((line for line in reversed(lines) if line.strip()), "it printed nothing")
    return line.rpartition("train: ")[2].rpartition("train.py: ")[2]


def short(value: Any) -> str:
    """Returns a setting's value for people: numbers with four digits.

    >>> short(0.00312345), short([1000, 4000]), short(True), short(1e-05)
    ('0.003123', '1000,4000', 'yes', '1e-05')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ",".join(map(short, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def listed(noun: str, numbers: Sequence[int]) -> str:
    """Returns numbers in words.

    >>> listed("trial", [2]), listed("trial", [2, 3])
    ('trial 2', 'trials 2, 3')
    """
    return f"{noun}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
