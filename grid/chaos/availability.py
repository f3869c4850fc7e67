"""For how long could a partition not be used, although somebody tried?

A partition is *waited for* from the begin of the first attempt that nobody has had success since,
until the next success. Attempts that failed count until somebody succeeds, even if nobody
tries meanwhile; in a planned pause nobody waits.
"""

from __future__ import annotations

import threading


class Availability:
    """Told of every attempt. Safe to share between threads."""

    def __init__(self, partition_count: int) -> None:
        """Nobody has tried anything yet."""
        self.longest_s = 0.0
        self.longest_partition = -1
        self.longest_since_s = 0.0
        self._waiting_since: list[float | None] = [None] * partition_count
        self._under_way = [0] * partition_count
        self._lock = threading.Lock()

    def begin(self, partition: int, now_s: float) -> None:
        """Somebody tries."""
        with self._lock:
            self._under_way[partition] += 1
            if self._waiting_since[partition] is None:
                self._waiting_since[partition] = now_s

    def succeed(self, partition: int, now_s: float) -> None:
        """An attempt has had success; whoever still tries waits from now on."""
        with self._lock:
            self._note(partition, now_s)
            self._under_way[partition] -= 1
            self._waiting_since[partition] = now_s if self._under_way[partition] else None

    def fail(self, partition: int) -> None:
        """An attempt has failed."""
        with self._lock:
            self._under_way[partition] -= 1

    def pause(self, now_s: float) -> None:
        """Nobody tries any more for a while, and all attempts are over."""
        with self._lock:
            for partition in range(len(self._waiting_since)):
                self._note(partition, now_s)
                self._waiting_since[partition] = None

    def _note(self, partition: int, now_s: float) -> None:
        since_s = self._waiting_since[partition]
        if since_s is not None and now_s - since_s > self.longest_s:
            self.longest_s = now_s - since_s
            self.longest_partition = partition
            self.longest_since_s = since_s
