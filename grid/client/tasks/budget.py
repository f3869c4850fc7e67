"""How much a submitter may have unfinished: tasks, and bytes of their calls."""

from __future__ import annotations

import threading

TASKS_MAX = 10_000
"""Unfinished tasks of one executor."""

BYTES_MAX = 1024 * 1024 * 1024
"""Bytes of their calls, which are kept until the result is there; a single call always fits."""


class Budget:
    """Counts unfinished tasks; any thread may take and give back."""

    def __init__(self, tasks_max: int = TASKS_MAX, bytes_max: int = BYTES_MAX) -> None:
        """Start with nothing taken."""
        self._tasks_max = tasks_max
        self._bytes_max = bytes_max
        self._tasks = self._bytes = 0
        self._changed = threading.Condition(threading.Lock())
        self._waiting = 0

    def take(self, call_bytes: int, *, waits: bool) -> bool:
        """Count a task in; False when there is no room and `waits` is not wanted."""
        with self._changed:
            if not self._has_room(call_bytes):
                if not waits:
                    return False
                self._waiting += 1
                try:
                    self._changed.wait_for(lambda: self._has_room(call_bytes))
                finally:
                    self._waiting -= 1
            self._tasks += 1
            self._bytes += call_bytes
            return True

    def give_back(self, call_bytes: int) -> None:
        """Count a task out."""
        with self._changed:
            self._tasks -= 1
            self._bytes -= call_bytes
            if self._waiting:
                # All: the next in line may be too large for what another could use.
                self._changed.notify_all()

    def _has_room(self, call_bytes: int) -> bool:
        fits = self._bytes + call_bytes <= self._bytes_max or not self._tasks
        return self._tasks < self._tasks_max and fits
