"""What a node has counted of itself, for whoever watches it.

Not here: what it says of the cluster (``status.py``), how it is told (``metrics.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

RATE_INTERVAL_S = 0.5
"""Counts nearer to each other make no rate: it would jump."""


class OperationRate:
    """Makes operations a second of a count that grows."""

    def __init__(self, now_s: float) -> None:
        """Begin with a count of none; `now_s` is of any clock that never runs back."""
        self._counted_s = now_s
        self._operations = 0
        self._per_s = 0

    def per_s(self, operations: int, now_s: float) -> int:
        """Return the rate since the count before, or the former rate if that was just now."""
        elapsed_s = now_s - self._counted_s
        if elapsed_s >= RATE_INTERVAL_S:
            self._per_s = round((operations - self._operations) / elapsed_s)
            self._counted_s, self._operations = now_s, operations
        return self._per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCounts:
    """What this node has counted since its start, and the size of its network process."""

    events: Mapping[str, int] = field(default_factory=dict)
    """By kind, as in ``g.events()``."""
    connections_refused: int = 0
    datagrams_rejected: Mapping[str, int] = field(default_factory=dict)
    """By reason."""
    peer_messages_dropped: int = 0
    writes_lost_at_most: int = 0
    network_resident_bytes: int = 0
