"""Nodes, tables and short ways to look at effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from msgspec.structs import replace

from grid.partition.messages import Holding, HoldingRole
from grid.partition.table import PartitionTable, make_table
from grid.types import NODE_ID_BYTES, PARTITION_COUNT, NodeId, PartitionId, TableStamp

E = TypeVar("E")


def node(number: int) -> NodeId:
    return NodeId(number.to_bytes(NODE_ID_BYTES, "big"))


def stamp(term: int, coordinator: int, version: int) -> TableStamp:
    return TableStamp(term, node(coordinator), version)


def table_of(
    table_stamp: TableStamp, order: list[NodeId], owners: dict[int, NodeId | None] | None = None
) -> PartitionTable:
    """Return a table where the first of `order` owns all but `owners`, every epoch being 1."""
    given: dict[int, NodeId | None] = dict.fromkeys(range(PARTITION_COUNT), order[0])
    given |= owners or {}
    return make_table(
        table_stamp, order, [given[p] for p in range(PARTITION_COUNT)], [1] * PARTITION_COUNT
    )


def holds(
    table: PartitionTable, node_id: NodeId, entries: dict[int, int] | None = None
) -> list[Holding]:
    """Return what a node holds that serves its part of the table, with some entries.

    What the table calls synced is complete, and nothing else.
    """
    filled = entries or {}
    held = []
    for p in table.roles_of(node_id):
        count, epoch = filled.get(p, 0), table.epoch_of(p)
        role, complete = HoldingRole.FILLING, list[bytes]()
        if table.primary_of(p) == node_id:
            role = HoldingRole.PRIMARY
            complete = [table.backup_of(p) or b""] if table.synced[p] else []
        elif table.backup_of(p) == node_id and table.synced[p]:
            role = HoldingRole.BACKUP
        held.append(Holding(p, epoch, count, count, role, complete))
    return held


def filled(held: list[Holding], table: PartitionTable) -> list[Holding]:
    """Return the same, but every copy that the table names has become complete."""
    complete = {
        p: [n for n in (table.backup_of(p), table.incoming_of(p)) if n is not None]
        for p in map(PartitionId, range(PARTITION_COUNT))
    }
    return [
        replace(holding, complete=complete[PartitionId(holding.partition_id)])
        if holding.role == HoldingRole.PRIMARY
        else replace(holding, role=HoldingRole.BACKUP)
        for holding in held
    ]


def of_kind(kind: type[E], effects: Sequence[object]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]
