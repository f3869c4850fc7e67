"""The coordinator: the oldest living member, sole writer of the partition table.

Responsible for: admitting newcomers, noticing the dead, giving every partition an owner, and
publishing the next table. Every node has one of these; it acts only while its node is the
first living one in the table's order.

Not responsible for: membership (it is told who lives), copying data between nodes.

Theory of operation. A round has two phases, each with a deadline. *Collect*: every living
member says what its storage really holds, and thereby follows this coordinator. *Release*:
holders of partitions that should move give them up, only where empty. Then the table is
published. Whoever does not answer is left as it was, and another round follows.

What it never does: take a partition with entries from its holder, or give a partition whose
holder died to somebody else as if it were empty. Such a partition is vacant, hence *lost*,
until a person accepts the loss.

Two coordinators (founders of the same moment, or a takeover that was not needed): the lower
one's `Collect` is refused, it stands down; the superior one meets its nodes as newcomers.
Where both sides hold entries of one partition the newcomer is not admitted, loudly.

Omissions, first stage: no backups, no migration of partitions with entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from grid.partition.assignment import assign
from grid.partition.effects import PartitionEffect, SendToNode
from grid.partition.follower import Follower
from grid.partition.messages import (
    AcceptLoss,
    Collect,
    CollectRefused,
    Holdings,
    Leaving,
    Publish,
    Release,
    Released,
)
from grid.partition.round import Round, describe_change
from grid.partition.table import PartitionTable, make_table
from grid.types import (
    INFO,
    PARTITION_COUNT,
    WARNING,
    LogLine,
    NodeId,
    PartitionId,
    SetTimer,
    TableStamp,
    short,
)

CHECK_TIMER = "coordinator-check"
PHASE_TIMER = "coordinator-phase"

DEBOUNCE_S = 0.1
"""Changes within this time are planned together: four starts make one round, not four."""

RETRY_S = 1.0
PHASE_DEADLINE_S = 2.0
STAND_DOWN_S = 5.0


class Coordinator:
    """The coordinator role of one node, dormant unless its node is the oldest."""

    def __init__(self, follower: Follower) -> None:
        """Share the node's own follower: its table is the one continued."""
        self._follower = follower
        self._own_id = follower.own_id
        self._alive: frozenset[NodeId] = frozenset((self._own_id,))
        self._left: dict[NodeId, set[int]] = {}
        self._round: Round | None = None
        self._round_number = 0
        self._is_dirty = False
        self._accept_loss = False
        self._term_floor = 0
        self._excluded_logged: set[NodeId] = set()

    @property
    def is_active(self) -> bool:
        """Whether this node is the coordinator now."""
        return coordinator_of(self._follower.table, self._alive) == self._own_id

    def found(self) -> list[PartitionEffect]:
        """Write the first table: this node holds everything, until others are admitted."""
        stamp = TableStamp(1, self._own_id, 1)
        owners: list[NodeId | None] = [self._own_id] * PARTITION_COUNT
        table = make_table(stamp, [self._own_id], owners, [1] * PARTITION_COUNT)
        return [
            LogLine(INFO, f"founding a cluster ({short(self._own_id)})"),
            *self._follower.adopt(table),
            *self.alive_changed(self._alive),
        ]

    def alive_changed(self, alive: frozenset[NodeId]) -> list[PartitionEffect]:
        """Take note of the living members (suspects included)."""
        self._alive = alive
        self._is_dirty = True
        return self._check_in(DEBOUNCE_S)

    def handle_message(
        self,
        sender: NodeId,
        message: Holdings | CollectRefused | Released | Leaving | AcceptLoss,
    ) -> list[PartitionEffect]:
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
            case Holdings(round=number, held=held):
                current = self._current(number, sender, "collect")
                if current is None:
                    return []
                current.held[sender] = {holding.partition_id: holding for holding in held}
                return [] if current.waiting else self._plan(current)
            case Released(round=number, partition_ids=partition_ids):
                current = self._current(number, sender, "release")
                if current is None:
                    return []
                current.released[sender] = set(partition_ids)
                return [] if current.waiting else self._publish(current)
            case CollectRefused(round=number, stamp=stamp):
                if self._current(number, sender, "collect") is None:
                    return []
                self._abandon()
                if stamp.coordinator not in self._alive:
                    # A promise to a coordinator that died: only a higher term ends it.
                    self._term_floor = max(self._term_floor, stamp.term)
                    return self._check_in(DEBOUNCE_S)
                return [
                    LogLine(INFO, f"giving way to the coordinator {short(stamp.coordinator)}"),
                    *self._check_in(STAND_DOWN_S),
                ]

    def handle_timer(self, timer: str) -> list[PartitionEffect]:
        """Handle a timer set here."""
        if timer == CHECK_TIMER:
            if self._round is None and self._is_dirty and self.is_active:
                return self._collect()
            return []
        current = self._round
        if current is None:
            return []
        # Whoever is silent is left as it was; the check after the round asks again.
        current.waiting.clear()
        return self._plan(current) if current.phase == "collect" else self._publish(current)

    # -- a round --------------------------------------------------------------------------

    def _collect(self) -> list[PartitionEffect]:
        table = self._table
        is_own_lineage = table.coordinator == self._own_id
        if is_own_lineage and self._term_floor < table.term:
            stamp = TableStamp(table.term, self._own_id, table.version + 1)
        else:
            stamp = TableStamp(max(table.term, self._term_floor) + 1, self._own_id, 1)
        self._round_number += 1
        self._is_dirty = False
        self._round = Round(
            self._round_number, "collect", stamp, set(self._alive), self._accept_loss
        )
        self._accept_loss = False
        question = Collect(self._round_number, stamp)
        return [
            *(SendToNode(node_id, question) for node_id in sorted(self._alive)),
            SetTimer(PHASE_TIMER, PHASE_DEADLINE_S),
        ]

    def _plan(self, current: Round) -> list[PartitionEffect]:
        """Choose owners from what is really held, and ask for the releases that needs."""
        effects = self._exclude_conflicts(current)
        table = self._table
        owners = current.holders(table, self._alive)
        current.phase = "release"
        current.planned_from = table.stamp
        if self._own_id not in current.held:
            self._abandon()
            return [*effects, *self._finish()]
        lost = self._lost(current, owners)
        # Silent owners keep their share of the plan, but nothing is given to them now.
        nodes = set(current.held) | {owner for owner in owners if owner is not None}
        targets: list[NodeId | None] = []
        for partition_id, best in enumerate(assign(sorted(nodes), owners, lost)):
            owner = owners[partition_id]
            if owner is not None and not current.is_movable(owner, partition_id):
                targets.append(owner)
            elif best is not None and best not in current.held:
                targets.append(owner or self._own_id)
            else:
                targets.append(best)
        current.targets = targets
        for node_id, held in current.held.items():
            leaving = {p for p in held if targets[p] != node_id}
            if leaving:
                current.asked[node_id] = leaving
        for partition_id, target in enumerate(targets):
            # The table's owner may serve what it did not list: it must let go as well.
            last_owner = table.primary_of(PartitionId(partition_id))
            if last_owner in current.held and target is not None and last_owner != target:
                current.asked.setdefault(last_owner, set()).add(partition_id)
        current.waiting = set(current.asked)
        if not current.waiting:
            return [*effects, *self._publish(current)]
        effects += [
            SendToNode(node_id, Release(current.number, sorted(partition_ids)))
            for node_id, partition_ids in sorted(current.asked.items())
        ]
        return [*effects, SetTimer(PHASE_TIMER, PHASE_DEADLINE_S)]

    def _publish(self, current: Round) -> list[PartitionEffect]:
        """Write the next table from the releases that succeeded and send it to its members."""
        table = self._table
        if table.stamp != current.planned_from:
            # Another coordinator's table was adopted meanwhile.
            self._abandon()
            return self._finish()
        targets = current.targets
        kept_back: set[NodeId] = set()
        for node_id, asked in current.asked.items():
            for partition_id in asked - current.released.get(node_id, set()):
                # It has got an entry meanwhile, or did not answer: it keeps the partition if
                # it owned it; a newcomer that will not let go is admitted another time.
                self._is_dirty = True
                if table.primary_of(PartitionId(partition_id)) == node_id:
                    targets[partition_id] = node_id
                elif node_id not in table.order:
                    kept_back.add(node_id)
        for partition_id, target in enumerate(targets):
            if target in kept_back:
                targets[partition_id] = table.primary_of(PartitionId(partition_id))
        order = [
            NodeId(node_id)
            for node_id in table.order
            if node_id in self._alive or node_id in targets
        ]
        newcomers = [n for n in current.held if n not in table.order and n not in kept_back]
        order += sorted(newcomers)
        epochs = current.epochs(table, targets)
        if set(current.held) != set(self._alive):
            self._is_dirty = True
        next_table = make_table(current.stamp, order, targets, epochs)
        is_same = (next_table.order, next_table.primaries) == (table.order, table.primaries)
        if is_same and table.coordinator == self._own_id and current.is_served(table):
            return self._finish()
        # Adopted here at once: the next round must build on it, or two different tables
        # would carry one stamp.
        adopted = self._follower.adopt(next_table)
        if not adopted:
            # This node has promised itself to a superior coordinator meanwhile.
            self._abandon()
            return self._finish()
        effects = [*describe_change(table, next_table), *adopted]
        effects += [
            SendToNode(NodeId(node_id), Publish(next_table))
            for node_id in order
            if node_id != self._own_id
        ]
        return [*effects, *self._finish()]

    def _abandon(self) -> None:
        """End the round without a table; what it was to do is left to the next one."""
        assert self._round is not None, "only a round under way is abandoned"
        self._accept_loss = self._accept_loss or self._round.accepts_loss
        self._is_dirty = True
        self._round = None

    def _finish(self) -> list[PartitionEffect]:
        self._round = None
        self._left = {n: held for n, held in self._left.items() if n in self._table.order}
        return self._check_in(RETRY_S) if self._is_dirty else []

    # -- judgements -----------------------------------------------------------------------

    def _lost(self, current: Round, owners: list[NodeId | None]) -> set[int]:
        """Partitions that nobody holds and whose last owner did not release them empty."""
        lost = set()
        for partition_id, owner in enumerate(owners):
            if owner is not None or current.accepts_loss:
                continue
            last_owner = self._table.primary_of(PartitionId(partition_id))
            if last_owner in self._left and partition_id not in self._left[last_owner]:
                continue
            lost.add(partition_id)
        return lost

    def _exclude_conflicts(self, current: Round) -> list[PartitionEffect]:
        """Do not admit a newcomer that holds entries of a partition which has entries here."""
        effects: list[PartitionEffect] = []
        filled_here = {
            p
            for node_id, holdings in current.held.items()
            if node_id in self._table.order
            for p, holding in holdings.items()
            if holding.entries
        }
        for node_id in sorted(set(current.held) - set(self._table.order)):
            conflicting = [
                p
                for p, holding in current.held[node_id].items()
                if holding.entries and p in filled_here
            ]
            if not conflicting:
                filled_here |= {p for p, held in current.held[node_id].items() if held.entries}
                continue
            del current.held[node_id]
            if node_id not in self._excluded_logged:
                self._excluded_logged.add(node_id)
                effects.append(
                    LogLine(
                        WARNING,
                        f"{short(node_id)} is not admitted: it and this cluster both hold entries "
                        f"of {len(conflicting)} partitions; empty one side (restart it) to merge",
                    )
                )
        return effects

    # -- small helpers --------------------------------------------------------------------

    @property
    def _table(self) -> PartitionTable:
        assert self._follower.table is not None, "only a node with a table coordinates"
        return self._follower.table

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

    def _check_in(self, delay_s: float) -> list[PartitionEffect]:
        return [SetTimer(CHECK_TIMER, delay_s)]


def coordinator_of(
    table: PartitionTable | None, alive: Mapping[NodeId, object] | frozenset[NodeId]
) -> NodeId | None:
    """Return the oldest living member of the table's order."""
    if table is None:
        return None
    return next((NodeId(n) for n in table.order if NodeId(n) in alive), None)
