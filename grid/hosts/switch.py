"""The wires between the hosts: bridges in a namespace of their own, and what they lose.

Faults of the network sit here, between the hosts, so that nobody is told: a datagram that the
switch drops was sent, as far as its sender knows. (A rule in the sender's own namespace would
make its send fail.) They are state, rendered to one nftables ruleset that replaces the former
one in a single step.

Not here: faults of a host itself, as its firewall or its interface (host.py).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from grid.hosts.netns import Namespace

Protocol = Literal["any", "udp", "tcp"]

_CHANCES = 1_000_000
_MATCHES: dict[Protocol, str] = {
    # Not ARP: one-way it would take the other direction along, and packets have to be lost, not
    # addresses.
    "any": "ether type ip",
    "udp": "meta l4proto udp",
    "tcp": "meta l4proto tcp",
}


@dataclass(frozen=True)
class Lan:
    """A bridge: hosts on the same one reach each other."""

    number: int

    @property
    def bridge(self) -> str:
        """Its name in the namespace of the switch."""
        return f"lan{self.number}"

    def address(self, host_number: int) -> str:
        """Return the address of a host on it."""
        assert 1 <= host_number <= 254
        return f"10.77.{self.number}.{host_number}"


class Faults:
    """What the switch loses; ports are its interfaces, one per host and LAN."""

    def __init__(self) -> None:
        self.split: list[frozenset[str]] = []
        """Groups of ports that cannot reach each other: torn cables, so that ARP ends too."""
        self.blocked: set[tuple[str, str, Protocol]] = set()
        """From port, to port, what of it."""
        self.without_udp: set[str] = set()
        """Ports that UDP passes in neither direction."""
        self.loss: dict[str, tuple[float, Protocol]] = {}
        """Share of packets to this port that never arrive."""

    def rules(self) -> str:
        """Return all of it for nft; it replaces what was loaded before."""
        lines = [
            f"iifname {_names(group)} oifname {_names(other)} drop"
            for group in self.split
            for other in self.split
            if group != other
        ]
        for source, target, protocol in sorted(self.blocked):
            lines.append(f'iifname "{source}" oifname "{target}" {_MATCHES[protocol]} drop')
        for port in sorted(self.without_udp):
            lines.append(f'iifname "{port}" meta l4proto udp drop')
            lines.append(f'oifname "{port}" meta l4proto udp drop')
        for port, (share, protocol) in sorted(self.loss.items()):
            # nft takes no comparison that is always true.
            some = f"numgen random mod {_CHANCES} < {round(share * _CHANCES)}"
            chance = some if share < 1 else ""
            lines.append(f'oifname "{port}" {_MATCHES[protocol]} {chance} drop')
        chain = "\n".join(["type filter hook forward priority 0; policy accept;", *lines])
        return replacing("bridge", f"chain forward {{\n{chain}\n}}")


def replacing(family: str, chains: str) -> str:
    """Return an nft script for our table of `family`, whatever it held before."""
    table = f"table {family} faults"
    # The first line lets the second succeed the first time.
    return f"{table}\ndelete {table}\n{table} {{\n{chains}\n}}\n"


def _names(ports: Collection[str]) -> str:
    return "{ " + ", ".join(f'"{port}"' for port in sorted(ports)) + " }"


class Switch:
    """All LANs of one network."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self.lans: list[Lan] = []
        self.faults = Faults()

    def create(self) -> None:
        """Make its namespace."""
        self._namespace.create()

    def add_lan(self) -> Lan:
        """Add a bridge that no host is on yet."""
        lan = Lan(len(self.lans))
        self._namespace.ip(
            # Without snooping each multicast packet reaches every port. With it they would as long
            # as nobody on the LAN asks for group members, which nobody should depend on.
            f"link add name {lan.bridge} type bridge mcast_snooping 0 stp_state 0",
            f"link set dev {lan.bridge} addrgenmode none up",
        )
        self.lans.append(lan)
        return lan

    def connect(self, lan: Lan, port: str, host: Namespace, interface: str) -> None:
        """Lay a cable: `port` is our end, `interface` the host's, which is still down."""
        self._namespace.ip(
            f"link add name {port} type veth peer name {interface} netns {host.name}",
            f"link set dev {port} master {lan.bridge}",
            # No IPv6: its neighbour discovery would only be noise.
            f"link set dev {port} addrgenmode none up",
        )

    def set_plugged(self, port: str, *, is_plugged: bool) -> None:
        """Pull or insert the cable of a port: the host sees its carrier go or come."""
        self._namespace.ip(f"link set dev {port} {'up' if is_plugged else 'down'}")

    def apply(self) -> None:
        """Let the faults be what `faults` says."""
        self._namespace.nft(self.faults.rules())
