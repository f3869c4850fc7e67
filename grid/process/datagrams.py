"""The node's datagram sockets: sealed out, opened and decoded in.

Responsible for: unicast on the public port, multicast beacons, counting what is refused and
saying once why a stranger is ignored.

Not responsible for: what a message means (the cores), when to send.

Runs in: network process.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable

from grid.errors import ProtocolError
from grid.membership.messages import MembershipMessage
from grid.transport.multicast import MulticastSockets
from grid.types import Address, NodeId, log_text
from grid.wire.catalog import decode_membership, encode
from grid.wire.datagram import (
    DATAGRAM_BYTES_MAX,
    DatagramOpener,
    DatagramSealer,
    Opened,
    claimed_sender,
)
from grid.wire.security import ClusterKeys

logger = logging.getLogger("grid.cluster")

DATAGRAMS_PER_WAKE = 256
"""Datagrams read before other events get their turn."""

DRAINED_MAX = 20_000
"""Datagrams read at once after a stall; the socket's buffer holds fewer."""

STRANGERS_MAX = 1_000
"""Strangers told apart; of more than that nothing is said any more."""

REASONS = {
    "other_cluster": "another cluster name than here",
    "other_secret": (
        "another secret than here, or only one has any (copy cluster.toml to every machine)"
    ),
}

Received = Callable[[NodeId, Address, MembershipMessage], None]


class DatagramPort:
    """Sends and receives the membership messages of one node."""

    def __init__(
        self,
        udp: socket.socket,
        multicast: MulticastSockets | None,
        keys: ClusterKeys,
        own_id: NodeId,
        on_received: Received,
    ) -> None:
        """Keep the sockets; `start` begins to read."""
        self._udp = udp
        self._multicast = multicast
        self._sealer = DatagramSealer(keys, own_id)
        self._opener = DatagramOpener(keys)
        self._own_id = own_id
        self._on_received = on_received
        self._strangers: set[tuple[str, str | bytes]] = set()
        self._sockets = [udp] if multicast is None else [udp, multicast.listener]
        self.rejected: Counter[str] = Counter()
        """Datagrams refused, by reason."""

    def start(self) -> None:
        """Read on the running loop."""
        for sock in self._sockets:
            asyncio.get_running_loop().add_reader(sock.fileno(), self._read, sock)

    def stop(self) -> None:
        """Stop reading, and close what is not the gateway's."""
        for sock in self._sockets:
            asyncio.get_running_loop().remove_reader(sock.fileno())
        if self._multicast is not None:
            self._multicast.close()

    def drain(self) -> None:
        """Handle everything that has arrived by now."""
        for sock in self._sockets:
            self._read(sock, DRAINED_MAX)

    def send(self, address: Address, message: MembershipMessage) -> None:
        """Send one datagram; it may be lost, here or on the way."""
        datagram = self._seal(message)
        try:
            self._udp.sendto(datagram, address)
        except OSError as error:
            # As good as lost on the way; the probe that needed it will say so.
            logger.debug("datagram to %s not sent: %s", address, error)

    def send_to_group(self, message: MembershipMessage) -> None:
        """Multicast on every interface."""
        if self._multicast is not None:
            self._multicast.send(self._seal(message))

    def _seal(self, message: MembershipMessage) -> bytes:
        datagram = self._sealer.seal(encode(message))
        assert len(datagram) <= DATAGRAM_BYTES_MAX, f"a datagram of {len(datagram)} bytes"
        return datagram

    def _read(self, sock: socket.socket, count: int = DATAGRAMS_PER_WAKE) -> None:
        for _ in range(count):
            try:
                data, source = sock.recvfrom(65_535)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                logger.debug("no datagram read: %s", error)
                return
            self._handle(data, Address(*source))

    def _handle(self, data: bytes, source: Address) -> None:
        opened = self._opener.open(data)
        if not isinstance(opened, Opened):
            self.rejected[opened] += 1
            if opened in REASONS:
                self._mention_stranger(opened, claimed_sender(data), source)
            return
        if opened.sender == self._own_id:
            return  # Our own beacon comes back on every interface.
        try:
            message = decode_membership(opened.body)
        except ProtocolError:
            self.rejected["undecodable"] += 1
            return
        self._on_received(opened.sender, source, message)

    def _mention_stranger(self, rejection: str, claimed_id: bytes, source: Address) -> None:
        """Say once per host, and once per node, why it is ignored."""
        seen: set[tuple[str, str | bytes]] = {(rejection, source.host), (rejection, claimed_id)}
        is_known = not seen.isdisjoint(self._strangers)
        if len(self._strangers) < STRANGERS_MAX:
            self._strangers |= seen
            if not is_known:
                reason = REASONS[rejection]
                logger.warning(log_text("node ignored", host=source.host, reason=reason))
