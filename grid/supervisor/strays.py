"""Processes that tasks have started and left behind: they end with the node.

The supervisor is a *subreaper* (prctl(2)): what a dead worker leaves becomes its child
instead of init's, so it can be reaped while the node runs and killed when the node ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os

import psutil

_PR_SET_CHILD_SUBREAPER = 36

KILL_DEADLINE_S = 3.0
"""A killed process that has not ended by then hangs in the kernel; the node ends without it."""


def adopt_strays() -> None:
    """Become the parent of whatever children leave behind."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def reap_strays(own_pids: set[int]) -> None:
    """Collect strays that have ended; `own_pids` are children that others wait for."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in own_pids:
            return  # One of ours hides the others until it is reaped; next time, then.
        os.waitpid(ended.si_pid, 0)


def kill_strays() -> int:
    """Kill every descendant that is left; return how many."""
    strays = psutil.Process().children(recursive=True)
    for stray in strays:
        with contextlib.suppress(psutil.NoSuchProcess):
            stray.kill()
    # Grandchildren become children when their parent ends, so this reaps them as well.
    psutil.wait_procs(strays, timeout=KILL_DEADLINE_S)
    return len(strays)
