"""One attempt at the next table: what the members said, and what follows from it.

Facts and pure judgements; the protocol around them is in ``coordinator.py``.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field
from typing import Literal

from grid.partition.messages import Holding
from grid.partition.table import PartitionTable
from grid.types import (
    INFO,
    NO_TABLE,
    PARTITION_COUNT,
    WARNING,
    LogLine,
    NodeId,
    PartitionId,
    TableStamp,
)


@dataclass(slots=True)
class Round:
    """A round under way.

    Attributes:
        stamp: of the table it will publish.
        accepts_loss: a person has accepted the loss of what is vacant now.
        waiting: members whose answer is missing in this phase.
        held: what each member that answered holds.
        targets: the owners chosen, once the answers are in.
        asked: partitions each member was asked to release.
        released: those it released.
    """

    number: int
    phase: Literal["collect", "release"]
    stamp: TableStamp
    waiting: set[NodeId]
    accepts_loss: bool = False
    planned_from: TableStamp = NO_TABLE
    """The table that the targets were planned from; they fit no other."""
    held: dict[NodeId, dict[int, Holding]] = field(default_factory=dict)
    targets: list[NodeId | None] = field(default_factory=list)
    asked: dict[NodeId, set[int]] = field(default_factory=dict)
    released: dict[NodeId, set[int]] = field(default_factory=dict)

    def holders(self, table: PartitionTable, alive: Set[NodeId]) -> list[NodeId | None]:
        """Return the node that counts as owner of each partition, None where nobody does."""
        return [self._holder(table, alive, PartitionId(p)) for p in range(PARTITION_COUNT)]

    def is_movable(self, owner: NodeId, partition_id: int) -> bool:
        """Whether `owner` is known to hold nothing in the partition."""
        held = self.held.get(owner)
        if held is None:
            return False
        holding = held.get(partition_id)
        return holding is None or holding.entries == 0

    def is_served(self, table: PartitionTable) -> bool:
        """Whether every node that answered really holds what the table gives to it.

        One that has released partitions in a round that came to nothing does not: it must
        be told again.
        """
        return not self.asked and all(
            set(held) == set(table.owned_by(node_id)) for node_id, held in self.held.items()
        )

    def epochs(self, table: PartitionTable, targets: list[NodeId | None]) -> list[int]:
        """Return each partition's next epoch: above every epoch seen where the owner changes."""
        return [
            self._epoch(table, PartitionId(partition_id), target)
            for partition_id, target in enumerate(targets)
        ]

    def _holder(
        self, table: PartitionTable, alive: Set[NodeId], partition_id: PartitionId
    ) -> NodeId | None:
        """Who has entries, else who the table names.

        An owner that did not answer in this round stays owner while it lives. Holding a
        partition empty is no claim to it: a newcomer from a cluster of its own holds all of
        them, and a lost one must stay lost. Only a member that has been given it by a newer
        table than ours (our predecessor's last) counts.
        """
        table_owner = table.primary_of(partition_id)
        if table_owner in alive and table_owner not in self.held:
            return table_owner
        epoch = table.epoch_of(partition_id)
        claims = [
            (held.entries, node_id == table_owner, held.epoch, node_id)
            for node_id, holdings in self.held.items()
            if (held := holdings.get(partition_id)) is not None
            and (
                held.entries
                or node_id == table_owner
                or (node_id in table.order and held.epoch > epoch)
            )
        ]
        if claims:
            return max(claims)[3]
        return table_owner if table_owner in self.held else None

    def _epoch(
        self, table: PartitionTable, partition_id: PartitionId, target: NodeId | None
    ) -> int:
        known = table.epoch_of(partition_id)
        held = [h[partition_id].epoch for h in self.held.values() if partition_id in h]
        highest = max([known, *held])
        is_unchanged = target == table.primary_of(partition_id) and highest == known
        return known if is_unchanged else highest + 1


def describe_change(old: PartitionTable, new: PartitionTable) -> list[LogLine]:
    """Return what a person should know of the step from one table to the next."""
    moved = sum(
        old.primary_of(PartitionId(p)) != new.primary_of(PartitionId(p))
        for p in range(PARTITION_COUNT)
    )
    lines = [
        LogLine(
            INFO,
            f"partition table {new.term}.{new.version}: {len(new.order)} nodes, "
            f"{moved} partitions changed owner",
        )
    ]
    newly_lost = set(new.lost()) - set(old.lost())
    if newly_lost:
        lines.append(
            LogLine(
                WARNING,
                f"{len(newly_lost)} partitions lost with the node that held them; their keys "
                "raise PartitionLostError until the loss is accepted (grid accept-loss)",
            )
        )
    return lines
