"""What a node knows of the machine and the networks it stands in.

Responsible for: the addresses it tells others, the choice among a peer's addresses, the
multicast sockets on every usable interface, noticing that interfaces have changed, and the
peers of former runs.

Not responsible for: what follows from a change (the cores), datagrams (``datagrams.py``).

Runs in: network process.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from grid.process.settings import NodeSettings
from grid.remembered_peers import RememberedPeers
from grid.transport.interfaces import (
    Interface,
    advertised_hosts,
    choose_host,
    usable_interfaces,
)
from grid.transport.multicast import MulticastSockets
from grid.types import Address, log_text

logger = logging.getLogger("grid.network")


class Surroundings:
    """Interfaces, multicast sockets and remembered peers of one node."""

    def __init__(self, settings: NodeSettings) -> None:
        """Look around; a machine without multicast falls back to its seeds."""
        self._bind = settings.bind
        self._advertise = settings.advertise
        self._has_seeds = bool(settings.discovery.seeds)
        self._interfaces = usable_interfaces()
        self._peers = RememberedPeers(settings.cluster)
        self._remembered: frozenset[Address] = frozenset()
        self.multicast = self._open_multicast(settings) if settings.discovery.multicast else None

    @property
    def hosts(self) -> tuple[str, ...]:
        """The addresses to tell others, as far as known now."""
        if self._advertise:
            return (self._advertise,)
        return advertised_hosts(self._interfaces, self._bind)

    def choose_host(self, hosts: tuple[str, ...]) -> str:
        """Return which of a peer's addresses to use from here."""
        return choose_host(hosts, self._interfaces)

    def refresh(self) -> bool:
        """Look again; return whether interfaces came, went or changed."""
        try:
            interfaces = usable_interfaces()
            is_rebuilt = self.multicast is not None and self.multicast.refresh(
                self._multicast_hosts(interfaces)
            )
        except OSError as error:  # Out of file descriptors, most likely; later, then.
            logger.debug("cannot look at the interfaces: %s", error)
            return False
        is_changed = is_rebuilt or (not self._is_bound and interfaces != self._interfaces)
        self._interfaces = interfaces
        return is_changed

    def remembered(self) -> list[Address]:
        """Return where nodes of this cluster answered in former runs."""
        return [] if self._bind.startswith("127.") else self._peers.load()

    def remember(self, addresses: Iterable[Address]) -> None:
        """Keep where nodes answer now, if that is news."""
        now = frozenset(addresses)
        if now - self._remembered:
            self._remembered = now
            self._peers.remember(sorted(now))

    @property
    def _is_bound(self) -> bool:
        """Whether the node listens on one address, come what may."""
        return self._bind not in ("", "0.0.0.0")

    def _multicast_hosts(self, interfaces: tuple[Interface, ...]) -> list[str]:
        if self._is_bound:
            return [self._bind]
        return list(dict.fromkeys(interface.host for interface in interfaces))

    def _open_multicast(self, settings: NodeSettings) -> MulticastSockets | None:
        options = settings.discovery
        hint = {} if self._has_seeds else {"hint": "set discovery.seeds to find the others"}
        try:
            sockets = MulticastSockets(options.multicast_group, options.multicast_port)
        except OSError as error:
            reason = error.strerror or error
            logger.warning(log_text("no multicast discovery", error=reason, **hint))
            return None
        try:
            sockets.refresh(self._multicast_hosts(self._interfaces))
        except OSError as error:
            # It is tried again whenever the interfaces are looked at.
            reason = error.strerror or error
            logger.warning(log_text("no multicast discovery yet", error=reason, **hint))
        return sockets
