"""What every child of a supervisor does first, and the logging they share.

A child is forked, not executed: signals, standard streams, exit handlers and foreign pipe
ends of the supervisor come along and must go, else Ctrl-C hits twice and nobody sees EOF.
"""

from __future__ import annotations

import atexit
import ctypes
import logging
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_KEPT_BYTES = 32 * 1024 * 1024
"""More is not taken for M_MMAP_THRESHOLD."""
_PAD_BYTES = 1024 * 1024

EVENTS_LOGGER = "grid.events"
"""Its lines say what events tell as sentences: a log has the ones, a console the others."""

EVENT_MARK = "*"
"""Behind the level of such a line."""


class LogFormatter(logging.Formatter):
    """One line a record; the supervisor reads it from the children's shared stderr pipe."""

    def format(self, record: logging.LogRecord) -> str:
        """Return level and message, and the traceback if there is one."""
        mark = EVENT_MARK if record.name == EVENTS_LOGGER else ""
        return f"{record.levelname}{mark} {super().format(record)}"


def reset_child(title: str, log_fd: int) -> None:
    """Detach from the supervisor's terminal, signals and exit handlers.

    Runs in: every child, before anything else. `log_fd` receives stdout and stderr.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGWINCH):
        signal.signal(number, signal.SIG_IGN)  # The supervisor decides, and tells by pipe.
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGTSTP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL if number != signal.SIGPIPE else signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    atexit._clear()
    null_fd = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null_fd, 0)
    os.close(null_fd)
    os.dup2(log_fd, 1)
    os.dup2(log_fd, 2)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  # lives as long as the process
    sys.stdout = open(1, "w", buffering=1, closefd=False, errors="replace")  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False, errors="replace")  # noqa: SIM115
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    with open("/proc/self/comm", "w") as comm:
        comm.write(f"grid-{title}"[:15])


def keep_freed_memory() -> None:
    """Let malloc keep up to 32 MiB of freed memory instead of returning it to the kernel.

    Large frames come and go all the time; a page that is returned and taken again costs a
    fault, up to two microseconds each, several times what it takes to fill it (mallopt(3)).
    Without glibc nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TOP_PAD, _PAD_BYTES)


def die_with_parent() -> None:
    """Ask the kernel for SIGKILL when the supervisor dies (prctl(2)).

    A process in user code, or a stopped one, cannot watch its pipe. The supervisor has a
    single thread, so the signal really means that the process is gone.
    """
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # It died in between.
