"""What a node has counted of itself, for whoever watches it.

Not here: what it says of the cluster (``status.py``), how it is told (``metrics.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
