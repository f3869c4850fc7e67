"""Forking: children with exactly the file descriptors they own, and their end.

A forked child has a copy of every descriptor of its parent. Each child closes all but its
own first, else a pipe would never report EOF: some sibling would hold the other end open.

Children are watched by pidfd (pidfd_open(2)), which is ready when that very process ends,
whatever it has forked in turn.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from grid.process.child import die_with_parent, reset_child


@dataclass(slots=True)
class Child:
    """A forked process: `pidfd` becomes readable when it has ended."""

    name: str
    pid: int
    pidfd: int
    exit_code: int | None = None

    def send_signal(self, number: signal.Signals) -> None:
        """Signal the process if it is still there."""
        if self.exit_code is None:
            try:
                signal.pidfd_send_signal(self.pidfd, number)
            except ProcessLookupError:
                return

    def reap(self) -> bool:
        """Collect the exit code if the process has ended; return whether it has."""
        if self.exit_code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid == 0:
                return False
            self.exit_code = os.waitstatus_to_exitcode(status)
            os.close(self.pidfd)
        return True

    def describe_end(self) -> str:
        """Return how the process ended, for a person."""
        code = self.exit_code
        if code is not None and code < 0:
            names = {number.value: number.name for number in signal.Signals}
            name = names.get(-code, f"signal {-code}")  # Most real-time signals have no name.
            return f"{self.name} (pid {self.pid}) was killed by {name}"
        return f"{self.name} (pid {self.pid}) ended with exit code {code}"


def fork(
    name: str,
    main: Callable[[], None],
    *,
    keep_fds: Iterable[int],
    log_fd: int,
    new_group: bool = False,
) -> Child:
    """Fork a child that runs `main` and exits.

    Args:
        name: for people and process listings.
        main: what the child does; its return is exit code 0.
        keep_fds: descriptors of this process that the child owns from now on.
        log_fd: where the child's standard output and error go.
        new_group: make the child the leader of its own process group; it may then outlive this
            process (to stop by itself). Others are killed with it.

    Runs in: a process without threads.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        if new_group:
            # Also done by the child; whoever comes first, nobody sees it in the old group.
            _set_group(pid)
        return Child(name, pid, os.pidfd_open(pid))
    code = 1
    try:
        if new_group:
            _set_group(0)
        else:
            die_with_parent()
        _close_all_but({0, 1, 2, log_fd, *keep_fds})
        reset_child(name, log_fd)
        main()
        code = 0
    except SystemExit as request:
        code = 0 if request.code is None else 1
        if isinstance(request.code, int):
            code = request.code
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
    raise AssertionError("unreachable")


def _set_group(pid: int) -> None:
    try:
        os.setpgid(pid, pid)
    except (PermissionError, ProcessLookupError):
        return  # It has done so itself, or is gone.


def _close_all_but(kept: set[int]) -> None:
    """Close by number: the parent's objects stay referenced by its frames until _exit."""
    for text in os.listdir("/proc/self/fd"):
        fd = int(text)
        if fd not in kept:
            try:
                os.close(fd)
            except OSError:
                continue  # The descriptor of the listing itself.
