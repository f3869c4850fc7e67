"""What has changed from one partition table to the next, for people and for the event log.

A copy that is filled changes many tables a little; a person is told of promotions, moves, losses
and of the moment when everything has its backup again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from grid.partition.table import PartitionTable
from grid.types import (
    INFO,
    PARTITION_COUNT,
    WARNING,
    LogLine,
    NodeId,
    PartitionId,
    log_text,
    short,
)


@dataclass(frozen=True, slots=True)
class TableChange:
    """The step from one table to the next, counted in partitions.

    Attributes:
        promoted: backups that took the place of a primary that is gone, by that primary.
        moved: partitions that their living owner has handed over, or that are served again.
        lost: partitions without an owner that had one.
        accepted: partitions with an owner that had none.
        has_new_members: whether the nodes are others than before.
        is_protected_again: all have their backup and nothing moves, which was not so before.
        newly_unprotected: partitions without a complete backup, if all had theirs before.
    """

    promoted: dict[NodeId, int]
    moved: int
    lost: int
    accepted: int
    has_new_members: bool
    is_protected_again: bool
    newly_unprotected: int


def compare(old: PartitionTable, new: PartitionTable) -> TableChange:
    """Return what has changed."""
    promoted: Counter[NodeId] = Counter()
    moved = lost = accepted = 0
    for p in map(PartitionId, range(PARTITION_COUNT)):
        before, after = old.primary_of(p), new.primary_of(p)
        if before == after:
            continue
        if after is None:
            lost += 1
        elif before is None:
            accepted += 1
        elif before not in new.order:
            promoted[before] += 1
        else:
            moved += 1
    unprotected_before, unprotected = len(old.unprotected()), len(new.unprotected())
    is_calm = not unprotected and not new.moving()
    return TableChange(
        dict(promoted),
        moved,
        lost,
        accepted,
        set(old.order) != set(new.order),
        is_calm and bool(new.backup_count) and bool(unprotected_before or old.moving()),
        0 if unprotected_before or len(new.order) < 2 else unprotected,
    )


def describe_change(old: PartitionTable, new: PartitionTable) -> list[LogLine]:
    """Return what a log should have of the step from one table to the next."""
    change = compare(old, new)
    lines = []
    if change.has_new_members or change.moved or change.accepted:
        text = log_text(
            "partition table",
            version=f"{new.term}.{new.version}",
            nodes=len(new.order),
            changed_owner=change.moved + change.accepted,
        )
        lines.append((INFO, text))
    lines += [
        (WARNING, log_text("backups promoted", former=short(node_id), partitions=count))
        for node_id, count in sorted(change.promoted.items())
    ]
    if change.lost:
        text = log_text(
            "data lost",
            partitions=change.lost,
            hint="their keys raise PartitionLostError until 'grid accept-loss'",
        )
        lines.append((WARNING, text))
    if change.newly_unprotected:
        lines.append((INFO, log_text("without backup", partitions=change.newly_unprotected)))
    if change.is_protected_again:
        lines.append((INFO, "balanced, all partitions have a backup"))
    return [LogLine(level, text, has_event=True) for level, text in lines]
