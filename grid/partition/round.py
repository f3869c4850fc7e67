"""One attempt at the next table: what the members said, and what can be relied on of it.

Facts and pure judgements; the plan made from them is in ``planning.py``, the protocol around them
in ``coordinator.py``.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field
from typing import Literal

from grid.partition.messages import Holding, HoldingRole
from grid.partition.steps import Facts, Roles
from grid.partition.table import PartitionTable
from grid.types import (
    PARTITION_COUNT,
    WARNING,
    LogLine,
    NodeId,
    PartitionId,
    TableStamp,
    log_text,
    short,
)


@dataclass(slots=True)
class Round:
    """A round under way.

    Attributes:
        stamp: of the table it will publish.
        table: the one it began from; what was said fits no other.
        waiting: members whose answer is missing in this phase.
        accepts_loss: a person has accepted the loss of what is vacant now.
        held: what each member that answered holds.
        stamps: of the table that each of them serves.
        asked: partitions each member was asked to let go of, in either way.
        released: those it let go of.
    """

    number: int
    phase: Literal["collect", "release"]
    stamp: TableStamp
    table: PartitionTable
    waiting: set[NodeId]
    accepts_loss: bool = False
    held: dict[NodeId, dict[int, Holding]] = field(default_factory=dict)
    stamps: dict[NodeId, TableStamp] = field(default_factory=dict)
    asked: dict[NodeId, set[int]] = field(default_factory=dict)
    released: dict[NodeId, set[int]] = field(default_factory=dict)

    @property
    def members(self) -> list[NodeId]:
        """The nodes of the table that have answered."""
        return [node_id for node_id in self.held if node_id in self.table.order]

    @property
    def newcomers(self) -> list[NodeId]:
        """The nodes that have answered and are not in the table yet, in order."""
        return sorted(node_id for node_id in self.held if node_id not in self.table.order)

    @property
    def newer(self) -> list[tuple[TableStamp, NodeId]]:
        """Who serves a table that came after this one."""
        own = self.table.stamp
        return [(stamp, n) for n, stamp in self.stamps.items() if stamp.supersedes(own)]

    def silent(self, alive: Set[NodeId]) -> set[NodeId]:
        """Return the members of the table that live and have not answered."""
        return {NodeId(n) for n in self.table.order if n in alive and n not in self.held}

    def holdings_of(self, node_id: NodeId, role: HoldingRole) -> dict[int, Holding]:
        """Return what a node that answered holds in that role."""
        return {p: held for p, held in self.held[node_id].items() if held.role == role}

    def is_served(self) -> bool:
        """Whether every member that answered serves just what the table gives to it.

        One that has released partitions in a round that came to nothing does not: it must
        be told again.
        """
        table = self.table
        return not self.asked and all(
            self.stamps[node_id] == table.stamp
            and set(self.holdings_of(node_id, HoldingRole.PRIMARY)) == set(table.owned_by(node_id))
            for node_id in self.members
        )

    def facts(self, alive: Set[NodeId], *, has_backups: bool) -> list[Facts]:
        """Return what is known of each partition."""
        silent = self.silent(alive)
        up_to_date = {n for n in self.members if self.stamps[n] == self.table.stamp}
        by_partition: list[dict[NodeId, Holding]] = [{} for _ in range(PARTITION_COUNT)]
        for node_id in self.members:
            for p, holding in self.held[node_id].items():
                by_partition[p][node_id] = holding
        return [
            Facts(
                roles_in(self.table, p),
                self.table.epochs[p],
                by_partition[p],
                alive,
                silent,
                up_to_date,
                has_backups,
            )
            for p in range(PARTITION_COUNT)
        ]

    def highest_epochs(self) -> list[int]:
        """Return the highest epoch that anybody has said of each partition, or the table says."""
        highest = list(self.table.epochs)
        for holdings in self.held.values():
            for p, holding in holdings.items():
                highest[p] = max(highest[p], holding.epoch)
        return highest

    # -- newcomers from a cluster of their own --------------------------------------------

    def claims(self) -> dict[int, NodeId]:
        """Return the partitions with entries that newcomers bring, and who brings each."""
        claims: dict[int, NodeId] = {}
        for role in (HoldingRole.PRIMARY, HoldingRole.BACKUP):
            # A copy is a claim only if nobody brings the primary.
            primaries = {p for n in self.newcomers for p in self._primaries_of(n)}
            for node_id in self.newcomers:
                for p, holding in self.holdings_of(node_id, role).items():
                    is_free = role == HoldingRole.PRIMARY or p not in primaries
                    if holding.entries and is_free:
                        claims.setdefault(p, node_id)
        return claims

    def exclude_conflicts(self) -> list[tuple[NodeId, LogLine]]:
        """Forget newcomers that bring entries of a partition which has entries here already."""
        excluded = []
        filled = {
            p: node_id
            for node_id in self.members
            for p, holding in self.held[node_id].items()
            if holding.entries
        }
        claims = self.claims()
        for node_id in self.newcomers:
            brought = {p for p, claimant in claims.items() if claimant == node_id}
            brought |= {p for p, h in self._primaries_of(node_id).items() if h.entries}
            conflicting = brought & filled.keys()
            if not conflicting:
                filled |= dict.fromkeys(brought, node_id)
                continue
            del self.held[node_id]
            text = log_text(
                "not admitted",
                id=short(node_id),
                partitions=len(conflicting),
                hint="both sides hold entries of them; empty one (restart it) to merge",
            )
            excluded.append((node_id, LogLine(WARNING, text)))
        return excluded

    def _primaries_of(self, node_id: NodeId) -> dict[int, Holding]:
        return self.holdings_of(node_id, HoldingRole.PRIMARY)


def roles_in(table: PartitionTable, partition_id: int) -> Roles:
    """Return the roles that a table gives."""
    p = PartitionId(partition_id)
    return Roles(table.primary_of(p), table.backup_of(p), table.synced[p], table.incoming_of(p))
