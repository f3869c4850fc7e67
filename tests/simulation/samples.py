"""Clusters to watch, each from its seed, and what is written down of a run."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from random import Random

from grid.membership.options import DiscoveryOptions
from grid.partition.messages import PartitionMessage, Publish
from grid.partition.table import PartitionTable
from grid.simulation.cluster import ClusterNode, SimulatedCluster
from grid.simulation.network import NetworkFaults
from grid.storage.messages import Done, Put
from grid.types import NodeId, TableStamp

FORMING_LIMIT_S = 60.0
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

    def send_to_node(self, sender: ClusterNode, node_id: NodeId, message: PartitionMessage) -> None:
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
        limit_s = self.clock.now_s + within_s
        while not (self.agrees() and len(self.running) == len(self.nodes)):
            if self.clock.now_s >= limit_s:
                return False
            self.run_for(0.25)
        return True

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
    assert cluster.clock.run_until_true(cluster.is_one_cluster, FORMING_LIMIT_S)
    cluster.run_for(5.0)
    assert cluster.is_served()
    return cluster


def fill(node: ClusterNode, partition_ids: list[int]) -> None:
    """Write one entry into each of these partitions of a node."""
    epochs = {p: epoch for p, epoch, _ in node.store.holdings()}
    for partition_id in partition_ids:
        put = Put(1, "m", partition_id, epochs[partition_id], b"key", node.node_id)
        assert node.store.handle(put) == Done(1, 1)


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
