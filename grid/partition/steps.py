"""The next roles of one partition: what follows from deaths, and the next step to its targets.

Pure: from the roles of the table, what the members really hold and who shall hold it in the end.

Theory of operation. First `settle`: the dead lose their roles, the best complete copy of a dead
primary is promoted, a backup that broke is no longer called synced. Then `advance`: a missing
backup is named, a complete one is called synced, an incoming node is named where a role shall
move, and takes that role when it is complete. A new primary by plan needs the old one to let go:
`then` is what the roles are if it does, `now` if it does not.

The rule that keeps data safe: by plan a complete copy loses its role only in the same table in
which its complete replacement has that role, and only a node that says itself that its copy is
complete is promoted. So a holder that is silent but lives is waited for.

Source: Hazelcast's migration planner ("never reduce the number of available copies").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from enum import Enum

from grid.partition.messages import Holding, HoldingRole
from grid.types import NodeId


@dataclass(frozen=True, slots=True)
class Roles:
    """Who has which role for one partition; without a primary it is lost."""

    primary: NodeId | None
    backup: NodeId | None = None
    is_synced: bool = False
    incoming: NodeId | None = None

    def names(self, node_ids: Set[NodeId]) -> bool:
        """Whether any of these nodes has a role."""
        return not node_ids.isdisjoint((self.primary, self.backup, self.incoming))


def loses_role(old: Roles, new: Roles) -> bool:
    """Whether anybody loses a role, or the primary changes: that needs a new epoch."""
    return (
        old.primary != new.primary
        or old.backup not in (None, new.backup)
        or old.incoming not in (None, new.incoming)
    )


@dataclass(frozen=True, slots=True)
class Facts:
    """What a round knows of one partition.

    Attributes:
        roles: by the present table, with their `epoch`.
        held: what the members of the table hold that have answered.
        alive: all that live.
        silent: the members of the table that live and have not answered.
        up_to_date: the members that have answered and serve the present table.
        has_backups: whether partitions shall have backups at all.
    """

    roles: Roles
    epoch: int
    held: Mapping[NodeId, Holding]
    alive: Set[NodeId]
    silent: Set[NodeId]
    up_to_date: Set[NodeId]
    has_backups: bool = True

    def is_complete(self, primary: NodeId, copy: NodeId) -> bool:
        """Whether the primary and the copy's holder both say, in this epoch, that it is."""
        said, held = self.held.get(primary), self.held.get(copy)
        return (
            said is not None
            and held is not None
            and said.role == HoldingRole.PRIMARY
            and held.role == HoldingRole.BACKUP
            and said.epoch == held.epoch == self.epoch
            and copy in said.complete
        )

    def is_broken(self, primary: NodeId, backup: NodeId) -> bool:
        """Whether the table's synced backup is complete no more.

        A holder that does not serve this table yet may still hold what an older one gave it; it
        was complete when this table called it so.
        """
        said, held = self.held.get(primary), self.held.get(backup)
        if said is not None and said.role == HoldingRole.PRIMARY and said.epoch == self.epoch:
            is_denied = backup not in said.complete
        else:
            is_denied = False
        if held is None:
            return is_denied or backup in self.up_to_date
        return is_denied or held.role == HoldingRole.FILLING

    def is_virgin(self, primary: NodeId) -> bool:
        """Whether the primary has answered and the partition was never written."""
        if primary in self.silent:
            return False
        said = self.held.get(primary)
        if said is not None and said.role != HoldingRole.PRIMARY:
            return False
        return all(not held.entries and not held.sequence for held in self.held.values())

    def newer_primary(self) -> NodeId | None:
        """Return who was made primary by a table that came after ours and that we never saw."""
        claims = [
            (held.epoch, node_id)
            for node_id, held in self.held.items()
            if held.role == HoldingRole.PRIMARY and held.epoch > self.epoch
        ]
        return max(claims)[1] if claims else None

    def best_copy(self) -> NodeId | None:
        """Return who has the newest complete copy, the dead primary's role apart."""
        copies = [
            (held.epoch, held.sequence, node_id)
            for node_id, held in self.held.items()
            if held.role == HoldingRole.BACKUP and held.epoch >= self.epoch
        ]
        return max(copies)[2] if copies else None

    def led_by(self, primary: NodeId, *others: NodeId | None) -> Roles:
        """Return the roles under a new primary; who had or was getting a copy is its backup."""
        if not self.has_backups:
            return Roles(primary)
        return Roles(primary, _first_of(others, self.alive, primary))


class Wish(Enum):
    """What a primary must do before another node can have its place."""

    GIVE_UP = "give up what was never written"
    HAND_OVER = "freeze, and let the copies catch up"


@dataclass(frozen=True, slots=True)
class Targets:
    """Who shall have a partition in the end; `leaving`: who shall have nothing."""

    primary: NodeId | None
    backup: NodeId | None
    leaving: Set[NodeId] = frozenset()

    @property
    def roles(self) -> Roles:
        """The roles when everything is done."""
        return Roles(self.primary, self.backup, self.backup is not None)


@dataclass(frozen=True, slots=True)
class Step:
    """What one table can do for one partition.

    Attributes:
        base: the roles after deaths and broken copies, nothing added.
        now: the roles if nobody lets go of anything.
        wish: what the primary is asked to do.
        then: the roles if it does.
    """

    base: Roles
    now: Roles
    wish: Wish | None = None
    then: Roles | None = None


def settle(facts: Facts) -> Roles | None:
    """Return the roles after deaths and broken copies; None: a silent holder must be waited for."""
    roles = facts.roles
    if not facts.has_backups:
        roles = replace(roles, backup=None, is_synced=False)
    claimant = facts.newer_primary()
    if claimant is not None and claimant != roles.primary:
        return facts.led_by(claimant, roles.backup, roles.primary)
    if roles.primary is None:
        return roles
    backup = roles.backup if roles.backup in facts.alive else None
    incoming = roles.incoming if roles.incoming in facts.alive else None
    if roles.primary in facts.alive:
        is_synced = (
            roles.is_synced and backup is not None and not facts.is_broken(roles.primary, backup)
        )
        return Roles(roles.primary, backup, is_synced, incoming)
    if backup is not None and roles.is_synced:
        if backup in facts.silent:
            return None
        held = facts.held.get(backup)
        # An old primary that has not heard yet that it is the backup now was frozen with all.
        if held is not None and held.role != HoldingRole.FILLING:
            return facts.led_by(backup, incoming)
    heir = facts.best_copy()
    if heir is not None:
        return facts.led_by(heir, backup, incoming)
    if not facts.silent.isdisjoint((backup, incoming)):
        return None
    return Roles(None)


def advance(facts: Facts, base: Roles, targets: Targets, takers: Set[NodeId]) -> Step:
    """Return the next step from `base` to the targets.

    Args:
        facts: what is known.
        base: from `settle`.
        targets: where this partition shall be.
        takers: who can be given something in this round.
    """
    primary = base.primary
    if primary is None or targets.primary is None:
        return Step(base, base)
    if primary != targets.primary and targets.primary in takers and facts.is_virgin(primary):
        if not base.is_synced:
            return Step(base, base, Wish.GIVE_UP, _add(Roles(targets.primary), targets, takers))
        if base.backup != targets.primary:
            # The backup is as empty as what the new primary begins with.
            moved = _add(Roles(targets.primary, base.backup, True), targets, takers)
            return Step(base, base, Wish.GIVE_UP, moved)
    now = base
    if now.backup is not None and not now.is_synced:
        now = replace(now, is_synced=facts.is_complete(primary, now.backup))
    is_ready = now.incoming is not None and facts.is_complete(primary, now.incoming)
    if now.is_synced and is_ready and primary == targets.primary and now.incoming == targets.backup:
        now = Roles(primary, now.incoming, True)
    # A copy that was begun is there sooner than another one.
    now = _add(now, targets, takers, begun=facts.held.keys() & takers)
    then = _after_handover(now, targets, is_ready=is_ready and now.incoming == base.incoming)
    if then is None or primary not in facts.up_to_date:
        return Step(base, now)
    return Step(base, now, Wish.HAND_OVER, _add(then, targets, takers))


def fresh(targets: Targets, takers: Set[NodeId], otherwise: NodeId) -> Roles:
    """Return the roles of a partition that begins anew, empty."""
    primary = targets.primary if targets.primary in takers else otherwise
    return _add(Roles(primary), targets, takers)


def _first_of(
    candidates: Iterable[NodeId | None], allowed: Set[NodeId], *taken: NodeId | None
) -> NodeId | None:
    return next((n for n in candidates if n is not None and n in allowed and n not in taken), None)


def _add(
    roles: Roles, targets: Targets, takers: Set[NodeId], *, begun: Set[NodeId] = frozenset()
) -> Roles:
    """Name who shall be filled next; nobody who has a complete copy loses anything by it.

    `begun`: who has some of a copy already, and may have more.
    """
    primary, backup, incoming = roles.primary, roles.backup, roles.incoming
    wanted = [n for n in (targets.primary, targets.backup) if n != primary]
    if targets.backup is None:
        # No backups at all, or nobody else to take one: who leaves need not wait for that.
        if backup in targets.leaving:
            roles = replace(roles, backup=None, is_synced=False)
    elif not roles.is_synced:
        # Protect first, move afterwards.
        if backup not in wanted and backup not in begun:
            better = _first_of((incoming, *wanted), takers)
            if better is not None:
                return Roles(primary, better)
            if backup is None and incoming is not None:
                return Roles(primary, incoming)
        return roles if incoming in wanted else replace(roles, incoming=None)
    if primary != targets.primary:
        wish = None if backup == targets.primary else targets.primary
    else:
        wish = None if backup == targets.backup else targets.backup
    if wish is None or wish in takers:
        roles = replace(roles, incoming=wish)
    return roles


def _after_handover(now: Roles, targets: Targets, *, is_ready: bool) -> Roles | None:
    """Return the roles once the primary has handed over; None if nobody can take its place yet."""
    old, new = now.primary, targets.primary
    if old == new or (targets.backup is not None and not now.is_synced):
        return None
    if now.backup == new and now.is_synced:
        if targets.backup is None:
            return Roles(new) if old in targets.leaving else Roles(new, old, True)
        return Roles(new, old, True)
    if now.incoming != new or not is_ready:
        return None
    if targets.backup is None:
        return Roles(new)
    keeps_backup = now.backup == targets.backup or old != targets.backup
    return Roles(new, now.backup if keeps_backup else old, True)
