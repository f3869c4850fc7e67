"""One copy of one partition elsewhere, as its primary's process sees it.

Not here: the stream that it is a part of (``channel.py``), filling it (``fills.py``).
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from grid.replication.messages import Item
from grid.replication.options import ReplicationOptions
from grid.storage.changes import Change, Changes, Cleared
from grid.storage.partition import Partition


class Stream(Protocol):
    """What an outlet and its primary need of the channel; explained there."""

    options: ReplicationOptions
    outlets: dict[int, CopyOutlet]
    touched: dict[CopyOutlet, None]

    @property
    def last_number(self) -> int:
        """The number of the last parcel, or of the next one if something waits to be sent."""

    @property
    def receipted_number(self) -> int:
        """The number up to which there are receipts."""

    @property
    def room(self) -> int:
        """How many more writes may be acknowledged."""

    @property
    def is_shut(self) -> bool:
        """Whether writers must wait for this channel."""

    def attach(self, outlet: CopyOutlet) -> None:
        """Send to this copy."""

    def drop(self, outlet: CopyOutlet) -> None:
        """Send nothing more to this copy."""

    def add(self, item: Item, size_bytes: int) -> None:
        """Take something to be sent."""

    def count(self, entries: int) -> None:
        """Count writes that are acknowledged before the other process has them."""

    def hurry(self) -> None:
        """Somebody waits."""

    def want(self, entries: int) -> None:
        """Ask for room."""

    def on_full(self, outlet: CopyOutlet) -> None:
        """Be told that a window has become full."""


class CopyState(Enum):
    """What the primary's process knows of a copy."""

    WAITING = 0
    FILLING = 1
    COMPLETE = 2


class CopyOutlet:
    """One copy of one partition elsewhere, as its primary's process sees it."""

    __slots__ = (
        "acked", "acked_bytes", "acked_operations", "begun_epoch", "begun_in", "channel",
        "destination", "held", "is_backup", "is_synced", "node_id", "settled_by", "state",
        "told_bytes", "told_operations",
    )  # fmt: skip

    def __init__(self, channel: Stream, held: Partition, node_id: bytes) -> None:
        """Begin without anything sent."""
        self.channel = self.destination = channel
        self.held = held
        self.node_id = node_id
        self.is_backup = False
        self.is_synced = False
        """The table says so."""
        self.state = CopyState.WAITING
        self.begun_in = 0
        """The number of the parcel with which its fill began."""
        self.begun_epoch = 0
        """The epoch of its partition then: the copy has it until it is told another one."""
        self.settled_by = 0
        """The number of the last parcel from before its partition was frozen."""
        self.acked = 0
        """The sequence up to which the copy has everything."""
        self.told_operations = self.told_bytes = 0
        self.acked_operations = self.acked_bytes = 0
        """Of what it was told ever, so much has been receipted."""

    @property
    def is_complete(self) -> bool:
        """Whether the copy has all, but for what is on its way."""
        return self.state is CopyState.COMPLETE

    def append(self, change: Change, size_bytes: int, at_risk: int) -> None:
        """Take a change of one entry; `at_risk`: 1 if it is acknowledged at once, else 0."""
        channel = self.channel
        channel.add(change, size_bytes)
        self._count(size_bytes)
        if self.state is CopyState.COMPLETE:
            channel.count(at_risk)

    def append_many(self, change: Changes | Cleared, size_bytes: int, at_risk: int) -> None:
        """Take a change of many entries, for all the copies that its process has.

        `at_risk`: how many of them are acknowledged at once.
        """
        channel = self.channel
        channel.add(change, size_bytes)
        share_bytes = size_bytes // len(change.versions)
        outlets, touched = channel.outlets, channel.touched
        operations_max = channel.options.window_operations_max
        bytes_max = channel.options.window_bytes_max
        is_binding = False
        for p, _, _ in change.versions:
            outlet = outlets[p]
            outlet.told_operations += 1
            outlet.told_bytes += share_bytes
            touched[outlet] = None
            if (
                outlet.told_operations - outlet.acked_operations >= operations_max
                or outlet.told_bytes - outlet.acked_bytes >= bytes_max
            ):
                channel.on_full(outlet)
            is_binding = is_binding or outlet.state is CopyState.COMPLETE
        if is_binding:
            channel.count(at_risk)

    def _count(self, size_bytes: int) -> None:
        self.told_operations += 1
        self.told_bytes += size_bytes
        channel = self.channel
        channel.touched[self] = None
        if self._is_window_full:
            channel.on_full(self)

    @property
    def operations(self) -> int:
        """Changes without a receipt."""
        return self.told_operations - self.acked_operations

    @property
    def bytes(self) -> int:
        """What these changes take."""
        return self.told_bytes - self.acked_bytes

    @property
    def _is_window_full(self) -> bool:
        options = self.channel.options
        return (
            self.operations >= options.window_operations_max
            or self.bytes >= options.window_bytes_max
        )

    @property
    def is_full(self) -> bool:
        """Whether further writes must wait for this copy.

        Also while it is being filled: what is on its way takes memory.
        """
        return self._is_window_full or (self.state is CopyState.COMPLETE and self.channel.is_shut)
