"""A process that others train with, watched by the one that the user started.

JAX ends a process by SIGABRT, with a page of its own log, when it learns that another process of the run has died. So
the command runs in a child, whose C++ libraries have nowhere to write to, and its parent says what happened.
"""

from __future__ import annotations

import os
import signal
import sys
import threading


def supervise(prog: str) -> None:
    """Go on in a child process; the parent stays here until it ends, hands signals on, and ends with its status.

    Must come before anything starts threads.
    """
    for_child, held = os.pipe()  # held by the parent alone: when it dies, however that is, the child reads its end
    child = os.fork()
    if child:
        os.close(for_child)
        wait_for(child, prog)
    os.close(held)
    os.setpgid(0, 0)  # Ctrl-C reaches the parent alone, which hands it on once
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    threading.Thread(target=end_with_parent, args=(for_child,), daemon=True).start()


def wait_for(child: int, prog: str) -> None:
    """Hand signals on to the child until it ends, then end as it did."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: os.kill(child, received))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        print(f"{prog}: another process has ended, or this one was stopped by {signal.Signals(-status).name}: "
              "go on from the checkpoint with --resume", file=sys.stderr)  # fmt: skip
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if status >= 0 else 1)


def end_with_parent(pipe: int) -> None:
    """End this process when the other end of `pipe` closes."""
    os.read(pipe, 1)
    os._exit(1)
