"""What nodes say to each other about who holds what. Carried on the peers' TCP links."""

from __future__ import annotations

import msgspec

from grid.partition.table import PartitionTable
from grid.types import TableStamp


class Holding(msgspec.Struct, array_like=True, frozen=True):
    """One partition that a node's storage processes really hold."""

    partition_id: int
    epoch: int
    entries: int


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
    """Coordinator: give up these partitions, each only if it is empty."""

    round: int
    partition_ids: list[int]


class Released(msgspec.Struct, array_like=True, frozen=True, tag=14):
    """Answer to `Release`: these were empty (or not held) and are served no more."""

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
)
