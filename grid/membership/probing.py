"""Probes: whom to ping next, which pings are unanswered, how long to wait for an answer.

Responsible for: the shuffled round-robin (SWIM section 4.3), the table of outstanding probes
(they overlap: a period is shorter than a probe's deadline), the adaptive direct wait, and the
pings made on behalf of others (ping-req, SWIM section 3.1).

Not responsible for: what an unanswered probe means (``swim.py``).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random

from grid.membership.members import MemberList
from grid.membership.messages import MemberRecord, MemberState
from grid.types import Address, NodeId

DIRECT_WAIT_MIN_S = 0.1
DIRECT_WAIT_MAX_S = 1.0
DIRECT_WAIT_FIRST_S = 0.5
"""Bounds of the direct wait, and its value until enough round trips are known."""

ROUND_TRIPS_KEPT = 64
ROUND_TRIPS_NEEDED = 8
MIXED_AT_ONCE = 8
"""More newcomers than this are mixed into the pass by shuffling what is left of it."""

LOOKED_AT_MAX = 32
"""Members looked at to find helpers among."""

RELAYS_MAX = 256
"""Pings made for others at once; beyond it the oldest is forgotten (its asker has two more)."""


@dataclass(slots=True)
class Probe:
    """A ping that is not answered yet.

    `helpers` were asked to ping as well; `helpers_heard` of them have answered at all.
    """

    number: int
    target_id: NodeId
    sent_s: float
    deadline_s: float
    helpers: tuple[NodeId, ...] = ()
    helpers_heard: set[NodeId] = field(default_factory=set)
    is_answered_by_stream: bool = False


@dataclass(frozen=True, slots=True)
class Relay:
    """A ping made for `asker_id`, who knows it as `asker_probe`."""

    subject_id: NodeId
    asker_id: NodeId
    asker_address: Address
    asker_probe: int


class Prober:
    """The probes of one node."""

    def __init__(self, random: Random) -> None:
        """Start with an empty pass."""
        self._random = random
        # Unpredictable, so that no recorded ack fits a probe of this run.
        self._number = random.getrandbits(48)
        self._pass: list[NodeId] = []
        self._outstanding: dict[int, Probe] = {}
        self._relays: dict[int, Relay] = {}
        self._round_trips_s: deque[float] = deque(maxlen=ROUND_TRIPS_KEPT)
        self._direct_wait_s = DIRECT_WAIT_FIRST_S

    # -- whom to ping ---------------------------------------------------------------------

    def next_target(self, members: MemberList, own_id: NodeId) -> MemberRecord | None:
        """Return the next member of the pass: everybody once, then shuffled anew."""
        for _ in range(2):
            while self._pass:
                record = members.get_living(self._pass.pop())
                if record is not None:
                    return record
            self._pass = [r.node_id for r in members.living() if r.id != own_id]
            self._random.shuffle(self._pass)
        return None

    def add_newcomers(self, node_ids: list[NodeId]) -> None:
        """Let newcomers enter the pass at random places (section 4.3)."""
        if len(node_ids) > MIXED_AT_ONCE:
            self._pass += node_ids
            self._random.shuffle(self._pass)
            return
        for node_id in node_ids:
            self._pass.insert(self._random.randint(0, len(self._pass)), node_id)

    def choose_helpers(
        self, members: MemberList, count: int, excluded: frozenset[NodeId]
    ) -> list[MemberRecord]:
        """Return up to `count` random alive members that are not `excluded`.

        In a large cluster this looks at a random few: suspects are rare there.
        """
        living = members.living()
        if len(living) > LOOKED_AT_MAX:
            living = self._random.sample(living, LOOKED_AT_MAX)
        fit = [
            record
            for record in living
            if record.state is MemberState.ALIVE and record.node_id not in excluded
        ]
        return self._random.sample(fit, min(count, len(fit)))

    # -- own probes -----------------------------------------------------------------------

    def next_number(self) -> int:
        """Return a number for a ping."""
        self._number += 1
        return self._number

    def begin(self, target_id: NodeId, now_s: float, deadline_s: float) -> Probe:
        """Open a probe that must be answered by `deadline_s` (absolute)."""
        probe = Probe(self.next_number(), target_id, now_s, deadline_s)
        self._outstanding[probe.number] = probe
        return probe

    def get(self, number: int) -> Probe | None:
        """Return an unanswered probe."""
        return self._outstanding.get(number)

    def answered(self, number: int, sender_id: NodeId, now_s: float) -> bool:
        """Close a probe because its target itself has answered it; False if it is none."""
        probe = self._outstanding.get(number)
        if probe is None or probe.target_id != sender_id:
            return False
        del self._outstanding[number]
        self._learn_round_trip(now_s - probe.sent_s)
        return True

    def answered_through(self, number: int, helper_id: NodeId) -> NodeId | None:
        """Close a probe because a helper it asked has reached the target; return the target."""
        probe = self._outstanding.get(number)
        if probe is None or helper_id not in probe.helpers:
            return None
        del self._outstanding[number]
        return probe.target_id

    def helper_heard(self, number: int, helper_id: NodeId) -> None:
        """A helper says that it lives but the target is silent."""
        probe = self._outstanding.get(number)
        if probe is not None and helper_id in probe.helpers:
            probe.helpers_heard.add(helper_id)

    def close(self, number: int) -> Probe | None:
        """Take a probe out of the table."""
        return self._outstanding.pop(number, None)

    def void(self) -> None:
        """Forget every probe: this node was not there to hear the answers."""
        self._outstanding.clear()
        self._relays.clear()

    @property
    def direct_wait_s(self) -> float:
        """How long a direct ping may take before others are asked.

        Three times the 95th percentile of the latest round trips, within 0.1 and 1 s.
        """
        return self._direct_wait_s

    def _learn_round_trip(self, round_trip_s: float) -> None:
        self._round_trips_s.append(round_trip_s)
        if len(self._round_trips_s) >= ROUND_TRIPS_NEEDED:
            ordered = sorted(self._round_trips_s)
            wait_s = 3 * ordered[int(0.95 * (len(ordered) - 1))]
            self._direct_wait_s = min(DIRECT_WAIT_MAX_S, max(DIRECT_WAIT_MIN_S, wait_s))

    # -- pings for others -----------------------------------------------------------------

    def relay(self, relay: Relay) -> int:
        """Open a ping for somebody else; return its number."""
        number = self.next_number()
        if len(self._relays) >= RELAYS_MAX:
            del self._relays[next(iter(self._relays))]
        self._relays[number] = relay
        return number

    def relay_answered(self, number: int, sender_id: NodeId) -> Relay | None:
        """Close a ping for somebody else if `sender_id` is its subject."""
        relay = self._relays.get(number)
        if relay is None or relay.subject_id != sender_id:
            return None
        return self._relays.pop(number)

    def relay_expired(self, number: int) -> Relay | None:
        """Close a ping for somebody else that was not answered in time."""
        return self._relays.pop(number, None)
