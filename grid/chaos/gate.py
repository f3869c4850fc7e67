"""Where workers stop between two operations, so that nothing is under way for a while."""

from __future__ import annotations

import threading

from grid.errors import GridError


class Gate:
    """Open at first. Workers `pass_through` before every operation; one other thread closes it."""

    def __init__(self, workers: int) -> None:
        """For so many workers."""
        self._condition = threading.Condition()
        self._running = workers
        self._is_closed = False
        self._is_over = False

    def pass_through(self) -> bool:
        """Wait while the gate is closed; return False when the work is over."""
        if not self._is_closed and not self._is_over:
            return True
        with self._condition:
            self._running -= 1
            self._condition.notify_all()
            self._condition.wait_for(lambda: not self._is_closed or self._is_over)
            if not self._is_over:
                self._running += 1
            return not self._is_over

    def leave(self) -> None:
        """A worker ends by itself."""
        with self._condition:
            self._running -= 1
            self._condition.notify_all()

    def close(self, timeout_s: float) -> None:
        """Let nobody pass, and wait until everybody stands here.

        Raises: GridError when an operation takes longer than `timeout_s`.
        """
        with self._condition:
            self._is_closed = True
            if not self._condition.wait_for(lambda: self._running == 0, timeout_s):
                raise GridError(f"{self._running} operations have not ended within {timeout_s:g} s")

    def open(self) -> None:
        """Let everybody go on."""
        with self._condition:
            self._is_closed = False
            self._condition.notify_all()

    def end(self) -> None:
        """The work is over for all."""
        with self._condition:
            self._is_over = True
            self._condition.notify_all()
