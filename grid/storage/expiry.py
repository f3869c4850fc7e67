"""When entries with a time to live end: for one map in one partition, if it has such entries.

Not here: the clock, and the removal itself (``store.py``). Entries without a time to live cost
nothing; one with it costs about 200 bytes here.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

_SLACK = 64
"""Dates that are no longer valid are cleared away when they outnumber the valid ones by this."""


class Expiries:
    """The date of each entry that has one. Times are seconds on the store's clock."""

    __slots__ = ("_dates", "_heap")

    def __init__(self) -> None:
        """Start with none."""
        self._dates: dict[bytes, float] = {}
        self._heap: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        """Count the entries that will expire."""
        return len(self._dates)

    def set(self, key: bytes, at_s: float) -> None:
        """Let `key` end at `at_s`."""
        self._dates[key] = at_s
        heappush(self._heap, (at_s, key))
        self._clear_away()

    def forget(self, key: bytes) -> None:
        """The entry is gone, or stays for good."""
        if self._dates.pop(key, None) is not None:
            self._clear_away()

    def is_over(self, key: bytes, now_s: float) -> bool:
        """Whether the entry has ended."""
        at_s = self._dates.get(key)
        return at_s is not None and at_s <= now_s

    def left_s(self, key: bytes, now_s: float) -> float | None:
        """Return how long the entry has left, or None if it stays."""
        at_s = self._dates.get(key)
        return None if at_s is None else at_s - now_s

    def take_over(self, now_s: float, limit: int) -> list[bytes]:
        """Forget up to `limit` entries that have ended, and return their keys."""
        over: list[bytes] = []
        heap, dates = self._heap, self._dates
        while heap and heap[0][0] <= now_s and len(over) < limit:
            at_s, key = heappop(heap)
            if dates.get(key) == at_s:
                del dates[key]
                over.append(key)
        self._clear_away()
        return over

    def _clear_away(self) -> None:
        if len(self._heap) > 2 * len(self._dates) + _SLACK:
            self._heap = [(at_s, key) for key, at_s in self._dates.items()]
            heapify(self._heap)
