"""The member list and the rule which claim about a member wins (SWIM section 4.2).

Not here: when to probe, suspect or tell (``swim.py``, ``dissemination.py``).

Rules, for one boot id: dead and left are final. Suspect(i) beats alive(j) when i >= j and
suspect(j) when i > j. Alive(i) beats alive(j) and suspect(j) only when i > j.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from grid.membership.messages import MemberRecord, MemberState
from grid.types import Address, NodeId

GONE_MEMBERS_MAX = 1_000
"""Dead and left boot ids remembered; beyond it the longest known is forgotten."""

MEMBERS_MAX = 5_000
"""Living members accepted; a cluster beyond it is refused, not half known."""


def wins(claim: MemberRecord, known: MemberRecord) -> bool:
    """Whether `claim` replaces what is `known` about the same boot id."""
    if known.state.is_gone:
        return False
    if claim.state.is_gone:
        return True
    if claim.state is MemberState.SUSPECT and known.state is MemberState.ALIVE:
        return claim.incarnation >= known.incarnation
    return claim.incarnation > known.incarnation


class MemberList:
    """What this node believes of each member, itself included."""

    def __init__(self, own: MemberRecord) -> None:
        """Start with nobody but the node itself."""
        self._living: dict[NodeId, MemberRecord] = {own.node_id: own}
        self._gone: dict[NodeId, MemberRecord] = {}
        self._at: dict[Address, list[NodeId]] = {own.address: [own.node_id]}
        self._sorted: list[MemberRecord] | None = None

    def __contains__(self, node_id: object) -> bool:
        """Whether the boot id is known, in whatever state."""
        return node_id in self._living or node_id in self._gone

    def __iter__(self) -> Iterator[MemberRecord]:
        """Iterate over every known record, gone ones included."""
        yield from self._living.values()
        yield from self._gone.values()

    def get(self, node_id: NodeId) -> MemberRecord | None:
        """Return what is believed of `node_id`."""
        return self._living.get(node_id) or self._gone.get(node_id)

    def get_living(self, node_id: NodeId) -> MemberRecord | None:
        """Return the record of `node_id` if it is alive or suspect."""
        return self._living.get(node_id)

    @property
    def living_count(self) -> int:
        """Alive and suspect members, the node itself included."""
        return len(self._living)

    def living(self) -> list[MemberRecord]:
        """Return alive and suspect members, the node itself included, by boot id.

        The list is shared between callers until the next change: not to be modified.
        """
        if self._sorted is None:
            self._sorted = sorted(self._living.values(), key=lambda record: record.id)
        return self._sorted

    def lately_gone(self, count: int) -> list[MemberRecord]:
        """Return at most `count` gone members, the latest first."""
        return list(islice(reversed(self._gone.values()), count))

    def living_at(self, address: Address) -> list[NodeId]:
        """Return the living members that claim `address`: more than one after a restart."""
        return list(self._at.get(address, ()))

    def replace_own(self, own: MemberRecord) -> None:
        """Take over what the node says of itself; nobody else's claim can win over that."""
        self._put_living(own)

    def merge(self, claim: MemberRecord) -> MemberRecord | None:
        """Apply `claim`; return what it replaced.

        Returns: the previous record (or, for a newcomer, the claim itself) when the list
        changed; None when the claim lost, or the list is full.
        """
        known = self.get(claim.node_id)
        if known is None:
            if claim.state.is_gone:
                self._bury(claim)
                return claim
            if len(self._living) >= MEMBERS_MAX:
                return None
            self._put_living(claim)
            return claim
        if not wins(claim, known):
            return None
        if claim.state.is_gone:
            self._bury(claim)
        else:
            self._put_living(claim)
        return known

    def _put_living(self, record: MemberRecord) -> None:
        former = self._living.get(record.node_id)
        if former is None or former.address != record.address:
            self._forget_address(former)
            self._at.setdefault(record.address, []).append(record.node_id)
        self._living[record.node_id] = record
        self._sorted = None

    def _bury(self, record: MemberRecord) -> None:
        self._forget_address(self._living.pop(record.node_id, None))
        self._gone[record.node_id] = record
        if len(self._gone) > GONE_MEMBERS_MAX:
            del self._gone[next(iter(self._gone))]
        self._sorted = None

    def _forget_address(self, record: MemberRecord | None) -> None:
        if record is None:
            return
        sharing = self._at[record.address]
        sharing.remove(record.node_id)
        if not sharing:
            del self._at[record.address]
