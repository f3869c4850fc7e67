"""The simulated network: what happens to a datagram and to a connection between two hosts.

Datagrams are delayed, lost, duplicated, reordered and blocked. Connections only suffer what
TCP lets through: a lost segment costs time, a blocked direction silence, a rejecting firewall
a refusal. Everything follows from the seed.

Not here: nodes and what they do with what arrives (``node.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

SYN_RETRY_S = 1.0
SEGMENT_RETRY_S = 0.2
"""TCP's first retransmission timeouts (RFC 6298; Linux' lower bound for an open connection)."""

HANDSHAKE_SEGMENTS = 6
"""SYN, SYN-ACK and the four messages of our own handshake (``wire/handshake.py``)."""


@dataclass(frozen=True, slots=True)
class NetworkFaults:
    """How the network misbehaves everywhere. Probabilities are per datagram.

    A reordered datagram is held back for up to `reorder_s`, so that later ones pass it.
    """

    delay_s_min: float = 0.0001
    delay_s_max: float = 0.002
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    reorder_s: float = 0.1


class SimulatedNetwork:
    """Decides the fate of what is sent from one host to another (hosts by name)."""

    def __init__(self, random: Random, faults: NetworkFaults) -> None:
        """Start whole."""
        self._random = random
        self.faults = faults
        self._side_of: dict[str, int] = {}
        self._blocked: set[tuple[str, str]] = set()
        self._udp_blocked: set[tuple[str, str]] = set()
        self._rejecting: set[tuple[str, str]] = set()

    # -- faults ---------------------------------------------------------------------------

    def split(self, *sides: Iterable[str]) -> None:
        """Cut the network: hosts of different sides (and those of none) do not hear each other."""
        self._side_of = {
            host: number for number, hosts in enumerate(sides, start=1) for host in hosts
        }

    def heal(self) -> None:
        """Remove every split, block and rejection."""
        self._side_of.clear()
        self._blocked.clear()
        self._udp_blocked.clear()
        self._rejecting.clear()

    def block(self, source: str, target: str, *, udp_only: bool = False) -> None:
        """Let nothing (or no datagram) from `source` reach `target`; the other way is open."""
        (self._udp_blocked if udp_only else self._blocked).add((source, target))

    def reject_streams(self, source: str, target: str) -> None:
        """A firewall answers RST to every connection attempt from `source` to `target`."""
        self._rejecting.add((source, target))

    def is_cut(self, source: str, target: str) -> bool:
        """Whether nothing at all gets from `source` to `target`."""
        if self._side_of and self._side_of.get(source) != self._side_of.get(target):
            return True
        return bool(self._blocked) and (source, target) in self._blocked

    def is_rejecting(self, source: str, target: str) -> bool:
        """Whether connections from `source` to `target` are refused by something between."""
        return (source, target) in self._rejecting

    # -- fates ----------------------------------------------------------------------------

    def datagram_delays_s(self, source: str, target: str) -> list[float]:
        """Return the delay of each copy that arrives: none, one, or more."""
        faults, random = self.faults, self._random
        if self.is_cut(source, target):
            return []
        if self._udp_blocked and (source, target) in self._udp_blocked:
            return []
        copies = 2 if faults.duplication and random.random() < faults.duplication else 1
        delays_s = []
        for _ in range(copies):
            if faults.loss and random.random() < faults.loss:
                continue
            delay_s = self.delay_s()
            if faults.reordering and random.random() < faults.reordering:
                delay_s += random.uniform(0, faults.reorder_s)
            delays_s.append(delay_s)
        return delays_s

    def handshake_s(self, source: str, target: str) -> float | None:
        """Return how long connecting and our handshake take, or None for ever."""
        loss = self.faults.loss
        if loss >= 1 or self.is_cut(source, target) or self.is_cut(target, source):
            return None
        total_s = 0.0
        for number in range(HANDSHAKE_SEGMENTS):
            retry_s = SYN_RETRY_S if number < 2 else SEGMENT_RETRY_S
            while loss and self._random.random() < loss:
                total_s += retry_s
                retry_s *= 2
            total_s += self.delay_s()
        return total_s

    def delay_s(self) -> float:
        """Return the delay of one packet."""
        faults = self.faults
        spread_s = faults.delay_s_max - faults.delay_s_min
        return faults.delay_s_min + self._random.random() * spread_s
