"""Clusters to watch, each from its seed, and what is written down of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from hashlib import sha256
from itertools import count
from random import Random

from grid.membership.options import DiscoveryOptions
from grid.partition.messages import HoldingRole, PartitionMessage, Publish
from grid.partition.table import PartitionTable
from grid.replication.messages import ForStorage
from grid.simulation.clients import serve
from grid.simulation.cluster import ClusterNode, SimulatedCluster
from grid.simulation.network import NetworkFaults
from grid.storage.applying import digest_of
from grid.storage.messages import Done, Put, Reply
from grid.types import PARTITION_COUNT, NodeId, PartitionId, TableStamp

FORMING_LIMIT_S = 60.0
SETTLED_WITHIN_S = 60.0
WRITTEN_WITHIN_S = 10.0
CLIENT_ID = b"the only client."
SOUND = NetworkFaults()
MILD = NetworkFaults(delay_s_max=0.05, loss=0.02, duplication=0.05)
HARSH = NetworkFaults(delay_s_max=0.4, loss=0.2, duplication=0.1)


class WatchedCluster(SimulatedCluster):
    """Remembers every table that was published, and which stamps were used twice."""

    def __init__(
        self, seed: int, faults: NetworkFaults, discovery: DiscoveryOptions | None = None
    ) -> None:
        super().__init__(seed, faults=faults, discovery_options=discovery)
        self.published: dict[TableStamp, PartitionTable] = {}
        self.repeated_stamps: list[TableStamp] = []
        self.requests = count(1)

    def send_to_node(
        self, sender: ClusterNode, node_id: NodeId, message: PartitionMessage | ForStorage
    ) -> None:
        if isinstance(message, Publish):
            known = self.published.setdefault(message.table.stamp, message.table)
            if known != message.table:
                self.repeated_stamps.append(known.stamp)
        super().send_to_node(sender, node_id, message)

    def run_for(self, duration_s: float) -> None:
        self.clock.run_until(self.clock.now_s + duration_s)

    def has_one_view(self) -> bool:
        """Whether all running nodes believe in exactly the running nodes."""
        truth = {node.node_id for node in self.running}
        return all(
            {record.node_id for record in node.plane.membership.members.living()} == truth
            for node in self.running
        )

    def agrees(self) -> bool:
        """Whether there are one view and one table of exactly the running nodes."""
        tables = {node.plane.follower.table for node in self.running}
        table = tables.pop() if len(tables) == 1 else None
        order = set() if table is None else set(table.order)
        return order == {node.node_id for node in self.running} and self.has_one_view()

    def run_until_agreed(self, within_s: float) -> bool:
        """Run until all agree and nobody is about to restart; False when it takes longer."""
        return self.comes_true(
            lambda: self.agrees() and len(self.running) == len(self.nodes), within_s
        )

    def comes_true(self, condition: Callable[[], bool], within_s: float = SETTLED_WITHIN_S) -> bool:
        """Run until `condition` holds, looked at now and then; False when it takes longer."""
        limit_s = self.clock.now_s + within_s
        while not condition():
            if self.clock.now_s >= limit_s:
                return False
            self.run_for(0.1)
        return True

    def settles(self) -> bool:
        """Run until everything is as it shall stay; False when that takes too long."""
        return self.comes_true(self.is_settled)

    @property
    def table(self) -> PartitionTable:
        """The table that all running nodes serve; an error while they differ."""
        (table,) = {node.plane.follower.table for node in self.running}
        assert table is not None
        return table

    @property
    def coordinator(self) -> ClusterNode:
        return next(node for node in self.running if node.node_id == self.table.coordinator)

    def partitions_held_twice(self) -> list[int]:
        """Return what two running stores hold, whatever the epochs."""
        held = Counter(p for node in self.running for p, _, _ in node.store.holdings())
        return [partition_id for partition_id, count in held.items() if count > 1]

    def is_served(self) -> bool:
        """Whether every store holds just what the one table gives to its node."""
        return self.is_one_cluster() and all(
            {p: epoch for p, epoch, _ in node.store.holdings()} == self.table.owned_by(node.node_id)
            for node in self.running
        )

    def is_settled(self) -> bool:
        """Whether all is served and backed, and every copy is where the one table wants it."""
        is_backed = self.is_safe() or len(self.running) == 1
        return is_backed and self.is_served() and not self.missing_copies()

    def is_backed(self) -> bool:
        """Whether what is not lost is backed, and nothing moves."""
        return self.agrees() and not self.table.unprotected() and not self.table.moving()

    def missing_copies(self) -> list[int]:
        """Return the backups that the table wants and their nodes do not have."""
        return [
            p
            for node in self.running
            for p, epoch in self.table.backed_by(node.node_id).items()
            if p not in node.store.partitions.copies
            or node.store.partitions.copies[p].epoch != epoch
        ]

    def start_another(self) -> ClusterNode:
        """Add a node that runs now."""
        node = self.add_node()
        self.run_for(0.0)
        return node

    def holders(self, partition_id: int) -> set[NodeId | None]:
        """Return the primary and the backup of a partition."""
        p = PartitionId(partition_id)
        return {self.table.primary_of(p), self.table.backup_of(p)}

    def complete_copies_min(self) -> int:
        """Return how many complete copies, primaries included, the worst partition has."""
        complete = Counter(
            holding.partition_id
            for node in self.running
            for holding in node.replicator.holdings()
            if holding.role != HoldingRole.FILLING
        )
        return min(complete[p] for p in range(PARTITION_COUNT))

    def are_copies_equal(self) -> bool:
        """Whether every backup has what its primary has."""
        by_node = {node.node_id: node.store.partitions for node in self.running}
        for p in map(PartitionId, range(PARTITION_COUNT)):
            primary, backup = self.table.primary_of(p), self.table.backup_of(p)
            if primary is None or backup is None:
                continue
            copy = by_node[backup].copies.get(p)
            if copy is None or digest_of(copy) != digest_of(by_node[primary].by_id[p]):
                return False
        return True


def started(seed: int, faults: NetworkFaults, node_count: int | None = None) -> WatchedCluster:
    """Return a cluster of 2 to 8 nodes, all of them started within two seconds."""
    random = Random(seed)
    cluster = WatchedCluster(seed, faults)
    for _ in range(node_count or random.randint(2, 8)):
        cluster.add_node(random.uniform(0, 2))
    cluster.clock.run_until(2.0)
    return cluster


def formed(seed: int, faults: NetworkFaults = MILD, node_count: int = 4) -> WatchedCluster:
    """Return a cluster that has settled."""
    cluster = started(seed, faults, node_count)
    assert cluster.comes_true(cluster.is_settled, FORMING_LIMIT_S)
    return cluster


def fill(cluster: WatchedCluster, partition_ids: Iterable[int], key: bytes = b"key") -> None:
    """Write one entry into each of these partitions, and wait until all copies have it."""
    for partition_id in partition_ids:
        assert write(cluster, partition_id, key), f"partition {partition_id} takes no entry"
    assert cluster.comes_true(cluster.are_copies_equal, WRITTEN_WITHIN_S)


def write(cluster: WatchedCluster, partition_id: int, key: bytes = b"key") -> bool:
    """Write an entry as a client does: again when the partition is elsewhere by then."""
    limit_s = cluster.clock.now_s + WRITTEN_WITHIN_S
    while cluster.clock.now_s < limit_s:
        for node in cluster.running:
            is_primary = partition_id in node.store.partitions.by_id
            if is_primary and write_at(cluster, node, partition_id, key):
                return True
        cluster.run_for(0.1)
    return False


def write_at(
    cluster: WatchedCluster, node: ClusterNode, partition_id: int, key: bytes = b"key"
) -> bool:
    """Write an entry at this node, which is primary; wait while it has the writer wait."""
    replies: list[Reply] = []
    epoch = node.store.partitions.by_id[partition_id].epoch
    put = Put(next(cluster.requests), "m", partition_id, epoch, key, node.node_id)
    serve(node, put, CLIENT_ID, replies.append, lambda: None)
    cluster.clock.run_until_true(lambda: bool(replies), cluster.clock.now_s + WRITTEN_WITHIN_S)
    return bool(replies) and isinstance(replies[0], Done)


def entry_counts(cluster: SimulatedCluster) -> dict[int, int]:
    """Return the entries of each partition that has any, over all running nodes."""
    found: Counter[int] = Counter()
    for node in cluster.running:
        found.update({p: entries for p, _, entries in node.store.holdings() if entries})
    return dict(found)


def trace(seed: int) -> str:
    """Return a hash of all that happened in a run with a join, a death and a leave."""
    cluster = started(seed, HARSH, 5)
    cluster.run_for(10.0)
    cluster.nodes[0].kill()
    cluster.add_node(1.0)
    cluster.run_for(20.0)
    cluster.nodes[1].leave()
    cluster.run_for(5.0)
    told = [(at_s, node_id.hex(), repr(effect)) for at_s, node_id, effect in cluster.notifications]
    tables = [repr(node.plane.follower.table) for node in cluster.nodes]
    content = repr(([node.log for node in cluster.nodes], told, tables))
    return sha256(content.encode()).hexdigest()
