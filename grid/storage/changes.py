"""What happened to a partition, as its copies are told: results of operations, not operations.

Each change carries the epoch and sequence of its write, so that a copy can tell the next one from
one it has and from one that follows a gap, and builds the very same record. It carries the client
and the number of its request, too: the copy will have to answer a repeated request once it is
primary.

Not here: how changes are applied (``applying.py``), how they travel (``replication/``).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol

import msgspec

KEEPS_DATE = -1
"""In `ttl_ms`: the entry ends when it would have ended before the write. 0: it stays."""


class Result(IntEnum):
    """What the client was answered."""

    STORED = 0
    COUNTED = 1
    """With the new record."""
    REMOVED = 2
    TAKEN = 3
    """With the record that was removed."""


class Change(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=1):
    """One entry stored (its value: tag and payload) or, with None, removed."""

    partition: int
    epoch: int
    sequence: int
    map: str
    key: bytes
    value: bytes | None
    ttl_ms: int
    client: bytes
    operation: int
    result: Result


class Changes(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """Many entries stored or, with None for `values`, removed, by one request or by time.

    Shape: `partitions` has a byte for each key; `versions` are (partition, epoch, sequence).
    """

    map: str
    versions: list[tuple[int, int, int]]
    partitions: bytes
    keys: list[bytes]
    values: list[bytes] | None
    ttl_ms: int
    client: bytes
    operation: int


class Cleared(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """All entries of a map removed in these partitions."""

    map: str
    versions: list[tuple[int, int, int]]


AnyChange = Change | Changes | Cleared


class Outlet(Protocol):
    """Takes the changes of one partition to one copy of it elsewhere."""

    @property
    def destination(self) -> object:
        """Of the process that has the copy; changes of many entries go there once."""

    def append(self, change: Change, size_bytes: int, at_risk: int) -> None:
        """Take a change of one entry; `at_risk`: 1 if it is acknowledged at once, else 0."""

    def append_many(self, change: Changes | Cleared, size_bytes: int, at_risk: int) -> None:
        """Take a change of many entries, for all the copies that its process has.

        `at_risk`: how many of them are acknowledged at once.
        """
