"""Whether the code of a task does nothing but wait for tasks that it has submitted.

A task that waits keeps a worker from others; if all do so, nobody is left to run what they wait
for. There are many ways to wait (``result``, ``wait``, ``as_completed``, ``map``, event loops), so
what is watched is the thread itself: it has unfinished tasks and uses no CPU time.

Not here: what follows from it (``executor/queue.py``).
Runs in: worker processes; called by the threads of a task's executors.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LOOK_INTERVAL_S = 0.05
"""How often a thread with unfinished tasks is looked at."""

BUSY_S = 0.001
"""CPU time between two looks, below which a thread was waiting."""


class Waiting:
    """What all executors of this process know of its main thread."""

    def __init__(self, on_change: Callable[[bool], None]) -> None:
        """`on_change` is told when the main thread begins to wait, and when it goes on."""
        self._on_change = on_change
        self._lock = threading.Lock()
        self._watches: set[Watch] = set()
        ident = threading.main_thread().ident
        assert ident is not None, "the main thread runs"
        self._clock = time.pthread_getcpuclockid(ident)

    def cpu_s(self) -> float:
        """Return the CPU time of the main thread."""
        return time.clock_gettime(self._clock)

    def note(self, watch: Watch, *, is_waiting: bool) -> None:
        """Take the word of one watch."""
        with self._lock:
            was_waiting = bool(self._watches)
            if is_waiting:
                self._watches.add(watch)
            else:
                self._watches.discard(watch)
            if bool(self._watches) != was_waiting:
                self._on_change(not was_waiting)


class Watch:
    """What one executor sees."""

    def __init__(self, waiting: Waiting) -> None:
        """Begin to look."""
        self._waiting = waiting
        self._cpu_s = waiting.cpu_s()
        self._looked_s = time.monotonic()

    def look(self, *, has_unfinished: bool) -> None:
        """Look at the main thread, if it is time to."""
        if not has_unfinished:
            self._waiting.note(self, is_waiting=False)
            return
        now_s = time.monotonic()
        if now_s - self._looked_s < LOOK_INTERVAL_S:
            return
        cpu_s = self._waiting.cpu_s()
        is_waiting = cpu_s - self._cpu_s < BUSY_S
        self._cpu_s, self._looked_s = cpu_s, now_s
        self._waiting.note(self, is_waiting=is_waiting)
