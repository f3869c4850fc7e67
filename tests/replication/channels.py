"""A channel by itself, with copies of partitions that are written to directly."""

from __future__ import annotations

from grid.replication.agenda import Agenda
from grid.replication.channel import Channel
from grid.replication.messages import Parcel, Receipt, decode_stream
from grid.replication.options import ReplicationOptions
from grid.replication.outlet import CopyOutlet, CopyState
from grid.storage.changes import Change, Result
from grid.storage.partition import Partition

PEER = b"b" * 16
MAP = "m"


class Line:
    """A channel, its clock, and what it has asked and sent."""

    def __init__(self, options: ReplicationOptions | None = None) -> None:
        self.now_s = 100.0
        self.full: list[CopyOutlet] = []
        self.gates: list[bool] = []
        """Whether writers must wait, each time that it changed."""
        self.agenda = Agenda()
        self.channel = Channel(
            PEER,
            0,
            options or ReplicationOptions(),
            lambda: self.now_s,
            self.agenda,
            self.full.append,
            lambda channel: self.gates.append(channel.is_shut),
        )

    def complete(self, partition: int = 1) -> CopyOutlet:
        """Attach a copy that has been handed over with its partition."""
        held = Partition(1, 0, partition)
        outlet = CopyOutlet(self.channel, held, PEER)
        outlet.is_backup = outlet.is_synced = True
        outlet.state = CopyState.COMPLETE
        held.outlets = (outlet,)
        self.channel.attach(outlet)
        return outlet

    def empty(self, partition: int = 1, *, is_backup: bool = True) -> CopyOutlet:
        """Attach a copy that has to be filled."""
        outlet = CopyOutlet(self.channel, Partition(1, 0, partition), PEER)
        outlet.is_backup = is_backup
        self.channel.attach(outlet)
        return outlet

    def write(self, outlet: CopyOutlet, count: int = 1, value: bytes = b"v") -> None:
        """Write to a copy's partition as a store does."""
        held = outlet.held
        for _ in range(count):
            held.sequence += 1
            key = held.sequence.to_bytes(4, "big")
            held.table_to_write(MAP).records[key] = bytes(8) + value
            change = Change(
                held.partition_id, held.epoch, held.sequence, MAP, key, value, 0, b"", 0,
                Result.STORED,
            )  # fmt: skip
            for told in held.outlets:
                told.append(change, len(value) + 68, 1)

    def tick(self, seconds: float = 0.0) -> list[Parcel]:
        """Let time pass; return what is sent."""
        self.now_s += seconds
        self.channel.tick(self.now_s)
        return self.sent()

    def sent(self) -> list[Parcel]:
        bodies, self.channel.outgoing = self.channel.outgoing, []
        parcels = [decode_stream(body) for body in bodies]
        assert all(isinstance(parcel, Parcel) for parcel in parcels)
        return parcels  # type: ignore[return-value]

    def receipt(self, number: int, *broken: int, is_gap: bool = False) -> list[CopyOutlet]:
        receipt = Receipt(number, is_gap, list(broken), self.channel.stream)
        return self.channel.receive(receipt, self.now_s)

    def open(self, entries: int = 1) -> None:
        """Let so many writes be allowed; all parcels are receipted."""
        self.channel.want(entries)
        for parcel in self.tick():
            self.receipt(parcel.number)


def is_full(outlet: CopyOutlet) -> bool:
    """Tell whether writers wait for a copy: as a call, since it changes between two looks."""
    return outlet.is_full


def is_shut(line: Line) -> bool:
    return line.channel.is_shut


def is_complete(outlet: CopyOutlet) -> bool:
    return outlet.is_complete
