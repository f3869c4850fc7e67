"""The world the simulated nodes live in: clock, machines, network, and what was noticed.

Responsible for: carrying datagrams (through the real encoding) and connections between nodes,
resetting connections when a process dies, restarting a node that was declared dead, counting,
and a hash over everything that was carried.

Not responsible for: which cores the nodes run (`make_node` decides; ``cluster.py`` for whole
control planes, ``crowd.py`` for membership alone).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from hashlib import blake2b
from random import Random
from struct import Struct

from grid.membership.effects import MemberChanged, SelfDeclaredDead
from grid.membership.messages import MemberRecord, MembershipMessage, MemberState
from grid.membership.options import DiscoveryOptions, MembershipOptions
from grid.simulation.clock import Clock
from grid.simulation.network import NetworkFaults, SimulatedNetwork
from grid.simulation.node import SimulatedNode
from grid.types import NODE_ID_BYTES, Address, NodeId
from grid.wire.catalog import decode_membership, encode
from grid.wire.datagram import ENVELOPE_BYTES

RESTART_PAUSE_S = 0.5
PORT = 7701

_TRACED = Struct("<dII")


class World(ABC):
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
        self.network = SimulatedNetwork(Random(seed + 1), faults or NetworkFaults())
        self.membership_options = membership_options or MembershipOptions()
        self.discovery_options = discovery_options or DiscoveryOptions()
        self.slots: list[SimulatedNode] = []
        self.notifications: list[tuple[float, NodeId, MemberChanged | SelfDeclaredDead]] = []
        self.datagram_count = 0
        self.datagram_bytes_max = 0
        self._running: dict[Address, SimulatedNode] = {}
        self._dead_machines: set[str] = set()
        self._trace = blake2b(digest_size=16)

    # -- nodes ----------------------------------------------------------------------------

    @abstractmethod
    def make_node(self, number: int, own: MemberRecord) -> SimulatedNode:
        """Return a node with its cores."""

    def new_node(self, number: int) -> SimulatedNode:
        """Return a new node (a new boot id) on machine `number`, not started."""
        own = MemberRecord(
            id=self.random.randbytes(NODE_ID_BYTES),
            name=f"n{number + 1}",
            hosts=(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",),
            port=PORT,
            pid=0,
            storage_processes=1,
            workers=1,
            incarnation=0,
            state=MemberState.ALIVE,
        )
        return self.make_node(number, own)

    def add(self, start_after_s: float = 0.0) -> SimulatedNode:
        """Add a machine whose node starts after a while."""
        node = self.new_node(len(self.slots))
        self.slots.append(node)
        self.clock.call_later(start_after_s, self._start, node)
        return node

    def restart(self, node: SimulatedNode, after_s: float = RESTART_PAUSE_S) -> SimulatedNode:
        """Replace a node by a new, empty one on the same machine, as its supervisor would."""
        node.kill()
        self._dead_machines.discard(node.host)
        successor = self.new_node(node.number)
        self.slots[node.number] = successor
        self.clock.call_later(after_s, self._start, successor)
        return successor

    def _start(self, node: SimulatedNode) -> None:
        if self.slots[node.number] is node and not node.is_running:
            node.start()

    def register(self, node: SimulatedNode) -> None:
        """A node runs now."""
        self._running[node.address] = node

    def process_died(self, node: SimulatedNode) -> None:
        """Reset the connections that others keep to a node that has just ended."""
        del self._running[node.address]
        for other in list(self._running.values()):
            if node.node_id in other.kept:
                self.end_connection(other, node)

    def machine_died(self, node: SimulatedNode) -> None:
        """Nothing comes from that machine any more, not even a reset."""
        del self._running[node.address]
        self._dead_machines.add(node.host)

    def is_dead_machine(self, node: SimulatedNode) -> bool:
        """Whether nothing at all answers there, not even a refusal."""
        return node.host in self._dead_machines

    def end_connection(self, keeper: SimulatedNode, other: SimulatedNode) -> None:
        """EOF or RST on the connection that `keeper` keeps, if it can be told."""
        if self.network.handshake_s(keeper.host, other.host) is None:
            return
        ended = other.node_id
        self.clock.call_later(
            self.network.delay_s(),
            keeper.deliver,
            lambda: keeper.perform(keeper.base_plane.connection_ended(ended)),
        )

    def log(self, node: SimulatedNode, text: str) -> None:
        """Keep what a node tells people."""
        node.log.append(f"{self.clock.now_s:.3f} {text}")

    def notice(self, node: SimulatedNode, effect: MemberChanged | SelfDeclaredDead) -> None:
        """A node's view has changed; a node that learns of its own death starts anew."""
        self.notifications.append((self.clock.now_s, node.node_id, effect))
        if isinstance(effect, SelfDeclaredDead) and node.is_running:
            self.restart(node)

    # -- the network ----------------------------------------------------------------------

    def send_datagram(
        self, sender: SimulatedNode, address: Address, message: MembershipMessage
    ) -> None:
        """Send through the real encoding; it may be lost."""
        body = self._encode(message)
        for delay_s in self.network.datagram_delays_s(sender.host, address.host):
            self.clock.call_later(delay_s, self._arrive, sender, address, body)

    def multicast(self, sender: SimulatedNode, message: MembershipMessage) -> None:
        """Send to every other running node."""
        body = self._encode(message)
        decoded = decode_membership(body)
        sender_id, source = sender.node_id, sender.address
        for target in list(self._running.values()):
            if target is sender:
                continue
            for delay_s in self.network.datagram_delays_s(sender.host, target.host):
                self._trace.update(_TRACED.pack(self.clock.now_s, sender.number, target.number))
                self.clock.call_later(delay_s, target.receive, sender_id, source, decoded)

    def _encode(self, message: MembershipMessage) -> bytes:
        body = encode(message)
        self.datagram_count += 1
        size = len(body) + ENVELOPE_BYTES
        if size > self.datagram_bytes_max:
            self.datagram_bytes_max = size
        return body

    def _arrive(self, sender: SimulatedNode, address: Address, body: bytes) -> None:
        target = self._running.get(address)
        if target is None:
            return
        self._trace.update(_TRACED.pack(self.clock.now_s, sender.number, target.number))
        self._trace.update(body)
        target.receive(sender.node_id, sender.address, decode_membership(body))

    def connect(
        self,
        sender: SimulatedNode,
        address: Address,
        on_reached: Callable[[SimulatedNode], None],
        on_refused: Callable[[], None],
    ) -> None:
        """Connect and shake hands; neither call comes when nothing answers."""
        duration_s = self.network.handshake_s(sender.host, address.host)
        if duration_s is None:
            return

        def arrive() -> None:
            if not sender.is_running:
                return
            target = self._running.get(address)
            if self.network.is_rejecting(sender.host, address.host):
                on_refused()
            elif target is not None:
                target.deliver(lambda: on_reached(target))
            elif address.host not in self._dead_machines:
                on_refused()

        self.clock.call_later(duration_s, arrive)

    # -- looking --------------------------------------------------------------------------

    @property
    def running_nodes(self) -> list[SimulatedNode]:
        """Nodes that run now, by machine."""
        return [node for node in self.slots if node.is_running]

    def node_at(self, address: Address) -> SimulatedNode | None:
        """Return the running node there."""
        return self._running.get(address)

    def trace_hash(self) -> str:
        """Return a hash of every datagram carried: who, to whom, when, what."""
        return self._trace.hexdigest()
