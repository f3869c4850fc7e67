"""Nodes, tables and short ways to look at effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from grid.partition.messages import Holding
from grid.partition.table import PartitionTable, make_table
from grid.types import NODE_ID_BYTES, PARTITION_COUNT, NodeId, TableStamp

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
    """Return what a node holds that serves its part of the table, with some entries."""
    filled = entries or {}
    return [Holding(p, epoch, filled.get(p, 0)) for p, epoch in table.owned_by(node_id).items()]


def of_kind(kind: type[E], effects: Sequence[object]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]
