"""From a member list to target owners and target backups, moving as little as possible.

Owners: every node's share differs by at most one; a holder keeps what it has while under its
cap; a partition without a holder goes to the first node of its rendezvous (HRW) preference
order that has room.

Backups: the copies of a node (owned and backed) differ by at most one between nodes, a backup is
never with its primary, and on another host whenever there is one, which beats balance. A node that
has a complete copy keeps it as far as possible. That is a matching of partitions to nodes with
capacities: greedy first, then augmenting paths where greed has led into a dead end.

Both are deterministic from the nodes and from who holds what.

Sources: Thaler and Ravishankar 1998 for rendezvous hashing; the caps because any pure hash is
about 30 % off balance at ten nodes and 256 partitions; augmenting paths: Berge 1957.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import lru_cache
from hashlib import blake2b

from grid.types import PARTITION_COUNT, NodeId

_WEIGHT_BYTES = 8
_NODES_WEIGHED = 256
"""Nodes whose weights are kept: half a megabyte."""


def preference(node_id: NodeId, partition_id: int) -> bytes:
    """Return the rendezvous weight of a node for a partition; higher is preferred."""
    start = partition_id * _WEIGHT_BYTES
    return _weights(node_id)[start : start + _WEIGHT_BYTES]


@lru_cache(maxsize=_NODES_WEIGHED)
def _weights(node_id: NodeId) -> bytes:
    """Return a node's weights for all partitions, one after the other."""
    return b"".join(
        blake2b(node_id + partition_id.to_bytes(2, "big"), digest_size=_WEIGHT_BYTES).digest()
        for partition_id in range(PARTITION_COUNT)
    )


class _Shares:
    """How much each node may still take: `low` each, and `extra` of them one more."""

    def __init__(self, nodes: Sequence[NodeId], total: int) -> None:
        low, self._extra = divmod(total, len(nodes))
        self._low = dict.fromkeys(nodes, low)
        self.taken: Counter[NodeId] = Counter()
        self._extra_used = 0

    def has_room(self, node_id: NodeId) -> bool:
        """Whether the node may take one more."""
        taken, low = self.taken[node_id], self._low[node_id]
        return taken < low or (taken == low and self._extra_used < self._extra)

    def add(self, node_id: NodeId) -> None:
        """Give the node one more, whether it has room or not."""
        self._extra_used += self.taken[node_id] == self._low[node_id]
        self.taken[node_id] += 1

    def remove(self, node_id: NodeId) -> None:
        """Take one from the node."""
        self.taken[node_id] -= 1
        self._extra_used -= self.taken[node_id] == self._low[node_id]

    def take(self, node_id: NodeId) -> bool:
        """Give the node one more if it has room."""
        if not self.has_room(node_id):
            return False
        self.add(node_id)
        return True

    def holders_of_extra(self, node_id: NodeId) -> list[NodeId]:
        """Return who must give one away if `node_id`, which has its low share, shall take one."""
        if self.taken[node_id] != self._low[node_id]:
            return []
        return [other for other, low in self._low.items() if self.taken[other] == low + 1]

    def widen(self, nodes: Iterable[NodeId], by: int) -> None:
        """Let these nodes take more than their share."""
        for node_id in nodes:
            self._low[node_id] += by
        self._extra_used = sum(self.taken[n] > low for n, low in self._low.items())


def assign(
    nodes: Sequence[NodeId],
    owners: Sequence[NodeId | None],
    left_out: Set[int] = frozenset(),
    copies: Sequence[Sequence[NodeId]] | None = None,
) -> list[NodeId | None]:
    """Return the target owner of each partition; None for those `left_out`.

    Args:
        nodes: the members that can hold partitions, at least one, in any order.
        owners: the present owner of each partition; None, or a node no longer in `nodes`,
            for one that needs a home.
        left_out: partitions that shall have no target (lost);
            they count for nobody's share.
        copies: for each partition who else has a complete copy. What has none needs a copy
            anyway, so where an owner has too much, that is what it gives away.

    Shape: ``PARTITION_COUNT`` owners in and out.
    """
    if not nodes:
        raise ValueError("no node to hold the partitions")
    nodes = sorted(nodes)
    shares = _Shares(nodes, PARTITION_COUNT - len(left_out))
    targets: list[NodeId | None] = [None] * PARTITION_COUNT
    others = [()] * PARTITION_COUNT if copies is None else copies
    present = set(nodes)
    # Each holder keeps first what it is preferred for, so that repeated joins and leaves
    # converge to the same layout instead of wandering.
    held = [
        (bool(others[p]), preference(owner, p), p, owner)
        for p, owner in enumerate(owners)
        if owner in present and p not in left_out
    ]
    for _, _, partition_id, owner in sorted(held, reverse=True):
        if shares.take(owner):
            targets[partition_id] = owner
    for partition_id, target in enumerate(targets):
        if target is None and partition_id not in left_out:
            by_weight = sorted(nodes, key=lambda n: preference(n, partition_id), reverse=True)
            wished = [*(n for n in others[partition_id] if n in present), *by_weight]
            targets[partition_id] = next(node_id for node_id in wished if shares.take(node_id))
    return targets


def assign_backups(
    nodes: Sequence[NodeId],
    hosts: Mapping[NodeId, str],
    primaries: Sequence[NodeId | None],
    holders: Sequence[Sequence[NodeId]],
    left_out: Set[int] = frozenset(),
) -> list[NodeId | None]:
    """Return the target backup of each partition; None for those `left_out`.

    A single node backs up nothing.

    Args:
        nodes: as for `assign`.
        hosts: the machine of each node.
        primaries: the target owners, as `assign` has returned them.
        holders: for each partition who has a complete copy now, best first.
        left_out: as for `assign`.
    """
    if len(nodes) < 2:
        return [None] * PARTITION_COUNT
    return _Backups(sorted(nodes), hosts, primaries, holders, left_out).choose()


class _Backups:
    """One run of `assign_backups`."""

    def __init__(
        self,
        nodes: list[NodeId],
        hosts: Mapping[NodeId, str],
        primaries: Sequence[NodeId | None],
        holders: Sequence[Sequence[NodeId]],
        left_out: Set[int],
    ) -> None:
        self._nodes = nodes
        self._primaries = primaries
        self._holders = holders
        self._missing = [p for p in range(PARTITION_COUNT) if p not in left_out]
        self._shares = _Shares(nodes, 2 * len(self._missing))
        self._choice: list[NodeId | None] = [None] * PARTITION_COUNT
        self._chosen_by: dict[NodeId, set[int]] = {node_id: set() for node_id in nodes}
        self._allowed: dict[NodeId | None, list[NodeId]] = {}
        for primary in nodes:
            others = [n for n in nodes if n != primary]
            elsewhere = [n for n in others if hosts.get(n) != hosts.get(primary)]
            self._allowed[primary] = elsewhere or others
        for partition_id in self._missing:
            owner = primaries[partition_id]
            assert owner is not None, "only what is left out has no owner"
            self._shares.add(owner)

    def choose(self) -> list[NodeId | None]:
        """Return the backups."""
        while self._missing:
            self._keep_holders()
            self._place(self._keepers)
            self._give_by_weight()
            closed = self._place(self._candidates)
            if closed:
                # No way to stay within the shares: there are too few nodes on other hosts.
                stuck = sum(closed.issuperset(self._candidates(p)) for p in self._missing)
                self._shares.widen(closed, max(1, stuck // len(closed)))
        return self._choice

    def _candidates(self, partition_id: int) -> list[NodeId]:
        return self._allowed[self._primaries[partition_id]]

    def _keepers(self, partition_id: int) -> list[NodeId]:
        allowed = self._candidates(partition_id)
        return [node_id for node_id in self._holders[partition_id] if node_id in allowed]

    def _keep_holders(self) -> None:
        """Let holders keep what they have, best copies first, within their shares."""
        # What moves to a new owner comes first: the new owner, which has most room, cannot take
        # its backup as well, so that a third node would need a copy.
        wishes = sorted(
            (is_moving, -rank, preference(node_id, partition_id), partition_id, node_id)
            for partition_id in self._missing
            for is_moving in (self._primaries[partition_id] not in self._holders[partition_id],)
            for rank, node_id in enumerate(self._keepers(partition_id))
        )
        for *_, partition_id, node_id in reversed(wishes):
            if self._choice[partition_id] is None and self._shares.has_room(node_id):
                self._move(partition_id, node_id)
        self._drop_placed()

    def _give_by_weight(self) -> None:
        for partition_id in self._missing:
            by_weight = sorted(
                self._candidates(partition_id),
                key=lambda n: preference(n, partition_id),
                reverse=True,
            )
            for node_id in by_weight:
                if self._shares.has_room(node_id):
                    self._move(partition_id, node_id)
                    break
        self._drop_placed()

    def _place(self, options: Callable[[int], list[NodeId]]) -> set[NodeId]:
        """Place what is missing by making room; return nodes between which no room was found."""
        closed: set[NodeId] = set()
        for partition_id in self._missing:
            if not closed.issuperset(options(partition_id)):
                closed |= self._make_room(partition_id, options)
        self._drop_placed()
        return closed

    def _make_room(self, partition_id: int, options: Callable[[int], list[NodeId]]) -> set[NodeId]:
        """Place one partition along an augmenting path; without one return who was reached."""
        came: dict[NodeId, tuple[NodeId | None, int | None]] = {}
        reached: list[NodeId] = []

        def reach(nodes: list[NodeId], source: NodeId | None, moving: int | None) -> None:
            for node_id in nodes:
                if node_id not in came:
                    came[node_id] = (source, moving)
                    reached.append(node_id)

        reach(options(partition_id), None, partition_id)
        for node_id in reached:  # Grows while it is walked: breadth first.
            if self._shares.has_room(node_id):
                step: NodeId | None = node_id
                while step is not None:
                    source, moving = came[step]
                    if moving is not None:
                        self._move(moving, step)
                    step = source
                return set()
            for other in sorted(self._chosen_by[node_id]):
                reach(options(other), node_id, other)
            reach(self._shares.holders_of_extra(node_id), node_id, None)
        return set(reached)

    def _move(self, partition_id: int, node_id: NodeId) -> None:
        last = self._choice[partition_id]
        if last is not None:
            self._shares.remove(last)
            self._chosen_by[last].discard(partition_id)
        self._choice[partition_id] = node_id
        self._shares.add(node_id)
        self._chosen_by[node_id].add(partition_id)

    def _drop_placed(self) -> None:
        self._missing = [p for p in self._missing if self._choice[p] is None]
