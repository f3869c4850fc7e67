"""A whole cluster of control planes in one process, each with a store behind it.

Each node is the shipped `ControlPlane` with the shipped `Store` and `Replicator`: one storage
process. Messages between nodes go over links (TCP): delayed, in order, gone with the node they are
for, lost across a split.

Not here: time, machines, datagrams (``world.py``, ``node.py``, ``network.py``), clients
(``clients.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from grid.membership.messages import MemberRecord
from grid.membership.options import DiscoveryOptions, MembershipOptions
from grid.partition.effects import AskHoldings, AskRelease, LeaveGranted, SendToNode, ServeTable
from grid.partition.messages import HoldingRole, PartitionMessage
from grid.partition.table import PartitionTable
from grid.process.control_plane import ControlPlane, NodeEffect
from grid.replication.assignments import assignments_of
from grid.replication.messages import ForStorage
from grid.replication.options import ReplicationOptions
from grid.replication.replicator import Promotion, Replicator
from grid.simulation.network import NetworkFaults
from grid.simulation.node import SimulatedNode
from grid.simulation.world import World
from grid.storage.options import StorageOptions
from grid.storage.store import Store
from grid.types import NodeId

STORAGE_ANSWER_S = 0.0002
LINK_GAP_S = 1e-6
LEAVE_REPEAT_S = 1.0

MakeEffects = Callable[[], list[NodeEffect]]


class ClusterNode(SimulatedNode):
    """One node: control plane, store and replicator."""

    def __init__(self, cluster: SimulatedCluster, number: int, own: MemberRecord) -> None:
        """Build its cores."""
        self.plane = ControlPlane(
            own,
            cluster.membership_options,
            cluster.discovery_options,
            Random(cluster.random.getrandbits(64)),
            lambda: cluster.clock.now_s,
            backup_count=cluster.replication_options.backup_count,
        )
        super().__init__(cluster, number, self.plane)
        self.cluster = cluster
        clock = cluster.clock
        self.store = Store(StorageOptions(), lambda: clock.now_s)
        self.replicator = Replicator(self.store, cluster.replication_options, lambda: clock.now_s)
        self.promotions: list[Promotion] = []
        self.on_progress: list[Callable[[], None]] = []
        """Called once when gates may have opened, or copies have caught up."""
        self.on_reset: dict[int, Callable[[], None]] = {}
        """What those hear who have a connection when the process dies."""
        self.is_leaving = False
        self._step_due_s: float | None = None

    def kill(self) -> None:
        """The process dies without a word; its machine resets the connections."""
        super().kill()
        resets, self.on_reset = self.on_reset, {}
        for call in resets.values():
            self.world.clock.call_later(self.world.network.delay_s(), call)

    def leave(self) -> None:
        """End gracefully, as soon as nothing is here that others need."""
        if not self.is_leaving:
            self.is_leaving = True
            self._want_to_leave()

    def leave_at_once(self) -> None:
        """End with a word, and with what is here."""
        held = [h for h in self.replicator.holdings() if h.role is HoldingRole.PRIMARY]
        self.perform(self.plane.leave([holding for holding in held if holding.entries]))
        self.kill()

    def _want_to_leave(self) -> None:
        if self.is_running and self.is_leaving:
            self.deliver(lambda: self.perform(self.plane.want_to_leave()))
            self.world.clock.call_later(LEAVE_REPEAT_S, self._want_to_leave)

    def perform_one(self, effect: object) -> None:
        """Carry out one effect on the simulated world."""
        match effect:
            case SendToNode(node_id=node_id, message=peer_message):
                self.cluster.send_to_node(self, node_id, peer_message)
            case AskHoldings(token=token):
                held = self.replicator.holdings()
                self._soon(lambda: self.plane.holdings_known(token, held))
            case AskRelease(token=token, partition_ids=partition_ids, handovers=handovers):
                self.replicator.release(token, partition_ids, handovers)
                self.step()
            case ServeTable(table=table):
                self._serve(table)
            case LeaveGranted():
                if self.is_leaving:
                    self.leave_at_once()
            case _:
                super().perform_one(effect)

    def _serve(self, table: PartitionTable) -> None:
        self.replicator.protect(bool(table.backup_count))
        assignments = assignments_of(table, self.node_id, lambda _: 1)
        self.replicator.serve(assignments, frozenset(table.order))
        self.progress()

    def receive_stream(self, sender_id: NodeId, body: bytes) -> None:
        """Something arrives for the storage process."""
        self.replicator.receive(sender_id, 0, body)
        self.progress()

    def progress(self) -> None:
        """Gates may have opened, copies may have caught up: try again what waits."""
        waiting, self.on_progress = self.on_progress, []
        for call in waiting:
            call()
        self.step()

    def step(self) -> None:
        """Let the replicator do what is due, and say when to come back."""
        replicator = self.replicator
        if replicator.due_s <= self.world.clock.now_s:
            replicator.step()
        for outgoing in replicator.take_outgoing():
            message = ForStorage(outgoing.index, 0, outgoing.body)
            self.cluster.send_to_node(self, NodeId(outgoing.node_id), message)
        while replicator.released:
            released = replicator.released.pop(0)
            self._soon(partial(self.plane.released, released.token, released.partition_ids))
            self.world.clock.call_later(STORAGE_ANSWER_S, self.deliver, self.progress)
        self.promotions += replicator.promotions
        replicator.promotions.clear()
        if replicator.take_change():
            is_last = not replicator.is_filling
            self._soon(partial(self.plane.copies_changed, is_last=is_last))
        self.step_in(replicator.due_s - self.world.clock.now_s)

    def step_in(self, delay_s: float = 0.0) -> None:
        """Do what is due, but not at once."""
        now_s = self.world.clock.now_s
        # Not at once: a fill would never let the others run.
        due_s = now_s + max(delay_s, STORAGE_ANSWER_S)
        if self._step_due_s is None or due_s < self._step_due_s or self._step_due_s <= now_s:
            self._step_due_s = due_s
            self.world.clock.call_later(due_s - now_s, self._step_if_due, due_s)

    def _step_if_due(self, due_s: float) -> None:
        if self._step_due_s == due_s:
            self._step_due_s = None
            self.deliver(self.step)

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
        replication_options: ReplicationOptions | None = None,
    ) -> None:
        """Start empty at time zero."""
        self.replication_options = replication_options or ReplicationOptions()
        super().__init__(
            seed,
            faults=faults,
            membership_options=membership_options,
            discovery_options=discovery_options,
        )
        self._link_free_s: dict[tuple[NodeId, NodeId], float] = {}
        self._link_generation: dict[tuple[NodeId, NodeId], int] = {}
        """Grows when a link breaks: what was on its way is gone."""

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

    def is_safe(self) -> bool:
        """Whether it is one cluster, everything has a complete backup and nothing moves."""
        if not self.is_one_cluster():
            return False
        table = self.running[0].plane.follower.table
        return table is not None and not table.unprotected() and not table.moving()

    def double_owners(self) -> list[tuple[int, int]]:
        """Return the (partition, epoch) pairs that two running stores would both serve."""
        seen: set[tuple[int, int]] = set()
        twice = []
        for node in self.running:
            held = {(p, held.epoch) for p, held in node.store.partitions.by_id.items()}
            twice += sorted(seen & held)
            seen |= held
        return twice

    def send_to_node(
        self, sender: ClusterNode, node_id: NodeId, message: PartitionMessage | ForStorage
    ) -> None:
        """Send over a link: ordered, and reliable while both ends run and are not cut off."""
        target = next((node for node in self.running if node.node_id == node_id), None)
        if target is None or self.network.handshake_s(sender.host, target.host) is None:
            return
        link = (sender.node_id, node_id)
        now_s = self.clock.now_s
        free_s = self._link_free_s.get(link, 0.0) + LINK_GAP_S
        arrival_s = max(now_s + self.network.delay_s(), free_s)
        self._link_free_s[link] = arrival_s
        generation = self._link_generation.get(link, 0)
        sender_id = sender.node_id

        def arrive() -> None:
            if self._link_generation.get(link, 0) != generation:
                return
            if isinstance(message, ForStorage):
                target.deliver(lambda: target.receive_stream(sender_id, message.body))
            else:
                target.feed(lambda: target.plane.handle_peer_message(sender_id, message))

        self.clock.call_later(arrival_s - now_s, arrive)

    def break_link(self, one: ClusterNode, other: ClusterNode) -> None:
        """Break the connection between two nodes; the next message goes over a new one."""
        for link in ((one.node_id, other.node_id), (other.node_id, one.node_id)):
            self._link_generation[link] = self._link_generation.get(link, 0) + 1
