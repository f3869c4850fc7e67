"""What has happened to the cluster, as this node saw it: a bounded log for ``g.events()``.

Responsible for: numbering and keeping events; deriving them from changed members, changed tables
and promotions, with a log line for these.

Not responsible for: who asks (``sessions.py``), merging what several nodes saw (``client/``,
``console/``), log lines on members and tables (their cores write them).

| kind | from | fields |
|---|---|---|
| joined, suspect, alive, dead, left | a member's record, on every node | member (its name), id |
| retried | the task queue here, at most once a second | tasks |
| promoted | a storage process here that took over | source (a name), partitions, lost_at_most |
| lost, accepted, protected | the step from one table to the next, on the coordinator | partitions |
| balanced | the same | nodes |

Theory of operation. Members are known to each node by itself, so each notes them: who noticed a
death, and when, is worth knowing. *Alive* is a suspicion refuted. Of a table everybody knows the
same, so only its author notes; at its own console every node tells it. What a promotion may have
cost is known only where it happened.

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
from grid.process.child import EVENTS_LOGGER
from grid.types import PARTITION_COUNT, counted, log_text, short
from grid.wire.control import Event

logger = logging.getLogger(EVENTS_LOGGER)

EVENTS_MAX = 1000
"""Events that a node keeps: some hundred deaths with all that follows, in half a megabyte."""

KINDS = (
    "joined",
    "suspect",
    "alive",
    "left",
    "dead",
    "promoted",
    "retried",
    "lost",
    "accepted",
    "protected",
    "balanced",
)

TIMES_MAX = 1000
"""Members of whom it is known when they changed last."""

_NEWS = {
    MemberState.ALIVE: ("alive", "is alive again"),
    MemberState.SUSPECT: ("suspect", "is suspected"),
    MemberState.DEAD: ("dead", "is dead"),
    MemberState.LEFT: ("left", "has left"),
}


class Change(NamedTuple):
    """What happened between two tables; see `Event`."""

    kind: str
    text: str
    fields: dict[str, int | str]


class EventLog:
    """The latest events of one node."""

    def __init__(
        self,
        clock: Callable[[], float],
        node: str,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        """Start empty.

        Args:
            clock: gives Unix seconds.
            node: is this node's name.
            on_event: is told each event, and what only another node notes (as number 0).
        """
        self._clock = clock
        self._node = node
        self._on_event = on_event
        self._events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self._number = 0
        self.counts = Counter(dict.fromkeys(KINDS, 0))
        """Events since the start by kind, also those forgotten."""
        self._present: dict[bytes, MemberState] = {}
        self._changed_s: dict[bytes, float] = {}

    def add(self, kind: str, text: str, **fields: int | str) -> None:
        """Note an event."""
        self._number += 1
        event = Event(self._number, self._clock(), self._node, kind, text, fields)
        self._events.append(event)
        self.counts[kind] += 1
        self._on_event(event)

    def since(self, number: int) -> list[Event]:
        """Return the events after event `number` that are still known, oldest first."""
        return [event for event in self._events if event.number > number]

    def member_changed(self, record: MemberRecord) -> None:
        """Note that a member has come or gone, is suspected, or is not any more."""
        before = self._present.pop(record.id, None)
        if not record.state.is_gone:
            self._present[record.id] = record.state
            if before is None:
                self._add_member("joined", "joined", record)
                before = MemberState.ALIVE
        if before is not record.state:
            kind, text = _NEWS[record.state]
            self._add_member(kind, text, record)

    def state_age_s(self, node_id: bytes) -> float | None:
        """Return how long ago this node noticed the member's present state; None if it did not."""
        changed_s = self._changed_s.get(node_id)
        return None if changed_s is None else max(0.0, self._clock() - changed_s)

    def retried(self, tasks: int) -> None:
        """Note that tasks which a worker or a node has died under run again, here."""
        verb, whom = ("runs", "it") if tasks == 1 else ("run", "them")
        text = f"{counted(tasks, 'task')} {verb} again here: a worker or node died under {whom}"
        self.add("retried", text, tasks=tasks)
        logger.info(log_text("tasks run again", tasks=tasks))

    def table_changed(
        self, old: PartitionTable | None, new: PartitionTable, is_coordinator: bool
    ) -> None:
        """Note what the step from `old` to `new` means, if this node has written `new`."""
        for kind, text, fields in changes_between(old, new):
            if is_coordinator:
                self.add(kind, text, **fields)
            else:
                self._on_event(Event(0, self._clock(), self._node, kind, text, fields))

    def promotion(self, source_name: str, partitions: int, lost_at_most: int) -> None:
        """Note that backups on this node have taken over from a node that died."""
        cost = f"at most {counted(lost_at_most, 'write')}" if lost_at_most else "no write"
        text = f"took over {counted(partitions, 'partition')} of {source_name}; {cost} lost"
        self.add(
            "promoted", text, source=source_name, partitions=partitions, lost_at_most=lost_at_most
        )
        line = log_text(
            "took over", source=source_name, partitions=partitions, lost_at_most=lost_at_most
        )
        logger.log(logging.WARNING if lost_at_most else logging.INFO, line)

    def _add_member(self, kind: str, text: str, record: MemberRecord) -> None:
        who = f"{record.name} ({short(record.id)}, {record.address})"
        self.add(kind, f"{who} {text}", member=record.name, id=record.id.hex())
        self._changed_s.pop(record.id, None)
        self._changed_s[record.id] = self._events[-1].time_s
        if len(self._changed_s) > TIMES_MAX:
            del self._changed_s[next(iter(self._changed_s))]


def changes_between(old: PartitionTable | None, new: PartitionTable) -> list[Change]:
    """Return what a person should know of the step from `old` to `new`.

    Promotions are not among them: see the module's text.
    """
    changes: list[Change] = []
    step = None if old is None else compare(old, new)
    lost = len(new.lost())
    newly_lost = lost if step is None else step.lost
    if newly_lost:
        text = f"{counted(newly_lost, 'partition')} lost: no living node has a copy"
        changes.append(Change("lost", text, {"partitions": newly_lost}))
    if old is None or step is None:
        return changes
    if step.accepted:
        text = f"{counted(step.accepted, 'lost partition')} served again"
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
