"""Runs one process of a multi-process training in a child, so that its parent can report a clear error.

When another process of the training dies, JAX ends this one by SIGABRT and prints a page of its own log. So the command
runs in a child process whose C++ libraries cannot print, and the parent reports what happened.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from theano_rnn.cli.interruption import stopping_signals

report_end: int | None = None  # in a supervised process: where it tells its parent that it has printed an error


def supervise(prog: str) -> None:
    """Continue in a child process. The parent waits for it here, forwards signals, and exits with its status.

    Must be called before any thread is started.
    """
    global report_end
    read_end, write_end = os.pipe()  # only the parent keeps the write end: the child sees its end when the parent dies
    reports, report_end = os.pipe()  # only the child keeps the write end
    child = os.fork()
    if child:
        os.close(read_end)
        os.close(report_end)
        wait_for_child(child, prog, reports)
    os.close(write_end)
    os.close(reports)
    os.setpgid(0, 0)  # Ctrl-C reaches the parent only, which forwards it once
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    threading.Thread(target=end_with_parent, args=(read_end,), daemon=True).start()


def note_report() -> None:
    """Tell the parent that this process has printed its error, so that the parent does not print another one."""
    if report_end is not None:
        os.write(report_end, b"x")


def wait_for_child(child: int, prog: str, reports: int) -> None:
    """Forward signals to the child until it ends, then exit with its status.

    If a signal ended it before it could print an error, print one in its place.
    """
    for number in stopping_signals():
        signal.signal(number, lambda received, _: os.kill(child, received))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0 and not os.read(reports, 1):
        print(f"{prog}: another process of this training ended, or this one was stopped by "
              f"{signal.Signals(-status).name}: resume from the checkpoint with --resume", file=sys.stderr)  # fmt: skip
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if status >= 0 else 1)


def end_with_parent(pipe: int) -> None:
    """Exit this process when the other end of `pipe` is closed."""
    os.read(pipe, 1)
    os._exit(1)
