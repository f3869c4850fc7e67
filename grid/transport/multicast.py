"""Multicast sockets for discovery: one to listen, one per address to send.

Responsible for: hearing the group and sending to it on each interface there is, while interfaces
come and go.

Not responsible for: which interfaces (``interfaces.py``), when to look at them again, what the
datagrams mean.

Loopback takes part when asked by its address, so several nodes of one machine find each
other without any network. TTL 1: beacons stay on the LAN.

Theory of operation. A membership belongs to the kernel's interface (its index), not to an address.
It survives that the interface goes down or loses its address, but not that it is made anew; and
a switch that forwards multicast only to those who asked for it learns of them when they join.
So `MulticastSockets.refresh` compares each address's `Link` (index, carrier changes) with that of
the last time, and joins again whatever differs, even if the interface was away and back between
two looks. Joining again at every look would need no comparison, but would have each node tell the
switch for ever that it leaves and joins.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

from grid.transport.interfaces import Link, links_of

RECEIVE_BUFFER_BYTES = 1 << 20


class _Sender(NamedTuple):
    link: Link
    sock: socket.socket


class MulticastSockets:
    """Hears a group and sends to it, through the interfaces of the latest `refresh`.

    Several processes of one machine may listen at once. `listener` is one non-blocking socket
    from beginning to end, whatever happens to interfaces: a reader stays registered.

    Raises: OSError when the port is taken by somebody who does not share it.
    """

    def __init__(self, group: str, port: int) -> None:
        self._target = (group, port)
        self._joined: frozenset[Link] = frozenset()
        self._senders: dict[str, _Sender] = {}
        self._is_new = True
        self.listener = _open_listener(group, port)

    def refresh(self, interface_hosts: Sequence[str]) -> bool:
        """Listen and send through the interfaces with these addresses, and no others.

        What cannot be joined or opened now is tried again at the next call.
        Returns: whether anything was rebuilt.
        Raises: OSError when no interface can join, at the first call only: the machine may
            have no multicast at all. Afterwards a machine may well be without network for a while.
        """
        links = links_of(interface_hosts)
        senders = {h: old for h, old in self._senders.items() if links.get(h) == old.link}
        for host in self._senders.keys() - senders.keys():
            self._senders[host].sock.close()
        joined = self._joined & frozenset(links.values())
        # First leave, then join: an interface whose carrier was away is in both, by one index.
        for link in self._joined - joined:
            self._leave(link)
        failure = OSError("no network interface is up")
        # Two addresses of one interface share one membership.
        for link in dict.fromkeys(links.values()):
            if link not in joined:
                try:
                    self._join(link)
                    joined |= {link}
                except OSError as error:  # The interface has just gone; the others serve.
                    failure = error
        for host, link in links.items():
            if host not in senders:
                with contextlib.suppress(OSError):
                    senders[host] = _Sender(link, _open_sender(host))
        is_changed = (joined, senders) != (self._joined, self._senders)
        self._joined, self._senders = joined, senders
        is_first, self._is_new = self._is_new, False
        if is_first and not joined:
            raise failure
        return is_changed

    def send(self, datagram: bytes) -> int:
        """Send from every address; return how many took it (an interface may be down)."""
        sent = 0
        for sender in self._senders.values():
            with contextlib.suppress(OSError):
                sender.sock.sendto(datagram, self._target)
                sent += 1
        return sent

    def close(self) -> None:
        """Close all sockets; nothing else may be called afterwards but `close` and `send`."""
        self.listener.close()
        for sender in self._senders.values():
            sender.sock.close()

    def _join(self, link: Link) -> None:
        self.listener.setsockopt(
            socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, self._membership(link)
        )

    def _leave(self, link: Link) -> None:
        with contextlib.suppress(OSError):  # Gone together with its interface.
            self.listener.setsockopt(
                socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, self._membership(link)
            )

    def _membership(self, link: Link) -> bytes:
        # struct ip_mreqn, by index: after an address has moved, it would find another interface.
        return struct.pack("4s4si", socket.inet_aton(self._target[0]), b"", link.index)


def _open_listener(group: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        # Bound to the group itself: unicast datagrams to this port are none of ours.
        sock.bind((group, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _open_sender(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(host))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        # Other nodes of this machine hear it, too.
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
    except BaseException:
        sock.close()
        raise
    return sock
