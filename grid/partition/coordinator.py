"""The coordinator: the oldest living member, sole writer of the partition table.

Responsible for: admitting newcomers, noticing the dead, giving every partition a primary and a
backup, letting nodes leave, and publishing the next table. Every node has one of these; it acts
only while its node is the first living one in the table's order.

Not responsible for: membership (it is told who lives), copying data between nodes.

Theory of operation. A round has two phases, each with a deadline. *Collect*: every living
member says what its storage really holds, and thereby follows this coordinator. *Release*:
primaries that another node shall succeed let go, of what was never written, or after their copies
have everything. Then the table is published. Whoever does not answer is left as it was, and
another round follows. Fills need no waiting: nodes say when a copy is complete (`RoundWanted`), and
rounds for such words come ever more rarely, but for the last. One that changes nothing is silent.

What it never does: take a partition from its holder without its word, or give a partition whose
holders died to somebody else as if it were empty. Such a partition is vacant, hence *lost*,
until a person accepts the loss.

A takeover. Who has frozen a partition for the predecessor serves it again by the next table. If a
member serves a newer table than ours (the predecessor's last), that is fetched first. All members
must answer, or die, before the first table of a new term; only the long silent are gone without.

Two coordinators (founders of the same moment, or a takeover that was not needed): the lower
one's `Collect` is refused, it stands down; the superior one meets its nodes as newcomers. Where
both sides hold entries of one partition the newcomer is not admitted, loudly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from typing import Literal

from msgspec.structs import replace

from grid.partition.changes import describe_change
from grid.partition.effects import PartitionEffect, SendToNode
from grid.partition.follower import Follower
from grid.partition.messages import (
    AcceptLoss,
    Collect,
    CollectRefused,
    CoordinatorMessage,
    Holdings,
    LeaveAllowed,
    LeaveWanted,
    Leaving,
    Publish,
    Release,
    Released,
    RoundWanted,
    TableWanted,
)
from grid.partition.planning import Plan, Planner, Surroundings, next_table, outcome
from grid.partition.round import Round
from grid.partition.table import PartitionTable, make_table
from grid.types import INFO, NO_TABLE, PARTITION_COUNT, LogLine, NodeId, SetTimer, TableStamp, short

CHECK_TIMER = "coordinator-check"
PHASE_TIMER = "coordinator-phase"

DEBOUNCE_S = 0.1
"""Changes within this time are planned together: four starts make one round, not four."""

PACE_MAX_S = 2.0
"""Rounds for the sake of completed copies: each waits twice as long as the last, up to this."""

RETRY_S = 1.0
NET_S = 5.0
"""While copies are being filled, a round so often even if nobody asks for one."""

PHASE_DEADLINE_S = 2.0
STAND_DOWN_S = 5.0

HUNG_ROUNDS = 3
"""Who was silent so often, though it lives, is given nothing and holds up no takeover."""


class Coordinator:
    """The coordinator role of one node, dormant unless its node is the oldest."""

    def __init__(self, follower: Follower, *, backup_count: int = 1) -> None:
        """Share the node's own follower: its table is the one continued."""
        self._follower = follower
        self._own_id = follower.own_id
        self._backup_count = backup_count
        self._alive: dict[NodeId, str] = {self._own_id: ""}
        self._left: dict[NodeId, set[int]] = {}
        self._leaving: set[NodeId] = set()
        self._silent_rounds: dict[NodeId, int] = {}
        self._planner = Planner()
        self._round: Round | None = None
        self._plan: Plan | None = None
        self._round_number = 0
        self._is_dirty = True
        self._must_publish = False
        self._accept_loss = False
        self._term_floor = 0
        self._refused_with = NO_TABLE
        self._pace_s = DEBOUNCE_S
        self._check_within_s: float | None = None
        self._excluded_logged: set[NodeId] = set()
        self._fetches: Counter[TableStamp] = Counter()
        self._heard: set[NodeId] = set()

    @property
    def is_active(self) -> bool:
        """Whether this node is the coordinator now."""
        return coordinator_of(self._follower.table, self._alive) == self._own_id

    def found(self) -> list[PartitionEffect]:
        """Write the first table: this node holds everything, until others are admitted."""
        stamp = TableStamp(1, self._own_id, 1)
        owners = [self._own_id] * PARTITION_COUNT
        epochs = [1] * PARTITION_COUNT
        table = make_table(stamp, [self._own_id], owners, epochs, backup_count=self._backup_count)
        return [
            LogLine(INFO, f"founding a cluster id={short(self._own_id)}"),
            *self._follower.adopt(table),
            *self._check_in(DEBOUNCE_S),
        ]

    def alive_changed(self, alive: Mapping[NodeId, str]) -> list[PartitionEffect]:
        """Take note of the living members (suspects included) and the machine of each."""
        if alive == self._alive and not self._is_dirty:
            return []
        gone = self._alive.keys() - alive.keys()
        self._alive = dict(alive)
        self._leaving &= self._alive.keys()
        self._silent_rounds = {n: c for n, c in self._silent_rounds.items() if n in self._alive}
        self._is_dirty = True
        self._pace_s = DEBOUNCE_S
        if self._round is not None and gone:
            # What was said before a death may be out of date: its last words complete a copy.
            self._abandon()
        return self._check_in(DEBOUNCE_S, again=True)

    def handle_message(self, sender: NodeId, message: CoordinatorMessage) -> list[PartitionEffect]:
        """Handle an answer to this coordinator, or a request to it."""
        match message:
            case Leaving(held=held):
                self._left[sender] = {holding.partition_id for holding in held}
                return []
            case AcceptLoss():
                if not self.is_active:
                    return []  # A later loss must not be accepted by an old word.
                self._accept_loss = self._is_dirty = True
                return self._check_in(0.0)
            case RoundWanted(is_last=is_last):
                if not self.is_active:
                    return []
                self._is_dirty = True
                self._pace_s = DEBOUNCE_S if is_last else self._pace_s
                return self._check_in(self._pace_s)
            case LeaveWanted():
                return self._leave_wanted(sender)
            case Holdings(round=number, stamp=stamp, held=held):
                current = self._current(number, sender, "collect")
                if current is None:
                    return []
                current.held[sender] = {holding.partition_id: holding for holding in held}
                current.stamps[sender] = stamp
                return self._answered(current)
            case Released(round=number, partition_ids=partition_ids):
                current = self._current(number, sender, "release")
                if current is None:
                    return []
                current.released[sender] = set(partition_ids) & current.asked[sender]
                return self._answered(current)
            case CollectRefused(round=number, stamp=stamp):
                if self._current(number, sender, "collect") is None:
                    return []
                return self._refused(stamp)

    def handle_timer(self, timer: str) -> list[PartitionEffect]:
        """Handle a timer set here."""
        if timer == CHECK_TIMER:
            self._check_within_s = None
            if self._round is None and self._is_dirty and self.is_active:
                return self._collect()
            return []
        if self._round is None:
            return []
        # Whoever is silent is left as it was; the check after the round asks again.
        self._round.waiting.clear()
        return self._answered(self._round)

    # -- a round --------------------------------------------------------------------------

    def _collect(self) -> list[PartitionEffect]:
        table = self._table
        if self._is_own_lineage and self._term_floor < table.term:
            stamp = TableStamp(table.term, self._own_id, table.version + 1)
        else:
            stamp = TableStamp(max(table.term, self._term_floor) + 1, self._own_id, 1)
            self._planner.forget()
        self._round_number += 1
        self._is_dirty = False
        self._pace_s = min(2 * self._pace_s, PACE_MAX_S)
        self._round = Round(
            self._round_number, "collect", stamp, table, set(self._alive), self._accept_loss
        )
        self._accept_loss = False
        question = Collect(self._round_number, stamp)
        return [
            *(SendToNode(node_id, question) for node_id in sorted(self._alive)),
            SetTimer(PHASE_TIMER, PHASE_DEADLINE_S),
        ]

    def _answered(self, current: Round) -> list[PartitionEffect]:
        """Go on to the next phase if nobody is waited for any more."""
        if current.waiting:
            return []
        if self._table is not current.table:
            # Another coordinator's table was adopted meanwhile.
            return self._begin_again(DEBOUNCE_S)
        return self._choose(current) if current.phase == "collect" else self._publish(current)

    def _choose(self, current: Round) -> list[PartitionEffect]:
        """Choose the next roles from what is really held, and ask for the releases they need."""
        silent = self._alive.keys() - current.held.keys()
        for node_id in silent:
            self._silent_rounds[node_id] = self._silent_rounds.get(node_id, 0) + 1
        for node_id in current.held:
            self._silent_rounds.pop(node_id, None)
        hung = {n for n, rounds in self._silent_rounds.items() if rounds >= HUNG_ROUNDS}
        if self._own_id not in current.held:
            return self._begin_again(RETRY_S)
        for stamp, node_id in current.newer:
            if self._fetches[stamp] < HUNG_ROUNDS:
                # Not for ever: a newcomer's table may be newer and not for us.
                self._fetches[stamp] += 1
                wanted = SendToNode(node_id, TableWanted(current.table.stamp))
                return [wanted, *self._begin_again(DEBOUNCE_S)]
        # Whom this table does not name, the predecessor's last may. Who has answered once has
        # promised to adopt nothing older than what comes now.
        self._heard |= current.held.keys()
        if not self._is_own_lineage and silent - hung - self._heard:
            return self._begin_again(RETRY_S)
        for node_id in self._leaving.intersection(current.newcomers):
            del current.held[node_id]
        effects: list[PartitionEffect] = []
        for node_id, line in current.exclude_conflicts():
            if node_id not in self._excluded_logged:
                self._excluded_logged.add(node_id)
                effects.append(line)
        around = Surroundings(
            self._own_id, self._alive, self._leaving, hung, self._left, bool(self._backup_count)
        )
        plan = self._plan = self._planner.plan(current, around)
        current.phase = "release"
        current.asked = plan.asked
        current.waiting = set(current.asked)
        if not current.waiting:
            return [*effects, *self._publish(current)]
        for node_id in sorted(current.asked):
            given, handed = plan.gives_up.get(node_id, ()), plan.hands_over.get(node_id, ())
            release = Release(current.number, sorted(given), sorted(handed))
            effects.append(SendToNode(node_id, release))
        return [*effects, SetTimer(PHASE_TIMER, PHASE_DEADLINE_S)]

    def _publish(self, current: Round) -> list[PartitionEffect]:
        """Write the next table from the releases that succeeded and send it to its members."""
        table, plan = current.table, self._plan
        assert plan is not None, "a round that releases has a plan"
        roles, kept_back = outcome(plan, current.released, current.newcomers)
        has_backups = bool(self._backup_count)
        admitted = [n for n in current.newcomers if n not in kept_back]
        following = next_table(
            current, roles, self._alive.keys(), admitted, has_backups=has_backups
        )
        is_refused = any(a - current.released.get(n, set()) for n, a in current.asked.items())
        is_silent = current.held.keys() != self._alive.keys()
        is_retry_due = is_silent or is_refused or plan.is_held_up or bool(kept_back)
        is_done = all(t.roles == r for t, r in zip(plan.targets, roles, strict=True))
        is_same = self._is_own_lineage and following == replace(table, version=following.version)
        if is_same and current.is_served() and not self._must_publish:
            return self._finish(is_retry_due=is_retry_due, is_done=is_done)
        # Adopted here at once: the next round must build on it, or two different tables
        # would carry one stamp.
        adopted = self._follower.adopt(following)
        if not adopted:
            # This node has promised itself to a superior coordinator meanwhile.
            return self._begin_again(RETRY_S)
        self._must_publish = False
        self._heard.clear()
        effects = [*describe_change(table, following), *adopted]
        effects += [
            SendToNode(NodeId(node_id), Publish(following))
            for node_id in following.order
            if node_id != self._own_id
        ]
        return [*effects, *self._finish(is_retry_due=is_retry_due, is_done=is_done)]

    def _abandon(self) -> None:
        """End the round without a table; what it was to do is left to the next one."""
        current = self._round
        assert current is not None, "only a round under way is abandoned"
        self._accept_loss = self._accept_loss or current.accepts_loss
        # What was let go of must be given back, or on.
        self._must_publish = self._must_publish or bool(current.asked)
        self._is_dirty = True
        self._round = self._plan = None

    def _begin_again(self, delay_s: float) -> list[PartitionEffect]:
        self._abandon()
        return self._check_in(delay_s)

    def _finish(self, *, is_retry_due: bool, is_done: bool) -> list[PartitionEffect]:
        self._round = self._plan = None
        self._left = {n: held for n, held in self._left.items() if n in self._table.order}
        effects: list[PartitionEffect] = [
            SendToNode(node_id, LeaveAllowed())
            for node_id in sorted(self._leaving)
            if self._may_leave(node_id)
        ]
        if self._is_dirty:
            effects += self._check_in(self._pace_s)
        elif is_retry_due:
            effects += self._check_in(RETRY_S)
        elif not is_done:
            effects += self._check_in(NET_S)
        else:
            self._pace_s = DEBOUNCE_S
        self._is_dirty = self._is_dirty or is_retry_due or not is_done
        return effects

    def _refused(self, stamp: TableStamp) -> list[PartitionEffect]:
        """A member follows somebody else, who has asked with this stamp."""
        self._abandon()
        is_repeated, self._refused_with = self._refused_with == stamp, stamp
        if stamp.coordinator not in self._alive or (
            is_repeated and stamp.coordinator in self._table.order
        ):
            # A promise to a coordinator that died, or to a younger member that took this node for
            # dead and then thought better of it: only a higher term ends it.
            self._term_floor = max(self._term_floor, stamp.term)
            return self._check_in(DEBOUNCE_S)
        return [
            LogLine(INFO, f"giving way to a coordinator id={short(stamp.coordinator)}"),
            *self._check_in(STAND_DOWN_S),
        ]

    # -- leaving --------------------------------------------------------------------------

    def _leave_wanted(self, sender: NodeId) -> list[PartitionEffect]:
        if not self.is_active or sender not in self._alive:
            return []  # It asks again.
        is_news = sender not in self._leaving
        self._leaving.add(sender)
        if self._round is None and self._may_leave(sender):
            return [SendToNode(sender, LeaveAllowed())]
        if not is_news:
            return []
        self._is_dirty = True
        return self._check_in(DEBOUNCE_S)

    def _may_leave(self, node_id: NodeId) -> bool:
        """Whether it has no role any more, or nobody stays to take it."""
        staying = self._alive.keys() - self._leaving - self._excluded_logged
        return not staying or not self._table.roles_of(node_id)

    # -- small helpers --------------------------------------------------------------------

    @property
    def _table(self) -> PartitionTable:
        assert self._follower.table is not None, "only a node with a table coordinates"
        return self._follower.table

    @property
    def _is_own_lineage(self) -> bool:
        return self._table.coordinator == self._own_id

    def _current(
        self, number: int, sender: NodeId, phase: Literal["collect", "release"]
    ) -> Round | None:
        """Return the round an answer belongs to, with the sender no longer waited for."""
        current = self._round
        if current is None or current.number != number or current.phase != phase:
            return None
        if sender not in current.waiting:
            return None
        current.waiting.discard(sender)
        return current

    def _check_in(self, delay_s: float, *, again: bool = False) -> list[PartitionEffect]:
        """Begin a round within the delay; `again`: not sooner than that, either."""
        pending_s = self._check_within_s
        if pending_s is not None and pending_s <= delay_s and not again:
            return []
        self._check_within_s = delay_s
        return [SetTimer(CHECK_TIMER, delay_s)]


def coordinator_of(table: PartitionTable | None, alive: Container[NodeId]) -> NodeId | None:
    """Return the oldest living member of the table's order."""
    if table is None:
        return None
    return next((NodeId(n) for n in table.order if NodeId(n) in alive), None)
