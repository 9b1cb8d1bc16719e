"""Work in a fork of the test's process, which has imported everything: a new Python needs 2 s to import torch."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable

import torch

SECONDS = 240  # after which a fork that hangs is ended


def begin(work: Callable[[], object]) -> Callable[[], tuple[int, str]]:
    """Begin to work in a fork; return a function that waits for its end.

    That function returns the exit code, which is a negative signal if the fork was killed, and all that was printed.
    """
    out = tempfile.TemporaryFile("w+")  # noqa: SIM115
    pid = os.fork()
    if pid == 0:
        _work(work, out.fileno())

    def wait() -> tuple[int, str]:
        _, status = os.waitpid(pid, 0)
        with out:
            out.seek(0)
            return os.waitstatus_to_exitcode(status), out.read()

    return wait


def forked(work: Callable[[], object]) -> tuple[int, str]:
    """Work in a fork; return its exit code and all that was printed."""
    return begin(work)()


def _work(work: Callable[[], object], out: int) -> None:
    """Work and end this process, without what pytest does at its end."""
    code = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)
        torch.set_num_threads(1)  # OpenMP's other threads are not in a fork
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout = sys.stderr = open(1, "w", closefd=False)  # noqa: SIM115
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)
