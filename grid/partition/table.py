"""The partition table: who holds each partition, since which epoch.

The table is explicit, immutable and published whole by the coordinator; it never follows
from a hash of the member list. `order` lists the nodes by age; the first living one is the
coordinator.

Not here: how the next table is chosen (``assignment.py``) and agreed (``coordinator.py``).
"""

from __future__ import annotations

import msgspec

from grid.types import PARTITION_COUNT, Epoch, NodeId, PartitionId, TableStamp

VACANT = -1
"""In `primaries`: no node holds this partition any more; its data died with its node."""


class PartitionTable(msgspec.Struct, array_like=True, frozen=True):
    """One version of the table.

    Shape: `primaries` and `epochs` have ``PARTITION_COUNT`` items; a primary is an index into
    `order`, or `VACANT`.
    """

    term: int
    coordinator: bytes
    version: int
    order: tuple[bytes, ...]
    primaries: tuple[int, ...]
    epochs: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse a table that does not fit together, wherever it comes from."""
        if not len(self.primaries) == len(self.epochs) == PARTITION_COUNT:
            raise ValueError(f"a table has {PARTITION_COUNT} partitions")
        if not all(VACANT <= index < len(self.order) for index in self.primaries):
            raise ValueError("a partition's primary is not in the table's order")

    @property
    def stamp(self) -> TableStamp:
        """Which table this is."""
        return TableStamp(self.term, self.coordinator, self.version)

    def primary_of(self, partition_id: PartitionId) -> NodeId | None:
        """Return the owner, or None when the partition is lost."""
        index = self.primaries[partition_id]
        return None if index == VACANT else NodeId(self.order[index])

    def epoch_of(self, partition_id: PartitionId) -> Epoch:
        """Return the epoch of the partition's assignment."""
        return Epoch(self.epochs[partition_id])

    def owned_by(self, node_id: NodeId) -> dict[PartitionId, Epoch]:
        """Return the partitions of one node with their epochs."""
        if node_id not in self.order:
            return {}
        index = self.order.index(node_id)
        return {
            PartitionId(partition_id): Epoch(self.epochs[partition_id])
            for partition_id, primary in enumerate(self.primaries)
            if primary == index
        }

    def lost(self) -> list[PartitionId]:
        """Return the partitions without an owner."""
        return [PartitionId(p) for p, index in enumerate(self.primaries) if index == VACANT]


def make_table(
    stamp: TableStamp,
    order: list[NodeId],
    owners: list[NodeId | None],
    epochs: list[int],
) -> PartitionTable:
    """Build a table from node ids instead of indices."""
    index_of = {node_id: index for index, node_id in enumerate(order)}
    primaries = tuple(VACANT if owner is None else index_of[owner] for owner in owners)
    return PartitionTable(
        stamp.term, stamp.coordinator, stamp.version, tuple(order), primaries, tuple(epochs)
    )
