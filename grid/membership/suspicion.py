"""Suspicions under way: who accuses whom, and when that becomes a death.

Lifeguard section IV-B: a suspicion lasts ``suspicion_max_s`` and shrinks to
``suspicion_min_s`` as members confirm it independently, each by a failed probe of its own:

    max - (max - min) * log(C + 1) / log(K + 1)      C confirmations of K = 3 expected

In a cluster too small for three confirmations, K is the number of members who could. Two
members alone cannot confirm anything, so there the full time is waited.

Not here: what is believed of a member (``members.py``) and who is told (``swim.py``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from grid.membership.messages import MemberRecord
from grid.membership.options import MembershipOptions
from grid.types import NodeId

CONFIRMATIONS_EXPECTED = 3


@dataclass(slots=True)
class Suspicion:
    """One suspicion; `accusers` in order of arrival, at most one more than expected."""

    incarnation: int
    started_s: float
    expected: int
    accusers: list[bytes]

    def duration_s(self, options: MembershipOptions) -> float:
        """Return how long it lasts with the confirmations so far."""
        longest_s = options.suspicion_max_s
        shortest_s = min(options.suspicion_min_s, longest_s)
        if self.expected == 0:
            return longest_s
        confirmations = len(self.accusers) - 1
        share = math.log(confirmations + 1) / math.log(self.expected + 1)
        return max(shortest_s, longest_s - (longest_s - shortest_s) * share)


class Suspicions:
    """All suspicions this node knows of: at most one per member."""

    def __init__(self, options: MembershipOptions) -> None:
        """Start without any."""
        self._options = options
        self._open: dict[NodeId, Suspicion] = {}

    def open(self, claim: MemberRecord, now_s: float, living_count: int) -> float:
        """Begin a suspicion (or begin again, of a higher incarnation).

        Returns: seconds until it is due.
        """
        # The suspect and the first accuser cannot confirm.
        expected = max(0, min(CONFIRMATIONS_EXPECTED, living_count - 2))
        suspicion = Suspicion(claim.incarnation, now_s, expected, [claim.accuser])
        self._open[claim.node_id] = suspicion
        return suspicion.duration_s(self._options)

    def confirm(self, claim: MemberRecord, now_s: float) -> float | None:
        """Count another accuser.

        Returns: seconds until the suspicion is due now, or None when `claim` adds nothing.
        """
        suspicion = self._open.get(claim.node_id)
        if (
            suspicion is None
            or suspicion.incarnation != claim.incarnation
            or claim.accuser in suspicion.accusers
            or len(suspicion.accusers) > suspicion.expected
        ):
            return None
        suspicion.accusers.append(claim.accuser)
        return max(0.0, suspicion.started_s + suspicion.duration_s(self._options) - now_s)

    def is_due(self, node_id: NodeId, now_s: float) -> bool:
        """Whether the time to object is over."""
        suspicion = self._open.get(node_id)
        if suspicion is None:
            return False
        # A timer may fire a rounding error early.
        return now_s >= suspicion.started_s + suspicion.duration_s(self._options) - 1e-3

    def close(self, node_id: NodeId) -> None:
        """The member is alive after all, or gone."""
        self._open.pop(node_id, None)

    def restart(self, now_s: float) -> list[tuple[NodeId, float]]:
        """Start every suspicion's time anew: this node was not there to hear objections.

        Returns: each suspect with the seconds until it is due.
        """
        for suspicion in self._open.values():
            suspicion.started_s = now_s
        return [
            (node_id, suspicion.duration_s(self._options))
            for node_id, suspicion in self._open.items()
        ]
