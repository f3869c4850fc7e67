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

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from grid.membership.messages import MemberRecord
from grid.types import NodeId

WATCHED_MAX = 4
"""Connections each node keeps for this; two of the watchers of a process may die with it."""

SUBJECTS_MAX = 256
"""Processes that testimony is kept of; beyond it the oldest is forgotten."""

WITNESSES_NEEDED = 2


TESTIMONY_S = 10.0
"""Witnesses that far apart have not seen the same thing."""


def watched_by(own_id: bytes, living: Sequence[MemberRecord]) -> tuple[MemberRecord, ...]:
    """Return the members after `own_id` in the ring; `living` is sorted by boot id."""
    start = bisect_right(living, own_id, key=lambda record: record.id)
    count = min(WATCHED_MAX, len(living) - 1)
    return tuple(living[(start + step) % len(living)] for step in range(count))


def watchers_of(subject_id: bytes, living: Sequence[MemberRecord]) -> tuple[MemberRecord, ...]:
    """Return the members before `subject_id` in the ring: those that keep a connection to it."""
    end = bisect_left(living, subject_id, key=lambda record: record.id)
    count = min(WATCHED_MAX, len(living) - 1)
    return tuple(living[(end - step) % len(living)] for step in range(1, count + 1))


@dataclass(slots=True)
class Evidence:
    """What this node has seen itself since a connection ended; None: not known yet."""

    ping_number: int
    is_refused: bool | None = None
    is_silent: bool | None = None


class ProcessDeaths:
    """Own evidence, and the testimony of others."""

    def __init__(self) -> None:
        """Start without any."""
        self._evidence: dict[NodeId, Evidence] = {}
        self._witnesses: dict[NodeId, dict[NodeId, float]] = {}

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

    def dialled(self, subject_id: NodeId, *, is_refused: bool) -> bool:
        """The attempt to connect is over. Returns: whether the proof is complete."""
        evidence = self._evidence.get(subject_id)
        if evidence is None:
            return False
        evidence.is_refused = is_refused
        return self._conclude(subject_id, evidence)

    def silent(self, subject_id: NodeId) -> bool:
        """The ping was not answered in time. Returns: whether the proof is complete."""
        evidence = self._evidence.get(subject_id)
        if evidence is None:
            return False
        evidence.is_silent = True
        return self._conclude(subject_id, evidence)

    def _conclude(self, subject_id: NodeId, evidence: Evidence) -> bool:
        """Once both answers are in the case is closed, so that a later one can be opened."""
        if evidence.is_refused is None or evidence.is_silent is None:
            return False
        del self._evidence[subject_id]
        return evidence.is_refused

    def drop(self, subject_id: NodeId) -> None:
        """It lives: what was collected and said is void."""
        self._evidence.pop(subject_id, None)
        self._witnesses.pop(subject_id, None)

    def void(self) -> None:
        """Forget own evidence: this node was not there to hear an answer."""
        self._evidence.clear()

    def testify(
        self, subject_id: NodeId, witness_id: NodeId, living_count: int, now_s: float
    ) -> bool:
        """Count a witness who has all three signs. Returns: whether that is enough."""
        known = self._witnesses.pop(subject_id, {})
        witnesses = {who: at_s for who, at_s in known.items() if at_s > now_s - TESTIMONY_S}
        if witness_id in witnesses or len(witnesses) < WITNESSES_NEEDED:
            witnesses[witness_id] = now_s
        self._witnesses[subject_id] = witnesses
        if len(self._witnesses) > SUBJECTS_MAX:
            del self._witnesses[next(iter(self._witnesses))]
        # With two members there is no second witness.
        return len(witnesses) >= min(WITNESSES_NEEDED, living_count - 1)
