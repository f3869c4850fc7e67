"""Runs the control plane on a real loop: performs its effects, keeps its timers.

Runs in: network process. The simulator has its own driver for the same effects.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Hashable

from grid.errors import ProtocolError
from grid.membership.effects import MemberChanged, Multicast, SelfDeclaredDead, SendDatagram
from grid.membership.messages import MembershipMessage
from grid.partition.effects import AskHoldings, AskRelease, SendToNode, ServeTable
from grid.partition.messages import PartitionMessage
from grid.process.control_plane import ControlPlane, NodeEffect
from grid.process.peers import PeerLinks
from grid.process.relatives import StorageLinks
from grid.transport.multicast import MulticastSender
from grid.types import Address, LogLine, NodeId, SetTimer
from grid.wire.catalog import decode_membership, encode
from grid.wire.datagram import DATAGRAM_BYTES_MAX, DatagramOpener, DatagramSealer, Opened

logger = logging.getLogger("grid.cluster")

DATAGRAMS_PER_WAKE = 256
"""Datagrams read before other events get their turn."""


class Driver:
    """Connects one control plane with sockets, links and the clock."""

    def __init__(
        self,
        plane: ControlPlane,
        udp: socket.socket,
        multicast: tuple[socket.socket, MulticastSender] | None,
        sealer: DatagramSealer,
        opener: DatagramOpener,
        peers: PeerLinks,
        storages: StorageLinks,
        *,
        on_table: Callable[[], None],
        on_declared_dead: Callable[[], None],
    ) -> None:
        """Keep the parts; `start` sets the plane going."""
        self._plane = plane
        self._udp = udp
        self._multicast = multicast
        self._sealer = sealer
        self._opener = opener
        self._peers = peers
        self._storages = storages
        self._on_table = on_table
        self._on_declared_dead = on_declared_dead
        self._loop = asyncio.get_running_loop()
        self._timers: dict[Hashable, asyncio.TimerHandle] = {}
        self._strangers: set[tuple[str, str]] = set()
        self._is_stopped = False
        self.rejected_count = 0

    def start(self) -> None:
        """Read datagrams and start the cores."""
        self._loop.add_reader(self._udp.fileno(), self._read, self._udp)
        if self._multicast is not None:
            listener = self._multicast[0]
            self._loop.add_reader(listener.fileno(), self._read, listener)
        self.perform(self._plane.start())

    def stop(self) -> None:
        """Stop timers and readers."""
        self._is_stopped = True
        for handle in self._timers.values():
            handle.cancel()
        self._loop.remove_reader(self._udp.fileno())
        if self._multicast is not None:
            listener, sender = self._multicast
            self._loop.remove_reader(listener.fileno())
            listener.close()
            sender.close()

    def on_peer_message(self, sender: NodeId, message: PartitionMessage) -> None:
        """A message from a peer's link, or from this node to itself."""
        if not self._is_stopped:
            self.perform(self._plane.handle_peer_message(sender, message))

    def perform(self, effects: list[NodeEffect]) -> None:
        """Carry out what the cores want."""
        for effect in effects:
            self._perform_one(effect)

    def _perform_one(self, effect: NodeEffect) -> None:
        match effect:
            case SendDatagram(address=address, message=message):
                self._send_datagram(address, message)
            case Multicast(message=message):
                if self._multicast is not None:
                    self._multicast[1].send(self._sealer.seal(encode(message)))
            case SendToNode(node_id=node_id, message=peer_message):
                self._send_to_node(node_id, peer_message)
            case AskHoldings(token=token):
                self._storages.ask_holdings(token)
            case AskRelease(token=token, partition_ids=partition_ids):
                self._storages.ask_release(token, partition_ids)
            case ServeTable(table=table):
                self._storages.serve(table, self._plane.own.node_id)
                self._on_table()
            case MemberChanged(record=record):
                if record.state.is_gone:
                    self._peers.drop(record.node_id)
            case SelfDeclaredDead():
                self._on_declared_dead()
            case SetTimer(timer=timer, delay_s=delay_s):
                self._set_timer(timer, delay_s)
            case LogLine(level=level, text=text):
                logger.log(level, text)

    def _send_datagram(self, address: Address, message: MembershipMessage) -> None:
        datagram = self._sealer.seal(encode(message))
        assert len(datagram) <= DATAGRAM_BYTES_MAX, f"a datagram of {len(datagram)} bytes"
        try:
            self._udp.sendto(datagram, address)
        except OSError as error:
            # As good as lost on the way; the probe that needed it will say so.
            logger.debug("datagram to %s not sent: %s", address, error)

    def _send_to_node(self, node_id: NodeId, message: PartitionMessage) -> None:
        if node_id == self._plane.own.node_id:
            self._loop.call_soon(self.on_peer_message, node_id, message)
            return
        member = self._plane.swim.members.get(node_id)
        if member is not None:
            self._peers.send(member, encode(message))

    def _set_timer(self, timer: Hashable, delay_s: float) -> None:
        old = self._timers.pop(timer, None)
        if old is not None:
            old.cancel()
        self._timers[timer] = self._loop.call_later(delay_s, self._fire, timer)

    def _fire(self, timer: Hashable) -> None:
        self._timers.pop(timer, None)
        if not self._is_stopped:
            self.perform(self._plane.handle_timer(timer))

    def _read(self, sock: socket.socket) -> None:
        for _ in range(DATAGRAMS_PER_WAKE):
            try:
                data, source = sock.recvfrom(65_535)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                logger.debug("no datagram read: %s", error)
                return
            self._handle_datagram(data, Address(*source))

    def _handle_datagram(self, data: bytes, source: Address) -> None:
        opened = self._opener.open(data)
        if not isinstance(opened, Opened):
            self.rejected_count += 1
            if opened == "other_secret":
                self._mention_stranger(source)
            return
        if opened.sender == self._plane.own.node_id:
            return  # Our own beacon comes back on every interface.
        try:
            message = decode_membership(opened.body)
        except ProtocolError:
            self.rejected_count += 1
            return
        self.perform(self._plane.handle_datagram(opened.sender, source, message))

    def _mention_stranger(self, source: Address) -> None:
        """Say once per host that a node of the same name has another secret."""
        key = (source.host, "other_secret")
        if key not in self._strangers and len(self._strangers) < 1000:
            self._strangers.add(key)
            logger.warning(
                "a node at %s has the same cluster name but another secret than this one, or "
                "one of them has none; it is ignored (copy cluster.toml to every machine)",
                source.host,
            )
