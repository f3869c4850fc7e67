"""The member list and the rule which claim about a member wins (SWIM section 4.2).

Not here: when to probe, suspect or tell (``swim.py``, ``dissemination.py``).

Rules, for one boot id: dead and left are final. Suspect(i) beats alive(j) when i >= j and
suspect(j) when i > j. Alive(i) beats alive(j) and suspect(j) only when i > j.
"""

from __future__ import annotations

from collections.abc import Iterator

from grid.membership.messages import MemberRecord, MemberState
from grid.types import NodeId

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
        self._records: dict[NodeId, MemberRecord] = {own.node_id: own}

    def __contains__(self, node_id: object) -> bool:
        """Whether the boot id is known, in whatever state."""
        return node_id in self._records

    def __iter__(self) -> Iterator[MemberRecord]:
        """Iterate over every known record, gone ones included."""
        return iter(self._records.values())

    def get(self, node_id: NodeId) -> MemberRecord | None:
        """Return what is believed of `node_id`."""
        return self._records.get(node_id)

    def living(self) -> list[MemberRecord]:
        """Return alive and suspect members, the node itself included, by boot id."""
        present = (record for record in self._records.values() if not record.state.is_gone)
        return sorted(present, key=lambda record: record.id)

    def replace_own(self, own: MemberRecord) -> None:
        """Take over what the node says of itself; nobody else's claim can win over that."""
        self._records[own.node_id] = own

    def merge(self, claim: MemberRecord) -> MemberRecord | None:
        """Apply `claim`; return what it replaced.

        Returns: the previous record (or, for a newcomer, the claim itself) when the list
        changed; None when the claim lost, or the list is full.
        """
        known = self._records.get(claim.node_id)
        if known is None:
            if not claim.state.is_gone and len(self.living()) >= MEMBERS_MAX:
                return None
            self._records[claim.node_id] = claim
            self._forget_oldest_gone()
            return claim
        if not wins(claim, known):
            return None
        self._records[claim.node_id] = claim
        return known

    def _forget_oldest_gone(self) -> None:
        gone = [record.node_id for record in self._records.values() if record.state.is_gone]
        for node_id in gone[: max(0, len(gone) - GONE_MEMBERS_MAX)]:
            del self._records[node_id]
