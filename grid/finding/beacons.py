"""Overhearing a cluster: what its nodes multicast tells where they answer.

Responsible for: listening on every interface, opening beacons, which address of a node to use
from here, remembering what was heard of other clusters.

Not responsible for: whether anybody answers there (``search.py``), what nodes make of beacons
(``membership/discovery.py``).

Whoever listens stays unseen: nothing is ever sent. A beacon is authentic but may be a recording,
as a listener that has just begun knows no counters; it makes us ask at an address, no more.
"""

from __future__ import annotations

import contextlib
import socket

from grid.errors import ProtocolError
from grid.membership.messages import Beacon
from grid.transport.interfaces import choose_host, usable_interfaces
from grid.transport.multicast import MulticastSockets
from grid.types import Address
from grid.wire.catalog import decode_membership
from grid.wire.datagram import DatagramOpener, Opened, Rejection
from grid.wire.security import ClusterKeys

DATAGRAMS_AT_ONCE = 256
"""Datagrams read in one go, so that a flood cannot keep us from looking at the clock."""


class Beacons:
    """Hears one cluster until closed.

    Raises: OSError when the port is taken by somebody who does not share it.
    """

    def __init__(self, keys: ClusterKeys, group: str, port: int) -> None:
        self._opener = DatagramOpener(keys)
        self._sockets = MulticastSockets(group, port)
        self._interfaces = usable_interfaces()
        self.problem = ""
        """Why nothing can be heard now; empty if nothing stands in the way."""
        self.strangers: dict[Rejection, str] = {}
        """By reason, the host whose datagrams were the first refused for it."""
        self.refresh()

    @property
    def listener(self) -> socket.socket:
        """What to wait for; the same from beginning to end."""
        return self._sockets.listener

    def refresh(self) -> None:
        """Listen on the interfaces there are now: a network may come up while we wait."""
        try:
            self._interfaces = usable_interfaces()
            self._sockets.refresh(list(dict.fromkeys(i.host for i in self._interfaces)))
        except OSError as error:
            self.problem = error.strerror or str(error)
        else:
            self.problem = ""

    def heard(self) -> list[Address]:
        """Return where the cluster's nodes say they answer, as far as heard since the last call."""
        found: dict[Address, None] = {}
        for _ in range(DATAGRAMS_AT_ONCE):
            try:
                data, source = self.listener.recvfrom(65_535)
            except OSError:  # Nothing waits, or the interface has gone.
                break
            opened = self._opener.open(data)
            if not isinstance(opened, Opened):
                self.strangers.setdefault(opened, source[0])
                continue
            with contextlib.suppress(ProtocolError):
                message = decode_membership(opened.body)
                if isinstance(message, Beacon):
                    record = message.sender
                    host = choose_host(record.hosts, self._interfaces)
                    found[Address(host, record.port)] = None
        return list(found)

    def close(self) -> None:
        """Stop listening."""
        self._sockets.close()
