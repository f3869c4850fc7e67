"""From the partition table to what each storage process of a node has to hold.

Not here: the table itself (``partition/``), holding it (``replicator.py``).
"""

from __future__ import annotations

from collections.abc import Callable

from grid.partition.messages import HoldingRole
from grid.partition.table import PartitionTable
from grid.replication.messages import Assignment, CopyTarget
from grid.types import NodeId, PartitionId

StorageCountOf = Callable[[NodeId], int | None]
"""How many storage processes a node has; None when it is not known (any more)."""


def assignments_of(
    table: PartitionTable, own_id: NodeId, storage_count_of: StorageCountOf
) -> list[Assignment]:
    """Return what the table gives to a node, in the order of the partitions."""
    assignments = []
    for number in table.roles_of(own_id):
        primary = table.primary_of(number)
        assert primary is not None, "who has a role has a primary"
        copies = _copies(table, number, storage_count_of) if primary == own_id else []
        assignments.append(
            Assignment(
                number, table.epoch_of(number), _role(table, number, own_id), primary, copies
            )
        )
    return assignments


def _role(table: PartitionTable, number: PartitionId, own_id: NodeId) -> HoldingRole:
    if table.primary_of(number) == own_id:
        return HoldingRole.PRIMARY
    is_backup = table.backup_of(number) == own_id and table.synced[number]
    return HoldingRole.BACKUP if is_backup else HoldingRole.FILLING


def _copies(
    table: PartitionTable, number: PartitionId, storage_count_of: StorageCountOf
) -> list[CopyTarget]:
    copies = []
    for node_id, is_backup in ((table.backup_of(number), True), (table.incoming_of(number), False)):
        count = None if node_id is None else storage_count_of(node_id)
        if node_id is not None and count:
            is_synced = is_backup and table.synced[number]
            copies.append(CopyTarget(node_id, number % count, is_backup, is_synced))
    return copies
