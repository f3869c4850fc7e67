"""A whole cluster of control planes in one process, each with a store behind it.

Each node is the shipped `ControlPlane` with the shipped `Store`. Messages between planes go
over links (TCP): delayed, in order, gone with the node they are for, lost across a split.

Not here: time, machines, datagrams (``world.py``, ``node.py``, ``network.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from grid.membership.messages import MemberRecord
from grid.membership.options import DiscoveryOptions, MembershipOptions
from grid.partition.effects import AskHoldings, AskRelease, SendToNode, ServeTable
from grid.partition.messages import Holding, PartitionMessage
from grid.process.control_plane import ControlPlane, NodeEffect
from grid.simulation.network import NetworkFaults
from grid.simulation.node import SimulatedNode
from grid.simulation.world import World
from grid.storage.options import StorageOptions
from grid.storage.store import Store
from grid.types import NodeId

STORAGE_ANSWER_S = 0.0002
LINK_GAP_S = 1e-6

MakeEffects = Callable[[], list[NodeEffect]]


class ClusterNode(SimulatedNode):
    """One node: control plane and store."""

    def __init__(self, cluster: SimulatedCluster, number: int, own: MemberRecord) -> None:
        """Build its cores."""
        self.plane = ControlPlane(
            own,
            cluster.membership_options,
            cluster.discovery_options,
            Random(cluster.random.getrandbits(64)),
            lambda: cluster.clock.now_s,
        )
        super().__init__(cluster, number, self.plane)
        self.cluster = cluster
        self.store = Store(StorageOptions(), lambda: 0.0)

    def leave(self) -> None:
        """End gracefully."""
        held = [Holding(*holding) for holding in self.store.holdings() if holding[2]]
        self.perform(self.plane.leave(held))
        self.kill()

    def perform_one(self, effect: object) -> None:
        """Carry out one effect on the simulated world."""
        match effect:
            case SendToNode(node_id=node_id, message=peer_message):
                self.cluster.send_to_node(self, node_id, peer_message)
            case AskHoldings(token=token):
                held = [Holding(*holding) for holding in self.store.holdings()]
                self._soon(lambda: self.plane.holdings_known(token, held))
            case AskRelease(token=token, partition_ids=partition_ids):
                released = self.store.release(partition_ids)
                self._soon(lambda: self.plane.released(token, released))
            case ServeTable(table=table):
                owned = table.owned_by(self.node_id)
                self.store.serve({int(p): int(epoch) for p, epoch in owned.items()})
            case _:
                super().perform_one(effect)

    def _soon(self, make: MakeEffects) -> None:
        self.world.clock.call_later(STORAGE_ANSWER_S, self.feed, make)

    def feed(self, make: MakeEffects) -> None:
        """Let the plane handle something, if the node still runs."""
        self.deliver(lambda: self.perform(make()))


class SimulatedCluster(World):
    """A world of whole nodes."""

    def __init__(
        self,
        seed: int,
        *,
        faults: NetworkFaults | None = None,
        membership_options: MembershipOptions | None = None,
        discovery_options: DiscoveryOptions | None = None,
    ) -> None:
        """Start empty at time zero."""
        super().__init__(
            seed,
            faults=faults,
            membership_options=membership_options,
            discovery_options=discovery_options,
        )
        self._link_free_s: dict[tuple[NodeId, NodeId], float] = {}

    def make_node(self, number: int, own: MemberRecord) -> ClusterNode:
        """Return a node with its cores."""
        return ClusterNode(self, number, own)

    def add_node(self, start_after_s: float = 0.0) -> ClusterNode:
        """Add a machine whose node starts after a while."""
        node = self.add(start_after_s)
        assert isinstance(node, ClusterNode)
        return node

    @property
    def nodes(self) -> list[ClusterNode]:
        """The latest node of every machine, running or not."""
        return [node for node in self.slots if isinstance(node, ClusterNode)]

    @property
    def running(self) -> list[ClusterNode]:
        """Nodes that run now."""
        return [node for node in self.nodes if node.is_running]

    def is_one_cluster(self) -> bool:
        """Whether all running nodes serve one table that lists exactly them, with no gap."""
        nodes = self.running
        tables = {node.plane.follower.table for node in nodes}
        if len(tables) != 1:
            return False
        table = tables.pop()
        return (
            table is not None
            and set(table.order) == {node.node_id for node in nodes}
            and not table.lost()
        )

    def double_owners(self) -> list[tuple[int, int]]:
        """Return the (partition, epoch) pairs that two running stores would both serve."""
        seen: set[tuple[int, int]] = set()
        twice = []
        for node in self.running:
            for partition_id, epoch, _ in node.store.holdings():
                if (partition_id, epoch) in seen:
                    twice.append((partition_id, epoch))
                seen.add((partition_id, epoch))
        return twice

    def send_to_node(self, sender: ClusterNode, node_id: NodeId, message: PartitionMessage) -> None:
        """Send over a link: ordered, and reliable while both ends run and are not cut off."""
        target = next((node for node in self.running if node.node_id == node_id), None)
        if target is None or self.network.handshake_s(sender.host, target.host) is None:
            return
        link = (sender.node_id, node_id)
        now_s = self.clock.now_s
        free_s = self._link_free_s.get(link, 0.0) + LINK_GAP_S
        arrival_s = max(now_s + self.network.delay_s(), free_s)
        self._link_free_s[link] = arrival_s
        sender_id = sender.node_id
        self.clock.call_later(
            arrival_s - now_s,
            target.feed,
            lambda: target.plane.handle_peer_message(sender_id, message),
        )
