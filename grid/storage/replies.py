"""Replies: with a record, and those that wait for copies.

Not here: when which is given (``store.py``), when it is sent (``process/storage.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

from grid.storage.messages import LARGE_VALUE_BYTES, Found, FoundLarge, Missing, Reply
from grid.storage.partition import Partition


@dataclass(frozen=True, slots=True)
class Held:
    """A reply to be sent when the copies of these partitions have the writes up to these."""

    reply: Reply
    waits: tuple[tuple[Partition, int], ...]

    @property
    def is_over(self) -> bool:
        """Whether it can be sent."""
        return all(held.confirmed >= sequence for held, sequence in self.waits)

    @property
    def is_hopeless(self) -> bool:
        """Whether it waits for a backup that there is not any more."""
        return any(held.confirmed < wanted and not held.has_backup for held, wanted in self.waits)


def found(request: int, record: bytes | None) -> Reply:
    """Return the reply with a record, or without."""
    if record is None:
        return Missing(request)
    if len(record) > LARGE_VALUE_BYTES:
        return FoundLarge(request, memoryview(record))
    return Found(request, record)
