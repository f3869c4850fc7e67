"""From the answers of a round to the next table: targets, steps, and what must be asked first.

The targets are chosen once for a set of nodes and kept until that set changes, so that what is
being filled today is not somewhere else tomorrow; the steps of each partition lead there.

Not here: one partition's step (``steps.py``), the choice of targets (``assignment.py``), the
messages (``coordinator.py``).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from grid.partition.assignment import assign, assign_backups
from grid.partition.messages import HoldingRole
from grid.partition.round import Round, roles_in
from grid.partition.steps import (
    Facts,
    Roles,
    Step,
    Targets,
    Wish,
    advance,
    fresh,
    loses_role,
    settle,
)
from grid.partition.table import PartitionTable, make_table
from grid.types import PARTITION_COUNT, NodeId


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the coordinator knows besides the answers of a round.

    Attributes:
        own_id: the coordinator's node.
        hosts: those that live, and the machine of each.
        leaving: those that want to leave: they are given nothing.
        hung: those that live and have not answered for long: they are given nothing either.
        left: what nodes that have left held with entries, by node.
        has_backups: whether partitions shall have backups.
    """

    own_id: NodeId
    hosts: Mapping[NodeId, str]
    leaving: Set[NodeId]
    hung: Set[NodeId]
    left: Mapping[NodeId, Set[int]]
    has_backups: bool


@dataclass(slots=True)
class Plan:
    """What a round will do.

    Attributes:
        steps: of each partition.
        targets: of each partition.
        claims: partitions with entries that newcomers bring.
        gives_up, hands_over: what each node is asked for.
        is_held_up: somebody was silent, so that not everything could be planned.
    """

    steps: list[Step]
    targets: list[Targets]
    claims: dict[int, NodeId]
    is_held_up: bool
    gives_up: dict[NodeId, set[int]] = field(default_factory=dict)
    hands_over: dict[NodeId, set[int]] = field(default_factory=dict)

    @property
    def asked(self) -> dict[NodeId, set[int]]:
        """All that each node is asked for."""
        nodes = self.gives_up.keys() | self.hands_over.keys()
        return {n: self.gives_up.get(n, set()) | self.hands_over.get(n, set()) for n in nodes}


class Planner:
    """Makes plans; remembers the targets."""

    def __init__(self) -> None:
        """Begin without targets."""
        self._targets: list[Targets] = []
        self._key: Hashable = None

    def forget(self) -> None:
        """Choose the targets anew: somebody else has coordinated meanwhile."""
        self._key = None

    def plan(self, current: Round, around: Surroundings) -> Plan:
        """Return what can be done, and what has to be asked for it."""
        alive = around.hosts.keys()
        facts = current.facts(alive, has_backups=around.has_backups)
        bases = [settle(known) for known in facts]
        claims = current.claims()
        anew = self._begun_anew(current, around, bases, claims)
        silent = current.silent(alive)
        everybody = {*current.held, *silent}
        nodes = everybody - around.leaving - around.hung or everybody
        targets = self._choose(facts, bases, claims, anew, nodes, around)
        takers = nodes & current.held.keys()
        # What a newcomer has copies of, it must drop before it can be given a role there.
        strangers: dict[int, set[NodeId]] = {}
        for node_id in current.newcomers:
            for p, holding in current.held[node_id].items():
                if holding.role != HoldingRole.PRIMARY:
                    strangers.setdefault(p, set()).add(node_id)
        steps = []
        for p, (known, base) in enumerate(zip(facts, bases, strict=True)):
            able = takers - strangers.get(p, set())
            if base is None:
                steps.append(Step(known.roles, known.roles))
            elif p in claims:
                steps.append(_admit(base, claims[p], silent))
            elif p in anew:
                steps.append(Step(Roles(around.own_id), fresh(targets[p], able, around.own_id)))
            else:
                steps.append(advance(known, base, targets[p], able))
        plan = Plan(steps, targets, claims, bool(silent or strangers) or None in bases)
        _ask(plan, current)
        return plan

    def _begun_anew(
        self,
        current: Round,
        around: Surroundings,
        bases: Sequence[Roles | None],
        claims: Mapping[int, NodeId],
    ) -> set[int]:
        """Return the partitions that nobody has and that need not count as lost."""
        anew = set()
        for p, base in enumerate(bases):
            if base is None or base.primary is not None or p in claims:
                continue
            last = roles_in(current.table, p).primary
            was_empty = last is not None and last in around.left and p not in around.left[last]
            if current.accepts_loss or was_empty:
                anew.add(p)
        return anew

    def _choose(
        self,
        facts: Sequence[Facts],
        bases: Sequence[Roles | None],
        claims: Mapping[int, NodeId],
        anew: Set[int],
        nodes: Set[NodeId],
        around: Surroundings,
    ) -> list[Targets]:
        present = [_present(known, base, nodes) for known, base in zip(facts, bases, strict=True)]
        lost = {
            p
            for p, base in enumerate(bases)
            if base is not None and base.primary is None and p not in claims and p not in anew
        }
        hosts = {node_id: around.hosts.get(node_id, "") for node_id in nodes}
        # Who has hung may yet take what the leaver has.
        leaving: frozenset[NodeId] = frozenset() if around.hung else frozenset(around.leaving)
        key = (frozenset(hosts.items()), frozenset(lost), frozenset(claims.items()), leaving)
        if key == self._key:
            return self._targets
        owners = [claims.get(p, roles.primary) for p, roles in enumerate(present)]
        copies = [[r.backup] if r.backup is not None and r.is_synced else [] for r in present]
        ordered = sorted(nodes)
        primaries = assign(ordered, owners, lost, copies)
        backups: list[NodeId | None] = [None] * PARTITION_COUNT
        if around.has_backups:
            holders = [
                [n for n in (roles.backup, roles.primary, roles.incoming) if n is not None]
                for roles in present
            ]
            backups = assign_backups(ordered, hosts, primaries, holders, lost)
        self._key = key
        self._targets = [
            Targets(primary, backup, leaving)
            for primary, backup in zip(primaries, backups, strict=True)
        ]
        return self._targets


def outcome(
    plan: Plan, released: Mapping[NodeId, Set[int]], newcomers: Sequence[NodeId]
) -> tuple[list[Roles], set[NodeId]]:
    """Return each partition's next roles, and the newcomers that are not admitted this time.

    A newcomer that did not let go of what it has, or whose entries have no place yet, waits.
    """
    kept_back = {n for n in newcomers if plan.gives_up.get(n, set()) - released.get(n, set())}
    roles = []
    for p, step in enumerate(plan.steps):
        primary = step.base.primary
        is_granted = primary is not None and p in released.get(primary, set())
        chosen = step.then if step.then is not None and is_granted else step.now
        roles.append(chosen)
        claimant = plan.claims.get(p)
        if claimant is not None and chosen.primary != claimant:
            kept_back.add(claimant)
    for p, step in enumerate(plan.steps):
        if roles[p].names(kept_back):
            roles[p] = step.base
    return roles, kept_back


def next_table(
    current: Round,
    roles: Sequence[Roles],
    alive: Set[NodeId],
    newcomers: Sequence[NodeId],
    *,
    has_backups: bool,
) -> PartitionTable:
    """Return the table with these roles, its epochs above all that were seen where roles end."""
    table = current.table
    named = {n for r in roles for n in (r.primary, r.backup, r.incoming)}
    order = [NodeId(n) for n in table.order if n in alive or n in named]
    epochs = []
    for p, highest in enumerate(current.highest_epochs()):
        known = table.epochs[p]
        is_same = highest == known and not loses_role(roles_in(table, p), roles[p])
        epochs.append(known if is_same else highest + 1)
    return make_table(
        current.stamp,
        [*order, *newcomers],
        [r.primary for r in roles],
        epochs,
        [r.backup for r in roles],
        [r.is_synced for r in roles],
        [r.incoming for r in roles],
        backup_count=int(has_backups),
    )


def _present(known: Facts, base: Roles | None, nodes: Set[NodeId]) -> Roles:
    """Return who counts as having a partition now, for the choice of targets."""
    roles = known.roles if base is None else base
    backup = roles.backup if roles.backup in nodes else None
    incoming = roles.incoming if roles.incoming in nodes else None
    if roles.primary in nodes:
        return Roles(roles.primary, backup, roles.is_synced and backup is not None, incoming)
    # The owner has gone, or goes: its complete backup is the next.
    return Roles(backup if roles.is_synced else None, None if roles.is_synced else backup)


def _admit(base: Roles, claimant: NodeId, silent: Set[NodeId]) -> Step:
    """A newcomer brings entries of a partition that has none here."""
    if base.primary is None:
        return Step(base, Roles(claimant))
    if base.primary in silent:
        return Step(base, base)
    return Step(base, base, Wish.GIVE_UP, Roles(claimant))


def _ask(plan: Plan, current: Round) -> None:
    for p, step in enumerate(plan.steps):
        if step.wish is not None and step.base.primary is not None:
            asked = plan.gives_up if step.wish is Wish.GIVE_UP else plan.hands_over
            asked.setdefault(step.base.primary, set()).add(p)
    for node_id in current.newcomers:
        # It has served them for a cluster of its own.
        served = current.holdings_of(node_id, HoldingRole.PRIMARY)
        foreign = {p for p in served if plan.claims.get(p) != node_id}
        if foreign:
            plan.gives_up.setdefault(node_id, set()).update(foreign)
