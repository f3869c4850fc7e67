"""Replies: with a record, and those that wait for copies.

Not here: when which is given (``store.py``), when it is sent (``process/storage.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from grid.storage.messages import LARGE_VALUE_BYTES, Found, FoundLarge, Missing, Reply
from grid.storage.partition import Partition


def at_once() -> bool:
    """Tell that there is nothing to wait for."""
    return True


@dataclass(frozen=True, slots=True)
class Held:
    """A reply to be sent when the copies of these partitions have the writes up to these.

    `is_settled`: what else has to be so (`Partitions.settle`).
    """

    reply: Reply
    waits: tuple[tuple[Partition, int], ...]
    is_settled: Callable[[], bool] = at_once

    @property
    def is_over(self) -> bool:
        """Whether it can be sent."""
        is_confirmed = all(held.confirmed >= sequence for held, sequence in self.waits)
        return is_confirmed and self.is_settled()

    @property
    def is_hopeless(self) -> bool:
        """Whether it waits for a backup that there is not any more."""
        return any(held.confirmed < wanted and not held.has_backup for held, wanted in self.waits)


def together(replies: Sequence[Held], reply: Reply) -> Held:
    """Return one reply for several, to be sent when all of them can be."""
    waits = tuple(wait for held in replies for wait in held.waits)
    return Held(reply, waits, lambda: all(held.is_settled() for held in replies))


def found(request: int, record: bytes | None) -> Reply:
    """Return the reply with a record, or without."""
    if record is None:
        return Missing(request)
    if len(record) > LARGE_VALUE_BYTES:
        return FoundLarge(request, memoryview(record))
    return Found(request, record)
