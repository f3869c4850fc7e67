"""What nodes say to each other about who holds what. Carried on the peers' TCP links."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from grid.partition.table import PartitionTable
from grid.types import TableStamp


class HoldingRole(IntEnum):
    """As what a storage process holds a partition."""

    PRIMARY = 0
    """It serves it."""
    BACKUP = 1
    """A complete copy: it could serve it."""
    FILLING = 2
    """An incomplete copy, worth nothing until it is complete."""


class Holding(msgspec.Struct, array_like=True, frozen=True):
    """One partition that a node's storage processes really hold.

    `sequence` is that of the last write that the copy has, 0 if it was never written in this
    node. `complete`, said by a primary only: ids of the nodes (backup or incoming) whose copies
    it knows to be complete, now and in this epoch.
    """

    partition_id: int
    epoch: int
    entries: int
    sequence: int = 0
    role: HoldingRole = HoldingRole.PRIMARY
    complete: list[bytes] = msgspec.field(default_factory=list)


class Collect(msgspec.Struct, array_like=True, frozen=True, tag=10):
    """Coordinator: what do you hold? Accepting it means following this coordinator."""

    round: int
    stamp: TableStamp


class Holdings(msgspec.Struct, array_like=True, frozen=True, tag=11):
    """Answer to `Collect`, with the follower's own table stamp and the truth of its storage."""

    round: int
    stamp: TableStamp
    held: list[Holding]


class CollectRefused(msgspec.Struct, array_like=True, frozen=True, tag=12):
    """Answer to `Collect`: I follow a table that yours must give way to."""

    round: int
    stamp: TableStamp


class Release(msgspec.Struct, array_like=True, frozen=True, tag=13):
    """Coordinator: let go of partitions that others shall have.

    `partition_ids`: give them up, each only if it holds no entries; what is no primary (a copy)
    is not meant. `handovers`: serve no more requests for them, and answer when every complete
    copy has acknowledged everything that was written.
    """

    round: int
    partition_ids: list[int]
    handovers: list[int]


class Released(msgspec.Struct, array_like=True, frozen=True, tag=14):
    """Answer to `Release`: these are served no more.

    They were empty, or not held, or they are frozen and all their complete copies are equal. What
    is frozen stays so until the next table is served.
    """

    round: int
    partition_ids: list[int]


class Publish(msgspec.Struct, array_like=True, frozen=True, tag=15):
    """Coordinator: this is the table now."""

    table: PartitionTable


class TableWanted(msgspec.Struct, array_like=True, frozen=True, tag=16):
    """Send me your table (yours was seen to be newer than mine)."""

    stamp: TableStamp


class Leaving(msgspec.Struct, array_like=True, frozen=True, tag=17):
    """To the coordinator: I go now; what I do not list here was empty and is released."""

    held: list[Holding]


class AcceptLoss(msgspec.Struct, array_like=True, frozen=True, tag=18):
    """To the coordinator: a person accepts the loss; serve the lost partitions again, empty."""


class RoundWanted(msgspec.Struct, array_like=True, frozen=True, tag=19):
    """To the coordinator: a copy here became complete or broke; run a round.

    `is_last`: nothing more is being filled from here, so it is worth doing soon.
    """

    is_last: bool = False


class LeaveWanted(msgspec.Struct, array_like=True, frozen=True, tag=20):
    """To the coordinator: I want to leave; let others have what I hold. Repeated until allowed."""


class LeaveAllowed(msgspec.Struct, array_like=True, frozen=True, tag=21):
    """Coordinator: you have no role any more, or there is nobody to take yours. Go."""


PartitionMessage = (
    Collect
    | Holdings
    | CollectRefused
    | Release
    | Released
    | Publish
    | TableWanted
    | Leaving
    | AcceptLoss
    | RoundWanted
    | LeaveWanted
    | LeaveAllowed
)

CoordinatorMessage = (
    Holdings | CollectRefused | Released | Leaving | AcceptLoss | RoundWanted | LeaveWanted
)
"""What a `Coordinator` handles; the rest is for the `Follower`."""
