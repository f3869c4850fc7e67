"""How a node finds its cluster, and when it may found one.

Responsible for: multicast beacons (a burst at 0, 0.2, 0.5 and 1 s, then for ever), contact
with the configured seeds, and the decision to found a cluster after silence.

Not responsible for: the exchange of member lists that a contact starts (``swim.py``) and
admission to the partition table (``partition/coordinator.py``).

Rules. A node founds only after `founding_silence_s` without an invitation, and only when no
living member it knows has a table or a lower boot id. Founders that still found at once are
merged by the coordinators (lowest boot id first). A node that cannot multicast and has no
seeds has nobody to wait for and founds at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from grid.membership.effects import MembershipEffect, Multicast
from grid.membership.messages import Beacon
from grid.membership.options import DiscoveryOptions
from grid.membership.swim import Swim
from grid.types import Address, SetTimer

BEACON_TIMER = "discovery-beacon"
FOUNDING_TIMER = "discovery-founding"
SEED_TIMER = "discovery-seed"

BEACON_BURST_GAPS_S = (0.2, 0.3, 0.5)
"""Gaps that put the first beacons at 0, 0.2, 0.5 and 1 s."""

FOUNDING_RETRY_S = 0.25
WAIT_FOR_LOWER_ID_S = 4.0
"""How long a tableless node lets a tableless neighbour with a lower boot id go first."""


@dataclass(frozen=True, slots=True)
class FoundCluster:
    """Effect: nobody is there; write the first partition table."""


DiscoveryEffect = MembershipEffect | FoundCluster


class Discovery:
    """Discovery of one node; `swim` holds the members it finds."""

    def __init__(
        self,
        swim: Swim,
        options: DiscoveryOptions,
        random: Random,
        report: Callable[[], bytes],
    ) -> None:
        """Keep the parts; `start` begins."""
        self._swim = swim
        self._options = options
        self._random = random
        self._report = report
        self._seeds = tuple(Address.parse(seed) for seed in options.seeds)
        self._beacons_sent = 0
        self._waited_s = 0.0

    def start(self) -> list[DiscoveryEffect]:
        """Send the first beacon, contact the seeds, start the silence."""
        effects: list[DiscoveryEffect] = []
        if self._options.multicast:
            effects += self._beacon()
        if self._seeds:
            effects += self._contact_seeds()
        has_anyone_to_wait_for = self._options.multicast or bool(self._seeds)
        silence_s = self._options.founding_silence_s if has_anyone_to_wait_for else 0.0
        self._waited_s = silence_s
        effects.append(SetTimer(FOUNDING_TIMER, silence_s))
        return effects

    def handle_timer(
        self, timer: str, *, has_table: bool, members_with_table: frozenset[bytes]
    ) -> list[DiscoveryEffect]:
        """Handle a timer set here.

        `members_with_table`: living members whose last report named a partition table.
        """
        if timer == BEACON_TIMER:
            return self._beacon()
        if timer == SEED_TIMER:
            return self._contact_seeds()
        if has_table:
            return []
        if self._may_found(members_with_table):
            return [FoundCluster()]
        self._waited_s += FOUNDING_RETRY_S
        return [SetTimer(FOUNDING_TIMER, FOUNDING_RETRY_S)]

    def _may_found(self, members_with_table: frozenset[bytes]) -> bool:
        others = [record.id for record in self._swim.members.living()]
        if members_with_table.intersection(others):
            return False  # Their coordinator will admit us.
        is_lowest = min(others) == self._swim.own.id
        return is_lowest or self._waited_s >= WAIT_FOR_LOWER_ID_S

    def _beacon(self) -> list[DiscoveryEffect]:
        if self._beacons_sent < len(BEACON_BURST_GAPS_S):
            gap_s = BEACON_BURST_GAPS_S[self._beacons_sent]
        else:
            gap_s = self._options.beacon_period_s * self._random.uniform(0.8, 1.2)
        self._beacons_sent += 1
        beacon = Beacon(sender=self._swim.own, report=self._report())
        return [Multicast(beacon), SetTimer(BEACON_TIMER, gap_s)]

    def _contact_seeds(self) -> list[DiscoveryEffect]:
        """Contact each seed that is no living member: at start often, later as a repair."""
        known = {record.address for record in self._swim.members.living()}
        effects: list[DiscoveryEffect] = []
        for seed in self._seeds:
            if seed not in known:
                effects += self._swim.contact(seed)
        is_alone = len(known) == 1
        gap_s = 0.2 if is_alone else self._options.beacon_period_s
        return [*effects, SetTimer(SEED_TIMER, gap_s)]
