"""From a member list to target owners: rendezvous order with caps, moving as little as possible.

Every node's share differs by at most one; a holder keeps what it has while under its cap; a
partition without a holder goes to the first node of its rendezvous (HRW) preference order
that has room. Deterministic from the nodes and the current owners.

Source: Thaler and Ravishankar 1998 for rendezvous hashing; the cap because any pure hash is
about 30 % off balance at ten nodes and 256 partitions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from hashlib import blake2b

from grid.types import PARTITION_COUNT, NodeId


def preference(node_id: NodeId, partition_id: int) -> bytes:
    """Return the rendezvous weight of a node for a partition; higher is preferred."""
    return blake2b(node_id + partition_id.to_bytes(2, "big"), digest_size=8).digest()


class _Shares:
    """How much each node may still take: `low` each, and `extra` of them one more."""

    def __init__(self, nodes: Sequence[NodeId], partition_count: int) -> None:
        self._low, self._extra = divmod(partition_count, len(nodes))
        self._taken: Counter[NodeId] = Counter()
        self._extra_used = 0

    def take(self, node_id: NodeId) -> bool:
        """Give the node one more partition if its share has room."""
        taken = self._taken[node_id]
        if taken == self._low and self._extra_used < self._extra:
            self._extra_used += 1
        elif taken >= self._low:
            return False
        self._taken[node_id] += 1
        return True


def assign(
    nodes: Sequence[NodeId],
    owners: Sequence[NodeId | None],
    left_out: Set[int] = frozenset(),
) -> list[NodeId | None]:
    """Return the target owner of each partition; None for those `left_out`.

    Args:
        nodes: the members that can hold partitions, at least one, in any order.
        owners: the present owner of each partition; None, or a node no longer in `nodes`,
            for one that needs a home.
        left_out: partitions that shall have no target (lost);
            they count for nobody's share.

    Shape: ``PARTITION_COUNT`` owners in and out.
    """
    if not nodes:
        raise ValueError("no node to hold the partitions")
    nodes = sorted(nodes)
    shares = _Shares(nodes, PARTITION_COUNT - len(left_out))
    targets: list[NodeId | None] = [None] * PARTITION_COUNT
    present = set(nodes)
    # Each holder keeps first what it is preferred for, so that repeated joins and leaves
    # converge to the same layout instead of wandering.
    held = [
        (preference(owner, p), p, owner)
        for p, owner in enumerate(owners)
        if owner in present and p not in left_out
    ]
    for _, partition_id, owner in sorted(held, reverse=True):
        if shares.take(owner):
            targets[partition_id] = owner
    for partition_id, target in enumerate(targets):
        if target is None and partition_id not in left_out:
            by_weight = sorted(nodes, key=lambda n: preference(n, partition_id), reverse=True)
            targets[partition_id] = next(node_id for node_id in by_weight if shares.take(node_id))
    return targets
