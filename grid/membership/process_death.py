"""Proof that a process has ended, faster than silence could show it (DESIGN.md section 4).

When a process dies its machine lives on and says so. Three signs together are proof for one
witness:

1. an authenticated connection to that boot id ended by EOF or RST;
2. a new connection to its address is refused;
3. a UDP ping stays unanswered for ``process_death_wait_s``.

A firewall that rejects fakes the second alone, a broken switch the third, a restarted network
stack the first. Two witnesses make a death, or one when nobody else is left to ask.

To have the first sign at all, every node keeps a connection to the next `WATCHED_MAX` members
in the ring of boot ids, so each process is watched by as many others.

Not here: what follows from a death (``swim.py``), and connecting (``process/peers.py``).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from grid.membership.messages import MemberRecord
from grid.types import NodeId

WATCHED_MAX = 4
"""Connections each node keeps for this; two of the watchers of a process may die with it."""

SUBJECTS_MAX = 256
"""Processes that testimony is kept of; beyond it the oldest is forgotten."""

WITNESSES_NEEDED = 2


def watched_by(own_id: bytes, living: Sequence[MemberRecord]) -> tuple[MemberRecord, ...]:
    """Return the members after `own_id` in the ring; `living` is sorted by boot id."""
    start = bisect_right(living, own_id, key=lambda record: record.id)
    count = min(WATCHED_MAX, len(living) - 1)
    return tuple(living[(start + step) % len(living)] for step in range(count))


@dataclass(slots=True)
class Evidence:
    """What this node has seen itself since a connection ended."""

    ping_number: int
    is_refused: bool = False
    is_silence_over: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether all three signs are there."""
        return self.is_refused and self.is_silence_over


class ProcessDeaths:
    """Own evidence, and the testimony of others."""

    def __init__(self) -> None:
        """Start without any."""
        self._evidence: dict[NodeId, Evidence] = {}
        self._witnesses: dict[NodeId, set[NodeId]] = {}

    def open(self, subject_id: NodeId, ping_number: int) -> bool:
        """A connection ended: begin to collect; False if that is under way."""
        if subject_id in self._evidence:
            return False
        self._evidence[subject_id] = Evidence(ping_number)
        return True

    def subject_of(self, ping_number: int) -> NodeId | None:
        """Return whose death the ping asks about."""
        for subject_id, evidence in self._evidence.items():
            if evidence.ping_number == ping_number:
                return subject_id
        return None

    def refused(self, subject_id: NodeId) -> bool:
        """A new connection was refused. Returns: whether the proof is complete."""
        evidence = self._evidence.get(subject_id)
        if evidence is None:
            return False
        evidence.is_refused = True
        return evidence.is_complete

    def silence_over(self, subject_id: NodeId) -> bool:
        """The ping was not answered in time. Returns: whether the proof is complete."""
        evidence = self._evidence.get(subject_id)
        if evidence is None:
            return False
        evidence.is_silence_over = True
        return evidence.is_complete

    def drop(self, subject_id: NodeId) -> None:
        """It lives: what was collected and said is void."""
        self._evidence.pop(subject_id, None)
        self._witnesses.pop(subject_id, None)

    def void(self) -> None:
        """Forget own evidence: this node was not there to hear an answer."""
        self._evidence.clear()

    def testify(self, subject_id: NodeId, witness_id: NodeId, living_count: int) -> bool:
        """Count a witness who has all three signs. Returns: whether that is enough."""
        if subject_id not in self._witnesses and len(self._witnesses) >= SUBJECTS_MAX:
            del self._witnesses[next(iter(self._witnesses))]
        witnesses = self._witnesses.setdefault(subject_id, set())
        if len(witnesses) < WITNESSES_NEEDED:
            witnesses.add(witness_id)
        # With two members there is no second witness.
        return len(witnesses) >= min(WITNESSES_NEEDED, living_count - 1)
