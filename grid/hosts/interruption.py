"""What ends a program that has made hosts: whatever it is, nothing is to be left behind.

Not here: Ctrl-C, which is a KeyboardInterrupt anyway; SIGKILL, whose leftovers the next program
removes (``leftovers.py``).
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

ENDS = (signal.SIGTERM, signal.SIGHUP)
"""SIGHUP: its terminal was closed."""


@contextlib.contextmanager
def ended_as_by_ctrl_c() -> Iterator[None]:
    """Raise KeyboardInterrupt for each of these signals, unless it is ignored (`nohup`).

    For the main thread only.
    """
    heeded = [number for number in ENDS if signal.getsignal(number) is not signal.SIG_IGN]
    former = [signal.signal(number, signal.default_int_handler) for number in heeded]
    try:
        yield
    finally:
        for number, handler in zip(heeded, former, strict=True):
            signal.signal(number, handler)
