"""The partition table: who holds each partition, in which role, since which epoch.

The table is explicit, immutable and published whole by the coordinator; it never follows
from a hash of the member list. `order` lists the nodes by age; the first living one is the
coordinator.

A partition has a *primary*, which serves it, and with ``backup_count = 1`` a *backup*, which
follows the primary's writes. The backup is *synced* when it is known to be a complete copy; only
then may it be promoted. An *incoming* node is being filled to take over a role. The epoch grows
whenever a node loses a role or the primary changes, so that (partition, epoch) belongs to exactly
one pair of primary and backup; to add a backup or to call it synced needs no new epoch.

Not here: how the next table is chosen (``assignment.py``, ``steps.py``) and agreed
(``coordinator.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from grid.types import PARTITION_COUNT, Epoch, NodeId, PartitionId, TableStamp

NOBODY = -1
"""In `backups` and `incoming`: no node has this role."""

VACANT = NOBODY
"""In `primaries`: no node holds this partition any more; its data died with its nodes."""


class PartitionTable(msgspec.Struct, array_like=True, frozen=True):
    """One version of the table.

    Shape: all tuples but `order` have ``PARTITION_COUNT`` items. Those of `primaries`, `backups`
    and `incoming` are indices into `order`, or `VACANT` / `NOBODY`.
    """

    term: int
    coordinator: bytes
    version: int
    order: tuple[bytes, ...]
    primaries: tuple[int, ...]
    epochs: tuple[int, ...]
    backups: tuple[int, ...]
    synced: tuple[bool, ...]
    incoming: tuple[int, ...]
    backup_count: int
    """How many backups every partition shall have: 0 or 1."""

    def __post_init__(self) -> None:
        """Refuse a table that does not fit together, wherever it comes from."""
        columns = (self.primaries, self.epochs, self.backups, self.synced, self.incoming)
        if any(len(column) != PARTITION_COUNT for column in columns):
            raise ValueError(f"a table has {PARTITION_COUNT} partitions")
        if len(set(self.order)) != len(self.order):
            raise ValueError("a node is in the table's order twice")
        roles = (self.primaries, self.backups, self.incoming)
        if any(min(column) < NOBODY or max(column) >= len(self.order) for column in roles):
            raise ValueError("a partition's holder is not in the table's order")
        if self.backup_count not in (0, 1):
            raise ValueError("a partition has one backup or none")
        for primary, backup, synced, incoming in zip(
            self.primaries, self.backups, self.synced, self.incoming, strict=True
        ):
            named = [index for index in (primary, backup, incoming) if index != NOBODY]
            if len(set(named)) != len(named):
                raise ValueError("a node has two roles for one partition")
            if synced and backup == NOBODY:
                raise ValueError("a partition without backup cannot have a synced one")
            if primary == VACANT and named:
                raise ValueError("a partition without primary has nothing to copy")
            if backup != NOBODY and not self.backup_count:
                raise ValueError("a partition has a backup in a cluster without")

    @property
    def stamp(self) -> TableStamp:
        """Which table this is."""
        return TableStamp(self.term, self.coordinator, self.version)

    def primary_of(self, partition_id: PartitionId) -> NodeId | None:
        """Return the owner, or None when the partition is lost."""
        return self._node_at(self.primaries[partition_id])

    def backup_of(self, partition_id: PartitionId) -> NodeId | None:
        """Return who holds the backup, complete or not."""
        return self._node_at(self.backups[partition_id])

    def incoming_of(self, partition_id: PartitionId) -> NodeId | None:
        """Return who is being filled to take over a role."""
        return self._node_at(self.incoming[partition_id])

    def epoch_of(self, partition_id: PartitionId) -> Epoch:
        """Return the epoch of the partition's assignment."""
        return Epoch(self.epochs[partition_id])

    def owned_by(self, node_id: NodeId) -> dict[PartitionId, Epoch]:
        """Return the partitions whose primary is the node, with their epochs."""
        return self._with(node_id, self.primaries)

    def backed_by(self, node_id: NodeId) -> dict[PartitionId, Epoch]:
        """Return the partitions whose backup is the node, with their epochs."""
        return self._with(node_id, self.backups)

    def roles_of(self, node_id: NodeId) -> list[PartitionId]:
        """Return the partitions in which the node has any role."""
        if node_id not in self.order:
            return []
        index = self.order.index(node_id)
        return [
            PartitionId(partition_id)
            for partition_id, roles in enumerate(
                zip(self.primaries, self.backups, self.incoming, strict=True)
            )
            if index in roles
        ]

    def lost(self) -> list[PartitionId]:
        """Return the partitions without an owner."""
        return [PartitionId(p) for p, index in enumerate(self.primaries) if index == VACANT]

    def unprotected(self) -> list[PartitionId]:
        """Return the partitions that have an owner but no complete backup, and should have."""
        if not self.backup_count:
            return []
        return [
            PartitionId(p)
            for p, index in enumerate(self.primaries)
            if index != VACANT and not self.synced[p]
        ]

    def moving(self) -> list[PartitionId]:
        """Return the partitions that a further node is being filled with."""
        return [PartitionId(p) for p, index in enumerate(self.incoming) if index != NOBODY]

    def _node_at(self, index: int) -> NodeId | None:
        return None if index == NOBODY else NodeId(self.order[index])

    def _with(self, node_id: NodeId, roles: tuple[int, ...]) -> dict[PartitionId, Epoch]:
        if node_id not in self.order:
            return {}
        wanted = self.order.index(node_id)
        return {
            PartitionId(partition_id): Epoch(self.epochs[partition_id])
            for partition_id, index in enumerate(roles)
            if index == wanted
        }


def make_table(
    stamp: TableStamp,
    order: Sequence[NodeId],
    owners: Iterable[NodeId | None],
    epochs: Iterable[int],
    backups: Iterable[NodeId | None] | None = None,
    synced: Iterable[bool] | None = None,
    incoming: Iterable[NodeId | None] | None = None,
    *,
    backup_count: int | None = None,
) -> PartitionTable:
    """Build a table from node ids instead of indices.

    Without `backups` it is the table of a cluster that has none. `synced` None: every backup that
    there is. `backup_count` None: 1 if `backups` are given.
    """
    index_of: dict[NodeId | None, int] = {node_id: index for index, node_id in enumerate(order)}
    index_of[None] = NOBODY
    nobody = (NOBODY,) * PARTITION_COUNT
    backed = nobody if backups is None else tuple(index_of[node_id] for node_id in backups)
    filled = nobody if incoming is None else tuple(index_of[node_id] for node_id in incoming)
    return PartitionTable(
        stamp.term,
        stamp.coordinator,
        stamp.version,
        tuple(order),
        tuple(index_of[owner] for owner in owners),
        tuple(epochs),
        backed,
        tuple(index != NOBODY for index in backed) if synced is None else tuple(synced),
        filled,
        int(backups is not None) if backup_count is None else backup_count,
    )
