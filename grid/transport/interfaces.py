"""This machine's network interfaces: which are of use, and which address to use for a peer.

Responsible for: listing them, the most likely LAN first; which addresses a node tells others;
which of a peer's addresses to take; telling whether an interface is still the one it was.

Not responsible for: sockets (``multicast.py``), when to look again (the network process).

Theory of operation. A machine has several addresses and no way to know which of them a peer
reaches: LAN, Wi-Fi, VPN, bridges of container tools. So a node tells a few, and each peer chooses
by its own interfaces. Nothing is cached: laptops change networks.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

LOOPBACK = "127.0.0.1"
ADVERTISED_MAX = 4
"""Addresses a node tells others: they ride in member lists, by datagram."""

_ANY = ("", "0.0.0.0")
_ROUTES = Path("/proc/net/route")
_CLASSES = Path("/sys/class/net")
# Interfaces whose other end is on this very machine.
_OF_CONTAINER_TOOLS = (
    *("docker", "br-", "veth", "virbr", "podman", "cni", "flannel", "cali"),
    *("lxcbr", "lxdbr", "vboxnet", "vmnet"),
)


@dataclass(frozen=True, slots=True)
class Interface:
    """One IPv4 address of this machine; an interface with several appears once for each."""

    name: str
    host: str
    network: ipaddress.IPv4Network

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host.startswith("127.")


@dataclass(frozen=True, slots=True)
class Link:
    """One life of a network interface, as multicast sees it.

    Another index: the kernel has made the interface anew (an adapter was plugged in again) and has
    forgotten what was joined on it. Another count: the carrier was away in between, so there may
    be another switch at the end of the cable, which does not know what we want to hear.
    """

    index: int
    carrier_changes: int


def usable_interfaces() -> tuple[Interface, ...]:
    """Return the interfaces that are up, with carrier, and have an IPv4 address.

    Order: those of default routes (the lowest metric first), others by name, bridges of container
    tools, loopback.
    """
    stats = psutil.net_if_stats()
    default_names = _default_route_names()

    def rank(interface: Interface) -> tuple[int, int, str]:
        name = interface.name
        if interface.is_loopback:
            return 3, 0, name
        if name in default_names:
            return 0, default_names.index(name), name
        return 2 if name.startswith(_OF_CONTAINER_TOOLS) else 1, 0, name

    found = (
        Interface(name, host, _network(host, mask))
        for name, host, mask in _addresses()
        if name in stats and stats[name].isup
    )
    # The sort is stable: of one interface's addresses the kernel's first remains the first.
    return tuple(sorted(found, key=rank))


def usable_interface_addresses() -> list[str]:
    """Return the IPv4 addresses of `usable_interfaces`, in their order."""
    return [interface.host for interface in usable_interfaces()]


def advertised_hosts(interfaces: Sequence[Interface], bind: str) -> tuple[str, ...]:
    """Return what a node that listens on `bind` tells others, 1 .. `ADVERTISED_MAX` addresses.

    Loopback only if there is nothing else.
    """
    if bind not in _ANY:
        return (bind,)
    # An address may be on two interfaces.
    hosts = dict.fromkeys(interface.host for interface in interfaces if not interface.is_loopback)
    return tuple(hosts)[:ADVERTISED_MAX] or (LOOPBACK,)


def choose_host(hosts: Sequence[str], own: Sequence[Interface]) -> str:
    """Return which of a peer's advertised `hosts` (at least one) to use from this machine.

    The first in a network of ours, else the first that is not ours, else the first. Addresses of
    our own come last because docker0 has the same one on every machine; if a peer has no other,
    it is on this machine.
    """
    own_hosts = {interface.host for interface in own}
    others = [host for host in hosts if host not in own_hosts]
    near = (host for host in others if any(_is_in(interface.network, host) for interface in own))
    return next(near, None) or next(iter(others), hosts[0])


def links_of(hosts: Iterable[str]) -> dict[str, Link]:
    """Return the link of each of `hosts` that is an address of this machine, up or not."""
    names = {host: name for name, host, _ in _addresses()}
    found = {}
    for host in hosts:
        # All of 127.0.0.0/8 is this machine's, though only 127.0.0.1 is listed.
        name = names.get(LOOPBACK if host.startswith("127.") and host not in names else host)
        if name is not None:
            with contextlib.suppress(OSError):  # It has just gone.
                found[host] = Link(socket.if_nametoindex(name), _carrier_changes(name))
    return found


def _addresses() -> Iterator[tuple[str, str, str]]:
    """Yield interface, address and mask of each IPv4 address, as the kernel orders them."""
    for label, entries in psutil.net_if_addrs().items():
        for entry in entries:
            if entry.family == socket.AF_INET:
                # A second address may carry a label, "eth0:1", which is no interface.
                yield label.partition(":")[0], entry.address, entry.netmask or "255.255.255.255"


def _network(host: str, mask: str) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network((host, mask), strict=False)


def _is_in(network: ipaddress.IPv4Network, host: str) -> bool:
    try:
        return ipaddress.IPv4Address(host) in network
    except ValueError:  # A name from the configuration; only resolving it would tell.
        return False


def _default_route_names() -> list[str]:
    """Return the interfaces of the default routes, the lowest metric first."""
    try:
        rows = [line.split() for line in _ROUTES.read_text().splitlines()[1:]]
        # Interface, destination, gateway, flags, references, use, metric, mask, ...
        defaults = [(int(row[6]), row[0]) for row in rows if (row[1], row[7]) == ("0" * 8,) * 2]
    except (OSError, ValueError, IndexError):
        return []  # Then names decide the order.
    return [name for _, name in sorted(defaults)]


def _carrier_changes(name: str) -> int:
    """Return how often carrier came or went; 0 where the kernel does not tell."""
    try:
        return int((_CLASSES / name / "carrier_changes").read_text())
    except (OSError, ValueError):
        return 0
