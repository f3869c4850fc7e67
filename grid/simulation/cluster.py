"""A whole cluster of control planes in one process: what `process/driver.py` does, simulated.

Each node is the shipped `ControlPlane` with the shipped `Store` behind it. The network
delays, loses and duplicates datagrams; links (TCP) delay, keep order and end with their node.

Omissions, first stage: no splits, no pauses, no one-way blocks; they belong here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from random import Random

from grid.membership.effects import MemberChanged, Multicast, SelfDeclaredDead, SendDatagram
from grid.membership.messages import MemberRecord, MembershipMessage, MemberState
from grid.membership.options import DiscoveryOptions, MembershipOptions
from grid.partition.effects import AskHoldings, AskRelease, SendToNode, ServeTable
from grid.partition.messages import Holding, PartitionMessage
from grid.process.control_plane import ControlPlane, NodeEffect
from grid.simulation.clock import Clock
from grid.storage.options import StorageOptions
from grid.storage.store import Store
from grid.types import NODE_ID_BYTES, Address, LogLine, NodeId, SetTimer
from grid.wire.catalog import decode_membership, encode

RESTART_PAUSE_S = 0.5
MakeEffects = Callable[[], list[NodeEffect]]


@dataclass(frozen=True, slots=True)
class NetworkFaults:
    """How the simulated network behaves. Probabilities are per datagram."""

    delay_s_min: float = 0.0001
    delay_s_max: float = 0.002
    loss: float = 0.0
    duplication: float = 0.0


class SimulatedNode:
    """One node: control plane, store, timers."""

    def __init__(self, cluster: SimulatedCluster, name: str, address: Address) -> None:
        """Build it; `start` sets it going."""
        random = cluster.random
        self.cluster = cluster
        self.is_running = False
        self.log: list[str] = []
        self.store = Store(StorageOptions())
        record = MemberRecord(
            id=random.randbytes(NODE_ID_BYTES),
            name=name,
            host=address.host,
            port=address.port,
            pid=0,
            storage_processes=1,
            workers=1,
            incarnation=0,
            state=MemberState.ALIVE,
        )
        self.plane = ControlPlane(
            record,
            cluster.membership_options,
            cluster.discovery_options,
            Random(random.getrandbits(64)),
        )
        self._timers: dict[Hashable, int] = {}

    @property
    def node_id(self) -> NodeId:
        """The boot id."""
        return self.plane.own.node_id

    @property
    def address(self) -> Address:
        """Where it answers."""
        return self.plane.own.address

    def start(self) -> None:
        """Begin."""
        self.is_running = True
        self.perform(self.plane.start())

    def kill(self) -> None:
        """End without a word."""
        self.is_running = False

    def leave(self) -> None:
        """End gracefully."""
        held = [Holding(*holding) for holding in self.store.holdings() if holding[2]]
        self.perform(self.plane.leave(held))
        self.is_running = False

    def perform(self, effects: list[NodeEffect]) -> None:
        """Carry out effects on the simulated world."""
        for effect in effects:
            self._perform_one(effect)

    def _perform_one(self, effect: NodeEffect) -> None:
        cluster = self.cluster
        match effect:
            case SendDatagram(address=address, message=message):
                cluster.send_datagram(self, address, message)
            case Multicast(message=message):
                cluster.multicast(self, message)
            case SendToNode(node_id=node_id, message=peer_message):
                cluster.send_to_node(self, node_id, peer_message)
            case AskHoldings(token=token):
                held = [Holding(*holding) for holding in self.store.holdings()]
                self._soon(lambda: self.plane.holdings_known(token, held))
            case AskRelease(token=token, partition_ids=partition_ids):
                released = self.store.release(partition_ids)
                self._soon(lambda: self.plane.released(token, released))
            case ServeTable(table=table):
                owned = table.owned_by(self.node_id)
                self.store.serve({int(p): int(epoch) for p, epoch in owned.items()})
            case SetTimer(timer=timer, delay_s=delay_s):
                self._set_timer(timer, delay_s)
            case LogLine(text=text):
                self.log.append(f"{cluster.clock.now_s:.3f} {text}")
            case MemberChanged() | SelfDeclaredDead():
                cluster.notifications.append((cluster.clock.now_s, self.node_id, effect))
                if isinstance(effect, SelfDeclaredDead):
                    cluster.restart(self)

    def _soon(self, make: MakeEffects) -> None:
        self.cluster.clock.call_later(0.0002, lambda: self.deliver(make))

    def deliver(self, make: MakeEffects) -> None:
        """Feed the plane if the node still runs."""
        if self.is_running:
            self.perform(make())

    def _set_timer(self, timer: Hashable, delay_s: float) -> None:
        generation = self._timers.get(timer, 0) + 1
        self._timers[timer] = generation

        def fire() -> None:
            if self.is_running and self._timers.get(timer) == generation:
                self.perform(self.plane.handle_timer(timer))

        self.cluster.clock.call_later(delay_s, fire)


class SimulatedCluster:
    """Nodes, network and clock of one simulation; everything follows from the seed."""

    def __init__(
        self,
        seed: int,
        *,
        faults: NetworkFaults | None = None,
        membership_options: MembershipOptions | None = None,
        discovery_options: DiscoveryOptions | None = None,
    ) -> None:
        """Start empty at time zero."""
        self.random = Random(seed)
        self.clock = Clock()
        self.faults = faults or NetworkFaults()
        self.membership_options = membership_options or MembershipOptions()
        self.discovery_options = discovery_options or DiscoveryOptions()
        self.nodes: list[SimulatedNode] = []
        self.notifications: list[tuple[float, NodeId, MemberChanged | SelfDeclaredDead]] = []
        self._link_free_s: dict[tuple[NodeId, NodeId], float] = {}

    def add_node(self, start_after_s: float = 0.0) -> SimulatedNode:
        """Add a node that starts after a while."""
        number = len(self.nodes) + 1
        node = SimulatedNode(self, f"n{number}", Address(f"10.0.{number // 250}.{number % 250}", 1))
        self.nodes.append(node)
        self.clock.call_later(start_after_s, node.start)
        return node

    def restart(self, node: SimulatedNode) -> None:
        """Replace a node by a new, empty one at its address, as its supervisor would."""
        if not node.is_running:
            return
        node.kill()
        successor = SimulatedNode(self, node.plane.own.name, node.address)
        self.nodes[self.nodes.index(node)] = successor
        self.clock.call_later(RESTART_PAUSE_S, successor.start)

    @property
    def running(self) -> list[SimulatedNode]:
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

    # -- the network ----------------------------------------------------------------------

    def send_datagram(
        self, sender: SimulatedNode, target: Address, message: MembershipMessage
    ) -> None:
        """Send, maybe lose or duplicate, through the real encoding."""
        for node in self.running:
            if node.address == target:
                self._transmit(sender, node, encode(message))

    def multicast(self, sender: SimulatedNode, message: MembershipMessage) -> None:
        """Send to every other running node."""
        body = encode(message)
        for node in self.running:
            if node is not sender:
                self._transmit(sender, node, body)

    def _transmit(self, sender: SimulatedNode, target: SimulatedNode, body: bytes) -> None:
        sender_id, source = sender.node_id, sender.address

        def arrive() -> None:
            message = decode_membership(body)
            target.deliver(lambda: target.plane.handle_datagram(sender_id, source, message))

        for _ in range(2 if self.random.random() < self.faults.duplication else 1):
            if self.random.random() >= self.faults.loss:
                self.clock.call_later(self._delay_s(), arrive)

    def send_to_node(
        self, sender: SimulatedNode, node_id: NodeId, message: PartitionMessage
    ) -> None:
        """Send over a link: ordered, and reliable while both ends run."""
        target = next((node for node in self.running if node.node_id == node_id), None)
        if target is None:
            return
        link = (sender.node_id, node_id)
        arrival_s = max(self.clock.now_s + self._delay_s(), self._link_free_s.get(link, 0.0) + 1e-6)
        self._link_free_s[link] = arrival_s
        sender_id = sender.node_id
        self.clock.call_later(
            arrival_s - self.clock.now_s,
            lambda: target.deliver(lambda: target.plane.handle_peer_message(sender_id, message)),
        )

    def _delay_s(self) -> float:
        return self.random.uniform(self.faults.delay_s_min, self.faults.delay_s_max)
