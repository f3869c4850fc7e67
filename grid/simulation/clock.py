"""Virtual time: one heap of (time, number) and nothing else that could vary between runs."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count


class Clock:
    """Runs scheduled calls in order of time, then of scheduling."""

    def __init__(self) -> None:
        """Start at zero."""
        self.now_s = 0.0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._numbers = count()

    def call_later(self, delay_s: float, call: Callable[..., None], *args: object) -> None:
        """Schedule ``call(*args)``."""
        heapq.heappush(self._heap, (self.now_s + delay_s, next(self._numbers), call, args))

    def run_until(self, time_s: float) -> None:
        """Run everything due up to `time_s`, which is the present afterwards."""
        heap = self._heap
        while heap and heap[0][0] <= time_s:
            self.now_s, _, call, args = heapq.heappop(heap)
            call(*args)
        self.now_s = time_s

    def run_until_true(self, condition: Callable[[], bool], limit_s: float) -> bool:
        """Run until `condition` holds after some call; False when `limit_s` came first."""
        while not condition():
            if not self._heap or self._heap[0][0] > limit_s:
                self.now_s = limit_s
                return condition()
            self.now_s, _, call, args = heapq.heappop(self._heap)
            call(*args)
        return True
