"""From a partition to the storage process that holds it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from grid.partition.table import VACANT
from grid.types import PARTITION_COUNT, Address, NodeId, TableStamp
from grid.wire.control import NodeView, View

Place = tuple[NodeId, int]
"""A storage process as a key: its node and its index there."""


@dataclass(frozen=True, slots=True)
class Target:
    """One storage process: what a client opens a connection to."""

    place: Place
    name: str
    address: Address

    @property
    def node_id(self) -> NodeId:
        """The node it belongs to."""
        return self.place[0]

    @property
    def storage_index(self) -> int:
        """Which of the node's storage processes it is."""
        return self.place[1]


@dataclass(frozen=True, slots=True)
class Route:
    """Where a partition is served, and the epoch to name."""

    target: Target
    epoch: int


class Routing:
    """One version of the table, ready for look-up.

    `routes` has ``PARTITION_COUNT`` items; None for a partition that nobody serves now: it is
    `lost`, or its owner is gone and the table does not say so yet.
    """

    def __init__(self, view: View) -> None:
        """Resolve the table of `view`, which must have one."""
        table = view.table
        assert table is not None, "a client routes only by a table"
        self.stamp: TableStamp = table.stamp
        self.nodes = {NodeId(node.id): node for node in view.nodes}
        self.routes: list[Route | None] = []
        self.lost = frozenset(table.lost())
        targets: dict[tuple[int, int], Target | None] = {}
        for partition_id in range(PARTITION_COUNT):
            index = table.primaries[partition_id]
            node = None if index == VACANT else self.nodes.get(NodeId(table.order[index]))
            if node is None:
                self.routes.append(None)
                continue
            storage_index = partition_id % node.storage_processes
            place = (index, storage_index)
            target = targets.get(place)
            if target is None:
                target = targets[place] = _target(node, storage_index)
            self.routes.append(Route(target, table.epochs[partition_id]))


def _target(node: NodeView, storage_index: int) -> Target:
    place = (NodeId(node.id), storage_index)
    return Target(place, node.name, Address(node.host, node.port))
