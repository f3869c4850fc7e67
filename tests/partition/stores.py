"""A storage in a few lines: what the partition core believes that storage processes do.

A write is its number; a copy is the list of numbers that it has, in order. A primary sends its
log to its copies, a little later each, and only a copy that has once had all of it is complete.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from grid.partition.messages import Holding, HoldingRole
from grid.partition.table import PartitionTable
from grid.types import NodeId, PartitionId


@dataclass
class Primary:
    """A partition that is served."""

    epoch: int
    log: list[int] = field(default_factory=list)
    is_frozen: bool = False
    copies: dict[NodeId, int] = field(default_factory=dict)
    """How much of the log each copy that the table names has; -1 before it is filled."""

    @property
    def complete(self) -> list[NodeId]:
        return [node_id for node_id, have in self.copies.items() if have >= 0]


@dataclass
class Copy:
    """A partition that somebody else serves."""

    epoch: int
    log: list[int] = field(default_factory=list)
    is_complete: bool = False


class PromotedIncompleteError(Exception):
    """A node was made primary of what it has an incomplete copy of, or none though others do."""


class FakeStore:
    """All storage processes of one node."""

    def __init__(self, node_id: NodeId) -> None:
        self.node_id = node_id
        self.primaries: dict[int, Primary] = {}
        self.copies: dict[int, Copy] = {}

    def serve(self, table: PartitionTable) -> list[int]:
        """Hold what the table says; return what is served anew, from nothing."""
        owned = table.owned_by(self.node_id)
        roles = set(table.roles_of(self.node_id))
        for p in [p for p in self.primaries if p not in owned]:
            old = self.primaries.pop(p)
            if p in roles and old.is_frozen:
                self.copies[p] = Copy(old.epoch, old.log, True)
        for p in [p for p in self.copies if p not in roles]:
            del self.copies[p]
        begun = [self._own(table, p, epoch) for p, epoch in owned.items()]
        for p, copy in self.copies.items():
            copy.epoch = max(copy.epoch, table.epochs[p])
        return [p for p in begun if p is not None]

    def _own(self, table: PartitionTable, p: PartitionId, epoch: int) -> int | None:
        primary, begun = self.primaries.get(p), None
        if primary is None:
            copy = self.copies.pop(p, None)
            if copy is not None and not copy.is_complete:
                raise PromotedIncompleteError(f"{p} at epoch {epoch}")
            begun = p if copy is None else None
            primary = self.primaries[p] = Primary(epoch, [] if copy is None else copy.log)
        primary.epoch, primary.is_frozen = epoch, False
        known, primary.copies = primary.copies, {}
        for node_id in (table.backup_of(p), table.incoming_of(p)):
            if node_id is not None:
                is_synced = node_id == table.backup_of(p) and table.synced[p]
                presumed = len(primary.log) if is_synced else -1
                primary.copies[node_id] = known.get(node_id, presumed)
        return begun

    def holdings(self) -> list[Holding]:
        served = [
            Holding(
                p, held.epoch, len(held.log), len(held.log), HoldingRole.PRIMARY, [*held.complete]
            )
            for p, held in self.primaries.items()
        ]
        return served + [
            Holding(
                p,
                copy.epoch,
                len(copy.log),
                len(copy.log),
                HoldingRole.BACKUP if copy.is_complete else HoldingRole.FILLING,
                [],
            )
            for p, copy in self.copies.items()
        ]

    def give_up(self, partition_ids: Iterable[int]) -> list[int]:
        """Give up what is empty; return that."""
        given = []
        for p in partition_ids:
            held = self.primaries.get(p)
            if held is None or not held.log:
                self.primaries.pop(p, None)
                given.append(p)
        return given

    def is_equal(self, p: int) -> bool:
        """Whether all copies that the table names are complete and have everything."""
        held = self.primaries.get(p)
        return held is None or all(have == len(held.log) for have in held.copies.values())

    def write(self, p: int, number: int) -> bool:
        """Write if the partition is served here."""
        held = self.primaries.get(p)
        if held is None or held.is_frozen:
            return False
        held.log.append(number)
        return True

    def has_copy(self, p: int) -> bool:
        """Whether a complete copy is here, or what will be one when the next table comes."""
        return p in self.primaries or (p in self.copies and self.copies[p].is_complete)

    def copy_to(self, p: int, other: FakeStore) -> bool:
        """Bring a copy elsewhere up to date; return whether that has made it complete."""
        held = self.primaries[p]
        if p in other.primaries:
            frozen = other.primaries[p]
            if not frozen.is_frozen or frozen.epoch >= held.epoch:
                return False
            # Handed over: the successor's first write is here before the table that says so.
            del other.primaries[p]
            other.copies[p] = Copy(held.epoch, frozen.log, True)
        copy = other.copies.get(p)
        if copy is not None and copy.epoch > held.epoch:
            return False
        was_complete = held.copies[other.node_id] >= 0
        other.copies[p] = Copy(held.epoch, [*held.log], True)
        held.copies[other.node_id] = len(held.log)
        return not was_complete
