"""What gossip missed: whole lists compared, the dead called again, splits settled.

Responsible for: push/pull of member lists over a connection (first contact, and from time to
time with a random member), calling the recently dead so that a healed split is noticed, and
deciding which side gives way when two nodes hold each other for dead.

Not responsible for: merging records (``beliefs.py``), finding addresses (``discovery.py``).

Splits. Dead is final for a boot id, so when a split heals, the nodes of one side must come
back as new nodes. Who hears a node that it holds for dead says so (`Dispute`). A node that does
not hold the disputer for dead as well was paused or alone, and gives way. If both hold each
other for dead, the side with the lower standing gives way: the smaller one, so that a host
without its cable does not cost the others their data, then the one with the lower term, then
the one that has lost its coordinator, then the one whose coordinator has the higher boot id.
All nodes of one side have the same standing, for it is read off their table. If it does not
decide, the higher boot id of the two gives way.

Known limits, for the work on splits. A split that heals while its deaths are still being told
(6 to 15 s) may cost nodes of both sides. In an even split the losing side may, while its nodes
restart one by one, write a table that outranks the winners'.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from grid.membership.beliefs import Beliefs
from grid.membership.effects import (
    Exchange,
    MembershipEffect,
    ReportReceived,
    SelfDeclaredDead,
    SendDatagram,
)
from grid.membership.messages import Dispute, MemberState, Ping, PushPull
from grid.membership.options import MembershipOptions
from grid.types import NODE_ID_BYTES, Address, NodeId, SetTimer

EXCHANGE_TIMER = "repair-exchange"
CONTACT_TIMER = "repair-contact"

CONTACTS_MAX = 16
"""Exchanges of this node's under way; more are not begun (whoever is met again, later)."""

ANSWERED_MAX = 256
"""Addresses of which it is remembered who answered there."""

GONE_TOLD_MAX = 64
"""The latest departures that go with a list."""

SCALED_ABOVE = 32
"""Push/pull slows down in larger clusters, as memberlist's: 6 times at 1,000 members."""


UNSETTLED = b""
"""The standing of a node whose table does not agree with its member list yet."""


def standing_of(size: int, term: int, coordinator_id: bytes) -> bytes:
    """Return what compares greater for the side that stays.

    The larger side; then the higher term; then the lower boot id of the coordinator.
    """
    numbers = size.to_bytes(4, "big") + term.to_bytes(8, "big")
    return numbers + bytes(255 - byte for byte in coordinator_id)


class Repair:
    """Push/pull and disputes of one node."""

    def __init__(
        self,
        beliefs: Beliefs,
        options: MembershipOptions,
        random: Random,
        report: Callable[[], bytes],
        standing: Callable[[], bytes],
    ) -> None:
        """Keep the parts; `start` begins."""
        self._beliefs = beliefs
        self._members = beliefs.members
        self._options = options
        self._random = random
        self._report = report
        self._standing = standing
        self._under_way: set[Address] = set()
        self._answered: dict[Address, NodeId] = {}

    def start(self) -> list[MembershipEffect]:
        """Begin at a random phase."""
        return [
            SetTimer(EXCHANGE_TIMER, self._random.uniform(0.5, 1) * self._exchange_period_s()),
            SetTimer(CONTACT_TIMER, self._contact_gap_s()),
        ]

    def handle_timer(self, timer: object) -> list[MembershipEffect]:
        """Handle a timer set here."""
        if timer == EXCHANGE_TIMER:
            effects: list[MembershipEffect] = [
                SetTimer(EXCHANGE_TIMER, self._exchange_period_s() * self._random.uniform(0.8, 1.2))
            ]
            if self._members.living_count > 1:
                effects += self.contact(self._random_other())
            return effects
        return [SetTimer(CONTACT_TIMER, self._contact_gap_s()), *self._call_somebody_dead()]

    # -- push/pull ------------------------------------------------------------------------

    def contact(self, address: Address) -> list[MembershipEffect]:
        """Exchange member lists with whoever answers at `address`."""
        is_own = self._beliefs.own.id in (
            *self._members.living_at(address),
            self._answered.get(address),
        )
        if is_own or address in self._under_way or len(self._under_way) >= CONTACTS_MAX:
            return []
        self._under_way.add(address)
        return [Exchange(address, self._list())]

    def is_member_at(self, address: Address) -> bool:
        """Whether a living member answers there, though perhaps it tells another address."""
        if self._members.living_at(address):
            return True
        answered = self._answered.get(address)
        return answered is not None and self._members.get_living(answered) is not None

    def forget_addresses(self) -> None:
        """This node stands in other networks now: who answers where is not known any more."""
        self._answered.clear()

    def handle_exchange(
        self, sender_id: NodeId, message: PushPull
    ) -> tuple[list[MembershipEffect], PushPull]:
        """Another node, authenticated, gives its list: merge it. Returns also: ours."""
        known = self._members.get(sender_id)
        if known is not None and known.state is MemberState.DEAD:
            reply = PushPull(self._standing(), self._report(), [known])
            return self._hear_of_own_death(sender_id, message), reply
        reply = self._list()
        if sender_id == self._beliefs.own.id:
            return [], reply
        return self._merge(sender_id, message), reply

    def exchange_ended(
        self, address: Address, sender_id: NodeId | None, reply: PushPull | None
    ) -> list[MembershipEffect]:
        """An exchange of ours is over; without `reply` nobody answered."""
        self._under_way.discard(address)
        if sender_id is None or reply is None:
            return []
        self._answered.pop(address, None)
        self._answered[address] = sender_id
        if len(self._answered) > ANSWERED_MAX:
            del self._answered[next(iter(self._answered))]
        if sender_id == self._beliefs.own.id:
            return []  # A seed that is this node.
        effects = self._merge(sender_id, reply)
        # This node has just called there: that proves who answers at the address now. A node
        # that called here proves nothing of the kind, it may have died since.
        return [*effects, *self._beliefs.bury_predecessors(sender_id)]

    def _merge(self, sender_id: NodeId, message: PushPull) -> list[MembershipEffect]:
        if effects := self._hear_of_own_death(sender_id, message):
            return effects
        known = self._members.get(sender_id)
        if known is not None and known.state.is_gone:
            return []
        effects = self._beliefs.learn_list(message.records, sender_id)
        sender = self._members.get_living(sender_id)
        if sender is not None:
            effects.append(ReportReceived(sender, message.report))
        return effects

    def _hear_of_own_death(self, sender_id: NodeId, message: PushPull) -> list[MembershipEffect]:
        own_id = self._beliefs.own.id
        if any(r.id == own_id and r.state is MemberState.DEAD for r in message.records):
            return self._settle(sender_id, None, message.standing)
        return []

    def _list(self) -> PushPull:
        own = self._beliefs.own
        others = [record for record in self._members.living() if record.id != own.id]
        gone = self._members.lately_gone(GONE_TOLD_MAX)
        return PushPull(self._standing(), self._report(), [own, *others, *gone])

    def _exchange_period_s(self) -> float:
        count = self._members.living_count
        scale = 1 if count <= SCALED_ABOVE else math.ceil(math.log2(count) - 5) + 1
        return self._options.exchange_period_s * scale

    def _random_other(self) -> Address:
        living = self._members.living()
        while True:
            record = living[self._random.randrange(len(living))]
            if record.id != self._beliefs.own.id:
                return record.address

    # -- the dead, and splits -------------------------------------------------------------

    def dispute(self, node_id: NodeId, address: Address) -> SendDatagram:
        """Tell a node that it is held for dead here."""
        return SendDatagram(address, Dispute(self._standing(), node_id))

    def handle_dispute(
        self, sender_id: NodeId, source: Address, message: Dispute
    ) -> list[MembershipEffect]:
        """Somebody holds this node for dead."""
        if message.subject == self._beliefs.own.id:
            return self._settle(sender_id, source, message.standing)
        # Meant for a predecessor at this address; whoever says so has a cluster.
        return [] if sender_id in self._members else self.contact(source)

    def _settle(
        self, sender_id: NodeId, source: Address | None, their_standing: bytes
    ) -> list[MembershipEffect]:
        if self._beliefs.own.state.is_gone:
            return []
        known = self._members.get(sender_id)
        if known is None or known.state is not MemberState.DEAD:
            return [SelfDeclaredDead()]
        own_standing = self._standing()
        if UNSETTLED in (own_standing, their_standing):
            return []
        own_id = self._beliefs.own.id
        if (their_standing, own_id) > (own_standing, bytes(sender_id)):
            return [*self._take_side_along(), SelfDeclaredDead()]
        return [] if source is None else [self.dispute(sender_id, source)]

    def _take_side_along(self) -> list[MembershipEffect]:
        """Tell the members of this side: who does not hold this node for dead gives way too.

        Without a standing nobody else does: some of the other side may still be living here.
        """
        own_id = self._beliefs.own.id
        return [
            SendDatagram(record.address, Dispute(UNSETTLED, record.id))
            for record in self._members.living()
            if record.id != own_id
        ]

    def _call_somebody_dead(self) -> list[MembershipEffect]:
        """Call one of the recently dead whose address nobody living has taken over."""
        candidates = [
            record
            for record in self._members.lately_gone(GONE_TOLD_MAX)
            if record.state is MemberState.DEAD and not self._members.living_at(record.address)
        ]
        if not candidates:
            return []
        # A ping accuses nobody: whoever hears it and holds this node for dead says so. Only what
        # was heard is disputed, or a node that hears nothing would dispute the lives of all.
        number = self._random.getrandbits(48)
        ping = Ping(number, self._report(), [])
        return [SendDatagram(self._random.choice(candidates).address, ping)]

    def _contact_gap_s(self) -> float:
        return self._options.gone_contact_period_s * self._random.uniform(0.8, 1.2)


def lowest_living_standing(beliefs: Beliefs) -> bytes:
    """Return the standing of a node without a table: by the lowest boot id it sees."""
    living = beliefs.members.living()
    return standing_of(0, 0, living[0].id if living else bytes(NODE_ID_BYTES))
