"""Members to test with, one core under a clock of the test's, and short ways to see effects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import TypeVar

import msgspec

from grid.membership.beliefs import ChooseHost
from grid.membership.discovery import DiscoveryEffect
from grid.membership.effects import MemberChanged, MembershipEffect, SendDatagram
from grid.membership.membership import Membership
from grid.membership.messages import (
    Ack,
    Gossip,
    MemberRecord,
    MembershipMessage,
    MemberState,
    Ping,
    PushPull,
)
from grid.membership.options import DiscoveryOptions, MembershipOptions
from grid.membership.swim import PERIOD_TIMER
from grid.types import NODE_ID_BYTES, Address, NodeId, SetTimer

E = TypeVar("E")

ALIVE, SUSPECT, DEAD, LEFT = MemberState
OPTIONS = MembershipOptions()
DISCOVERY = DiscoveryOptions()
REPORT = b"report"


def node_id(number: int) -> NodeId:
    return NodeId(number.to_bytes(NODE_ID_BYTES, "big"))


def record(
    number: int, state: MemberState = ALIVE, incarnation: int = 0, *, by: int | None = None
) -> MemberRecord:
    """Return a claim about member `number`; `by` is who accuses it."""
    return MemberRecord(
        id=node_id(number),
        name=f"n{number}",
        hosts=(f"10.0.{number // 250}.{number % 250 + 1}",),
        port=7701,
        pid=number,
        storage_processes=1,
        workers=1,
        incarnation=incarnation,
        state=state,
        accuser=b"" if by is None else node_id(by),
    )


def changed(source: MemberRecord, **changes: object) -> MemberRecord:
    return msgspec.structs.replace(source, **changes)


def address(number: int) -> Address:
    return record(number).address


def of_kind(kind: type[E], effects: Sequence[object]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]


def changes(effects: Sequence[object]) -> list[MemberRecord]:
    return [effect.record for effect in of_kind(MemberChanged, effects)]


def sent(kind: type[E], effects: Sequence[object]) -> list[tuple[Address, E]]:
    """Return the messages of one kind that leave as datagrams, with their destinations."""
    return [
        (effect.address, effect.message)
        for effect in of_kind(SendDatagram, effects)
        if isinstance(effect.message, kind)
    ]


def delay_of(timer: object, effects: Sequence[object]) -> float:
    (delay_s,) = [e.delay_s for e in of_kind(SetTimer, effects) if e.timer == timer]
    return delay_s


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class OneNode:
    """One membership core, its clock, and what a test does to it all the time."""

    def __init__(
        self,
        number: int = 1,
        *,
        knows: Iterable[int] = (),
        seed: int = 1,
        options: MembershipOptions = OPTIONS,
        discovery: DiscoveryOptions = DISCOVERY,
        standing: Callable[[], bytes] | None = None,
        remembered: Iterable[Address] = (),
        choose_host: ChooseHost | None = None,
    ) -> None:
        self.clock = Clock()
        self.core = Membership(
            record(number),
            options,
            discovery,
            Random(seed),
            self.clock,
            report=lambda: REPORT,
            standing=standing,
            remembered=remembered,
            choose_host=choose_host,
        )
        for known in knows:
            self.meet(record(known))

    # -- what happens to it ---------------------------------------------------------------

    def meet(self, *records: MemberRecord, sender: int | None = None) -> list[MembershipEffect]:
        """Let a node bring its list over a connection: by default the first of `records`."""
        sender_id = records[0].node_id if sender is None else node_id(sender)
        return self.core.handle_exchange(sender_id, PushPull(b"", REPORT, list(records)))[0]

    def hear(self, sender: int, message: MembershipMessage) -> list[MembershipEffect]:
        return self.core.handle_datagram(node_id(sender), address(sender), message)

    def gossip(self, *updates: MemberRecord, sender: int = 2) -> list[MembershipEffect]:
        return self.hear(sender, Gossip(REPORT, list(updates)))

    def fire(self, timer: object, *, after_s: float = 0.0) -> list[DiscoveryEffect]:
        self.clock.now_s += after_s
        return self.core.handle_timer(timer, has_table=True, members_with_table=frozenset())

    def probe(self) -> tuple[Address, Ping]:
        """Let one period pass; return the ping it sends, and to whom."""
        (ping,) = sent(Ping, self.fire(PERIOD_TIMER))
        return ping

    def probe_of(self, number: int, *, others_answer: bool = True) -> int:
        """Let periods pass until `number` is pinged; return the ping's number."""
        others = {known.address: known.node_id for known in self.core.members.living()}
        while True:
            target, ping = self.probe()
            if target == address(number):
                return ping.probe
            if others_answer:
                self.core.handle_datagram(others[target], target, Ack(ping.probe, REPORT, []))

    # -- what it believes -----------------------------------------------------------------

    def state(self, number: int) -> MemberState:
        known = self.core.members.get(node_id(number))
        assert known is not None
        return known.state

    @property
    def incarnation(self) -> int:
        return self.core.own.incarnation

    @property
    def health(self) -> int:
        return self.core.health.score
