"""What has happened to the cluster, as this node saw it: a bounded log for ``g.events()``.

Responsible for: numbering and keeping events; deriving them from changed members, changed tables
and promotions, with a log line for these.

Not responsible for: who asks (``sessions.py``), merging what several nodes saw (``client/``), log
lines on members and tables (their cores write them).

| kind | from | fields |
|---|---|---|
| joined, left, dead | a member's record, on every node | member (its name), id (hex) |
| promoted | a storage process here that took over | source (a name), partitions, lost_at_most |
| lost, accepted, protected | the step from one table to the next, on the coordinator | partitions |
| balanced | the same | nodes |

Theory of operation. Members are known to each node by itself, so each notes them: who noticed a
death, and when, is worth knowing. Of a table everybody knows the same, so only its author notes.
What a promotion may have cost is known only where it happened.

Departures and omissions. A coordinator that dies takes its notes along. A lost partition that
finds an owner counts as accepted, although its entries may have come back with a node that was
silent at first. A handover that has not been made yet is not visible in a table, therefore
*balanced* means that primaries are spread evenly and no partition is being filled.

Runs in: network process.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

from grid.membership.messages import MemberRecord, MemberState
from grid.partition.changes import compare
from grid.partition.table import PartitionTable
from grid.types import PARTITION_COUNT, log_text, short
from grid.wire.control import Event

logger = logging.getLogger("grid.events")

EVENTS_MAX = 1000
"""Events that a node keeps: some hundred deaths with all that follows, in half a megabyte."""

KINDS = ("joined", "left", "dead", "promoted", "lost", "accepted", "protected", "balanced")


class Change(NamedTuple):
    """What happened between two tables; see `Event`."""

    kind: str
    text: str
    fields: dict[str, int | str]


class EventLog:
    """The latest events of one node."""

    def __init__(self, clock: Callable[[], float], node: str) -> None:
        """Start empty; `clock` gives Unix seconds, `node` is this node's name."""
        self._clock = clock
        self._node = node
        self._events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self._number = 0
        self.counts = Counter(dict.fromkeys(KINDS, 0))
        """Events since the start by kind, also those forgotten."""
        self._present: set[bytes] = set()

    def add(self, kind: str, text: str, **fields: int | str) -> None:
        """Note an event."""
        self._number += 1
        event = Event(self._number, self._clock(), self._node, kind, text, fields)
        self._events.append(event)
        self.counts[kind] += 1

    def since(self, number: int) -> list[Event]:
        """Return the events after event `number` that are still known, oldest first."""
        return [event for event in self._events if event.number > number]

    def member_changed(self, record: MemberRecord) -> None:
        """Note that a member has come or gone; suspicions and their refutation are no events."""
        if record.state.is_gone:
            self._present.discard(record.id)
            is_dead = record.state is MemberState.DEAD
            kind, text = ("dead", "is dead") if is_dead else ("left", "has left")
        elif record.id in self._present:
            return
        else:
            self._present.add(record.id)
            kind, text = "joined", "joined"
        who = f"{record.name} ({short(record.id)}, {record.address})"
        self.add(kind, f"{who} {text}", member=record.name, id=record.id.hex())

    def table_changed(
        self, old: PartitionTable | None, new: PartitionTable, is_coordinator: bool
    ) -> None:
        """Note what the step from `old` to `new` means, if this node has written `new`."""
        if not is_coordinator:
            return
        for kind, text, fields in changes_between(old, new):
            self.add(kind, text, **fields)

    def promotion(self, source_name: str, partitions: int, lost_at_most: int) -> None:
        """Note that backups on this node have taken over from a node that died."""
        cost = f"at most {_counted(lost_at_most, 'write')}" if lost_at_most else "no write"
        text = f"took over {_counted(partitions, 'partition')} of {source_name}; {cost} lost"
        self.add(
            "promoted", text, source=source_name, partitions=partitions, lost_at_most=lost_at_most
        )
        line = log_text(
            "took over", source=source_name, partitions=partitions, lost_at_most=lost_at_most
        )
        logger.log(logging.WARNING if lost_at_most else logging.INFO, line)


def changes_between(old: PartitionTable | None, new: PartitionTable) -> list[Change]:
    """Return what a person should know of the step from `old` to `new`.

    Promotions are not among them: see the module's text.
    """
    changes: list[Change] = []
    step = None if old is None else compare(old, new)
    lost = len(new.lost())
    newly_lost = lost if step is None else step.lost
    if newly_lost:
        text = f"{_counted(newly_lost, 'partition')} lost: no living node has a copy"
        changes.append(Change("lost", text, {"partitions": newly_lost}))
    if old is None or step is None:
        return changes
    if step.accepted:
        text = f"{_counted(step.accepted, 'lost partition')} served again"
        changes.append(Change("accepted", text, {"partitions": step.accepted}))
    count = PARTITION_COUNT - lost
    if old.unprotected() and not new.unprotected() and new.backup_count and count:
        owned = "what is not lost has" if lost else f"all {count} partitions have"
        changes.append(Change("protected", f"{owned} a backup", {"partitions": count}))
    if _is_balanced(new) and not (_is_balanced(old) and set(old.order) == set(new.order)):
        count = len(new.order)
        text = f"{count} nodes share the partitions evenly"
        changes.append(Change("balanced", text, {"nodes": count}))
    return changes


def _is_balanced(table: PartitionTable) -> bool:
    """Whether several nodes hold what they should, as far as a table shows it."""
    if len(table.order) < 2 or table.lost() or table.unprotected() or table.moving():
        return False
    counts = Counter(table.primaries)
    shares = [counts[index] for index in range(len(table.order))]
    return max(shares) - min(shares) <= 1


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
