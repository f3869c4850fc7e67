"""Runs the control plane on a real loop: performs its effects, keeps its timers.

The stall rule: a timer that fires late may mean that this whole process was stopped. Then
answers wait in the sockets, so these are read first, and the plane is told how late it is
before any timer is handled.

Runs in: network process. The simulator has its own driver for the same effects.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable, Sequence

from grid.executor.messages import WorkWanted
from grid.membership.effects import (
    Exchange,
    KeepConnections,
    MemberChanged,
    Multicast,
    SelfDeclaredDead,
    SendDatagram,
    StreamAnswer,
    StreamPing,
)
from grid.membership.messages import MemberRecord, MembershipMessage, PushPull
from grid.partition.effects import AskHoldings, AskRelease, LeaveGranted, SendToNode, ServeTable
from grid.partition.messages import PartitionMessage
from grid.partition.table import PartitionTable
from grid.process.child import EVENTS_LOGGER
from grid.process.contacts import Contacts
from grid.process.control_plane import ControlPlane, NodeEffect
from grid.process.datagrams import DatagramPort
from grid.process.peers import PeerLinks
from grid.process.storage_links import StorageLinks
from grid.replication.assignments import assignments_of
from grid.replication.messages import ForStorage
from grid.types import Address, LogLine, NodeId, SetTimer
from grid.wire.catalog import encode
from grid.wire.family import FromPeer, ToPeer
from grid.wire.security import ClusterKeys

logger = logging.getLogger("grid.cluster")
events_logger = logging.getLogger(EVENTS_LOGGER)


class Driver:
    """Connects one control plane with sockets, links and the clock."""

    def __init__(
        self,
        plane: ControlPlane,
        keys: ClusterKeys,
        storages: StorageLinks,
        make_port: Callable[[Callable[[NodeId, Address, MembershipMessage], None]], DatagramPort],
        *,
        late_s: float,
        on_table: Callable[[], None],
        on_member: Callable[[MemberRecord], None],
        on_leave_granted: Callable[[], None],
        on_declared_dead: Callable[[], None],
        on_work_wanted: Callable[[NodeId, WorkWanted], None],
    ) -> None:
        """Wire the parts; `start` sets the plane going.

        Args:
            plane: the cores.
            keys: of the cluster, for links to other nodes.
            storages: this node's storage processes.
            make_port: opens the datagram port for a given receiver.
            late_s: a timer later than this may mean a stall.
            on_table: called when there is a new table to serve.
            on_member: called when what is believed of a member has changed.
            on_leave_granted: called when this node may leave.
            on_declared_dead: called when the cluster holds this node for dead.
            on_work_wanted: called when another node asks for tasks.
        """
        self._plane = plane
        self._storages = storages
        self._late_s = late_s
        self._on_table = on_table
        self._on_member = on_member
        self._on_leave_granted = on_leave_granted
        self._on_declared_dead = on_declared_dead
        self._on_work_wanted = on_work_wanted
        self._known: frozenset[bytes] = frozenset()
        node_id = plane.own.node_id
        self.port = make_port(self._on_datagram)
        self.peers = PeerLinks(keys, node_id, self._on_connection_ended)
        self._contacts = Contacts(keys, node_id, self._on_ping_ended, self._on_exchange_ended)
        self._loop = asyncio.get_running_loop()
        self._timers: dict[Hashable, asyncio.TimerHandle] = {}
        self._woke_s = 0.0
        self._is_stopped = False

    def start(self) -> None:
        """Read datagrams and start the cores."""
        self.port.start()
        self.perform(self._plane.start())

    def stop(self) -> None:
        """Stop timers and readers."""
        self._is_stopped = True
        for handle in self._timers.values():
            handle.cancel()
        self.port.stop()
        self._contacts.close()

    # -- what the plane hears -------------------------------------------------------------

    def on_peer_message(
        self, sender: NodeId, message: PartitionMessage | ForStorage | WorkWanted
    ) -> None:
        """A message from a peer's link, or from this node to itself."""
        if isinstance(message, ForStorage):
            self._storages.from_peer(
                message.index, FromPeer(sender, message.sender_index, message.body)
            )
        elif isinstance(message, WorkWanted):
            self._on_work_wanted(sender, message)
        elif not self._is_stopped:
            self.perform(self._plane.handle_peer_message(sender, message))

    def on_exchange(self, sender: NodeId, message: PushPull) -> PushPull:
        """Another node's member list, for this one's."""
        effects, reply = self._plane.handle_exchange(sender, message)
        if not self._is_stopped:
            self.perform(effects)
        return reply

    def _on_datagram(self, sender: NodeId, source: Address, message: MembershipMessage) -> None:
        self.perform(self._plane.handle_datagram(sender, source, message))

    def _on_connection_ended(self, node_id: NodeId) -> None:
        if not self._is_stopped:
            self.perform(self._plane.connection_ended(node_id))

    def _on_ping_ended(self, probe: int, answer: StreamAnswer) -> None:
        if not self._is_stopped:
            self.perform(self._plane.stream_ping_ended(probe, answer))

    def _on_exchange_ended(
        self, address: Address, node_id: NodeId | None, reply: PushPull | None
    ) -> None:
        if not self._is_stopped:
            self.perform(self._plane.exchange_ended(address, node_id, reply))

    # -- what the plane wants -------------------------------------------------------------

    def perform(self, effects: Sequence[NodeEffect]) -> None:
        """Carry out what the cores want."""
        for effect in effects:
            self._perform_one(effect)

    def _perform_one(self, effect: NodeEffect) -> None:
        match effect:
            case SendDatagram(address=address, message=message):
                self.port.send(address, message)
            case Multicast(message=message):
                self.port.send_to_group(message)
            case StreamPing():
                self._contacts.ping(effect)
            case Exchange():
                self._contacts.exchange(effect)
            case KeepConnections(members=members):
                self.peers.keep(members)
            case SendToNode(node_id=node_id, message=peer_message):
                self.send_to_node(node_id, peer_message)
            case AskHoldings(token=token):
                self._storages.ask_holdings(token)
            case AskRelease(token=token, partition_ids=partition_ids, handovers=handovers):
                self._storages.ask_release(token, partition_ids, handovers)
            case ServeTable(table=table):
                self._serve(table)
                self._on_table()
            case LeaveGranted():
                self._on_leave_granted()
            case MemberChanged(record=record):
                self._member_changed(record)
            case SelfDeclaredDead():
                self._on_declared_dead()
            case SetTimer(timer=timer, delay_s=delay_s):
                self._set_timer(timer, delay_s)
            case LogLine(level=level, text=text, has_event=has_event):
                (events_logger if has_event else logger).log(level, text)

    def _serve(self, table: PartitionTable) -> None:
        own_id = self._plane.own.node_id
        assignments = assignments_of(table, own_id, self._storage_count_of)
        protects = bool(table.backup_count)
        self._storages.serve(assignments, list(table.order), protects=protects)

    def _storage_count_of(self, node_id: NodeId) -> int | None:
        member = self._plane.membership.members.get(node_id)
        return None if member is None else member.storage_processes

    def _member_changed(self, record: MemberRecord) -> None:
        self._on_member(record)
        table = self._plane.follower.table
        if record.state.is_gone:
            self.peers.drop(record.node_id)
        elif table is not None and record.id in table.order and record.id not in self._known:
            self._serve(table)  # The table was here before its member.
        self._known = frozenset(m.id for m in self._plane.membership.members.living())

    # -- between storage processes --------------------------------------------------------

    def relay(self, sender_index: int, message: ToPeer) -> None:
        """Carry what an own storage process says to one of another node."""
        member = self._plane.membership.members.get(NodeId(message.node_id))
        if member is not None:
            body = encode(ForStorage(message.index, sender_index, message.body))
            self.peers.send(member, body)

    def send_to_node(self, node_id: NodeId, message: PartitionMessage | WorkWanted) -> None:
        """Send to a member; what it does not get is not repeated here."""
        if node_id == self._plane.own.node_id:
            self._loop.call_soon(self.on_peer_message, node_id, message)
            return
        member = self._plane.membership.members.get(node_id)
        if member is not None:
            self.peers.send(member, encode(message))

    # -- timers ---------------------------------------------------------------------------

    def _set_timer(self, timer: Hashable, delay_s: float) -> None:
        old = self._timers.pop(timer, None)
        if old is not None:
            old.cancel()
        due_s = time.monotonic() + delay_s
        self._timers[timer] = self._loop.call_later(delay_s, self._fire, timer, due_s)

    def _fire(self, timer: Hashable, due_s: float) -> None:
        self._timers.pop(timer, None)
        if self._is_stopped:
            return
        lateness_s = time.monotonic() - due_s
        # What was due before the last late waking belongs to that stall.
        if lateness_s >= self._late_s and due_s > self._woke_s:
            self.port.drain()
            self._woke_s = time.monotonic()
            self.perform(self._plane.woke_late(lateness_s))
        if timer not in self._timers:  # Unless it was set anew just now.
            self.perform(self._plane.handle_timer(timer))
