"""From a partition to the storage process that holds it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from grid.partition.table import VACANT
from grid.storage.messages import epochs_digest
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


class Routing:
    """One version of the table, ready for look-up.

    `targets` and `epochs` have ``PARTITION_COUNT`` items. A target is None for a partition that
    nobody serves now: it is `lost`, or its owner is gone and the table does not say so yet.
    """

    def __init__(self, view: View) -> None:
        """Resolve the table of `view`, which must have one."""
        table = view.table
        assert table is not None, "a client routes only by a table"
        self.stamp: TableStamp = table.stamp
        self.node_ids = frozenset(NodeId(node.id) for node in view.nodes)
        self.lost = frozenset(table.lost())
        self.backup_count = table.backup_count
        self.epochs: Sequence[int] = table.epochs
        self._pairs = list(enumerate(table.epochs))
        self._digests: dict[Place, int] = {}
        self.targets: list[Target | None] = []
        nodes = {node.id: node for node in view.nodes}
        known: dict[tuple[int, int], Target] = {}
        for partition_id in range(PARTITION_COUNT):
            index = table.primaries[partition_id]
            node = None if index == VACANT else nodes.get(table.order[index])
            if node is None:
                self.targets.append(None)
                continue
            storage_index = partition_id % node.storage_processes
            place = (index, storage_index)
            self.targets.append(known.get(place) or known.setdefault(place, _target(node, place)))
        served = {target for target in self.targets if target is not None}
        self.target_count = max(1, len(served))
        is_only = len(served) == 1 and None not in self.targets
        self.only_target = served.pop() if is_only else None
        """The target of all partitions, if one storage process holds them all."""

    def digest_of(self, target: Target) -> int:
        """Return the digest of all (partition, epoch) of a target; see `epochs_digest`."""
        digest = self._digests.get(target.place)
        if digest is None:
            epochs = (pair for pair in self._pairs if self.targets[pair[0]] is target)
            digest = self._digests[target.place] = epochs_digest(epochs)
        return digest

    def grouped(
        self, partitions: Sequence[int], indexes: Sequence[int]
    ) -> tuple[dict[Target, Sequence[int]], list[int]]:
        """Sort some `indexes` of `partitions` by target.

        Returns: the indexes for each target, and those that nobody serves.
        """
        if self.only_target is not None:
            return {self.only_target: indexes}, []
        groups: dict[Target | None, list[int]] = {}
        targets = self.targets
        for index in indexes:
            target = targets[partitions[index]]
            if target in groups:
                groups[target].append(index)
            else:
                groups[target] = [index]
        unserved = groups.pop(None, [])
        return {target: found for target, found in groups.items() if target is not None}, unserved

    def epochs_of(self, partitions: Iterable[int]) -> list[tuple[int, int]]:
        """Return (partition, epoch) of each partition once."""
        pairs = self._pairs
        return [pairs[partition_id] for partition_id in set(partitions)]


def _target(node: NodeView, place: tuple[int, int]) -> Target:
    return Target((NodeId(node.id), place[1]), node.name, Address(node.host, node.port))
