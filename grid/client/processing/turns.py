"""The numbers of applies, so dealt out that a storage process still knows each that is under way.

An apply is known by a number of its partition, under which it may be sent again (and by whom: see
``entry_processing.py``). Of each partition the last 64 results are kept (``storage/results.py``).
So an apply gets its number only when no older one of its partition is more than `AHEAD_MAX` numbers
behind: of what is dealt out while a number is under way, no more than 31 are older and 31 newer,
and its own result is among the last 63. No number that may be sent is ever too old to be known.

Not here: what is done with a number (``at_data.py``).
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from grid.storage.results import RESULTS_KEPT

AHEAD_MAX = RESULTS_KEPT // 2
"""A new number is less than so much above the oldest one under way."""


@dataclass(slots=True)
class _Partition:
    """The numbers of one partition."""

    last: int = 0
    under_way: dict[int, None] = field(default_factory=dict)
    """In ascending order."""
    waiting: deque[Future[int]] = field(default_factory=deque)

    @property
    def has_room(self) -> bool:
        """Whether the next number may be dealt out."""
        return not self.under_way or self.last + 1 < next(iter(self.under_way)) + AHEAD_MAX

    def next_number(self) -> int:
        """Deal out a number."""
        self.last += 1
        self.under_way[self.last] = None
        return self.last


class Turns:
    """The numbers of one client's applies; any thread may take and give back."""

    def __init__(self) -> None:
        """Start with none."""
        self._lock = threading.Lock()
        self._partitions: dict[int, _Partition] = {}

    def take(self, partition_id: int) -> Future[int]:
        """Return a number, at once or when it is its turn; the first to ask is the first to get.

        Who gives up cancels the future. If that is no longer possible, it has the number.
        """
        future: Future[int] = Future()
        with self._lock:
            partition = self._partitions.get(partition_id)
            if partition is None:
                partition = self._partitions[partition_id] = _Partition()
            if partition.waiting or not partition.has_room:
                partition.waiting.append(future)
                return future
            number = partition.next_number()
        future.set_result(number)
        return future

    def give_back(self, partition_id: int, number: int) -> None:
        """An apply is over, or was never sent."""
        dealt: list[tuple[Future[int], int]] = []
        with self._lock:
            partition = self._partitions[partition_id]
            del partition.under_way[number]
            while partition.waiting and partition.has_room:
                future = partition.waiting.popleft()
                if future.set_running_or_notify_cancel():
                    dealt.append((future, partition.next_number()))
        for future, following in dealt:  # Their callbacks may take and give back.
            future.set_result(following)

    def give_up(self, partition_id: int, turn: Future[int]) -> None:
        """Nobody waits for this turn any more."""
        if not turn.cancel():
            self.give_back(partition_id, turn.result())
