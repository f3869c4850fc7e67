"""How a node finds its cluster, and when it may found one.

Responsible for: multicast beacons (a burst at 0, 0.2, 0.5 and 1 s, then for ever), contact
with the configured seeds and the remembered peers, what a stranger's beacon leads to, and the
decision to found a cluster after silence.

Not responsible for: the exchange of member lists that a contact starts (``repair.py``) and
admission to the partition table (``partition/coordinator.py``).

Rules. A node founds only after `founding_silence_s` without an invitation, and only when no
living member it knows has a table or a lower boot id. Founders that still found at once are
merged by the coordinators (lowest boot id first). A node that cannot multicast and knows no
address has nobody to wait for and founds at once.

Scale. However many nodes there are, about `ANSWERS_WANTED` of them answer a stranger's beacon
(each tosses a coin, SWIM section 3.2), and beyond `BEACONERS` nodes each beacons more seldom,
so that a LAN carries a bounded number of beacons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

from grid.membership.beliefs import Beliefs
from grid.membership.effects import MembershipEffect, Multicast
from grid.membership.messages import Beacon, MemberRecord
from grid.membership.options import DiscoveryOptions
from grid.membership.repair import Repair
from grid.types import Address, SetTimer

BEACON_TIMER = "discovery-beacon"
FOUNDING_TIMER = "discovery-founding"
SEED_TIMER = "discovery-seed"

BEACON_BURST_GAPS_S = (0.2, 0.3, 0.5)
"""Gaps that put the first beacons at 0, 0.2, 0.5 and 1 s."""

BEACONERS = 8
ANSWERS_WANTED = 4
CALLS_AT_ONCE = 8
"""Known addresses contacted in one round; the others have their turn in the next."""

FOUNDING_RETRY_S = 0.25
WAIT_FOR_LOWER_ID_S = 4.0
"""How long a tableless node lets a tableless neighbour with a lower boot id go first."""

ALONE_GAP_S = 0.2
"""Between rounds of calls while this node knows nobody."""


@dataclass(frozen=True, slots=True)
class FoundCluster:
    """Effect: nobody is there; write the first partition table."""


DiscoveryEffect = MembershipEffect | FoundCluster


class Discovery:
    """Discovery of one node; `repair` exchanges lists with the addresses found."""

    def __init__(
        self,
        beliefs: Beliefs,
        options: DiscoveryOptions,
        random: Random,
        report: Callable[[], bytes],
        repair: Repair,
        remembered: Iterable[Address] = (),
    ) -> None:
        """Keep the parts; `start` begins. `remembered`: where nodes answered in former runs."""
        self._beliefs = beliefs
        self._options = options
        self._random = random
        self._report = report
        self._repair = repair
        seeds = [Address.parse(seed) for seed in options.seeds]
        self._addresses = list(dict.fromkeys([*seeds, *remembered]))
        self._next_call = 0
        self._beacons_sent = 0
        self._waited_s = 0.0

    def start(self) -> list[DiscoveryEffect]:
        """Send the first beacon, contact the known addresses, start the silence."""
        effects: list[DiscoveryEffect] = []
        if self._options.multicast:
            effects += self._beacon()
        if self._addresses:
            effects += self._call_addresses()
        has_anyone_to_wait_for = self._options.multicast or bool(self._addresses)
        silence_s = self._options.founding_silence_s if has_anyone_to_wait_for else 0.0
        self._waited_s = silence_s
        effects.append(SetTimer(FOUNDING_TIMER, silence_s))
        return effects

    def interfaces_changed(self) -> list[DiscoveryEffect]:
        """The machine stands in other networks now: announce it there as at the start."""
        if not self._options.multicast:
            return []
        self._beacons_sent = 0
        return list(self._beacon())

    def handle_beacon(self, beacon: Beacon) -> list[MembershipEffect]:
        """A node announces itself; a stranger is contacted, or left to others to contact."""
        record = beacon.sender
        if record.node_id in self._beliefs.members:
            return []
        answer_share = ANSWERS_WANTED / self._beliefs.members.living_count
        if answer_share < 1 and self._random.random() >= answer_share:
            return []
        return self._repair.contact(self._beliefs.reachable(record).address)

    def handle_timer(
        self, timer: object, *, has_table: bool, members_with_table: frozenset[bytes]
    ) -> list[DiscoveryEffect]:
        """Handle a timer set here.

        `members_with_table`: living members whose last report named a partition table.
        """
        if timer == BEACON_TIMER:
            return list(self._beacon())
        if timer == SEED_TIMER:
            return list(self._call_addresses())
        if has_table:
            return []
        if self._may_found(members_with_table):
            return [FoundCluster()]
        self._waited_s += FOUNDING_RETRY_S
        return [SetTimer(FOUNDING_TIMER, FOUNDING_RETRY_S)]

    def _may_found(self, members_with_table: frozenset[bytes]) -> bool:
        others = [record.id for record in self._living()]
        if members_with_table.intersection(others):
            return False  # Their coordinator will admit us.
        is_lowest = min(others) == self._beliefs.own.id
        return is_lowest or self._waited_s >= WAIT_FOR_LOWER_ID_S

    def _beacon(self) -> list[MembershipEffect]:
        count = self._beliefs.members.living_count
        if self._beacons_sent < len(BEACON_BURST_GAPS_S):
            gap_s = BEACON_BURST_GAPS_S[self._beacons_sent]
        else:
            period_s = self._options.beacon_period_s * max(1.0, count / BEACONERS)
            gap_s = period_s * self._random.uniform(0.8, 1.2)
        self._beacons_sent += 1
        beacon = Beacon(self._beliefs.own, count, self._report())
        return [Multicast(beacon), SetTimer(BEACON_TIMER, gap_s)]

    def _call_addresses(self) -> list[MembershipEffect]:
        """Contact known addresses where no living member is: often while alone, else seldom."""
        effects: list[MembershipEffect] = []
        count = min(CALLS_AT_ONCE, len(self._addresses))
        for step in range(count):
            address = self._addresses[(self._next_call + step) % len(self._addresses)]
            if not self._repair.is_member_at(address):
                effects += self._repair.contact(address)
        self._next_call += count
        gap_s = (
            ALONE_GAP_S
            if self._beliefs.members.living_count == 1
            else self._options.beacon_period_s
        )
        return [*effects, SetTimer(SEED_TIMER, gap_s)]

    def _living(self) -> list[MemberRecord]:
        return self._beliefs.members.living()
