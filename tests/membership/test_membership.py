"""The parts wired together: who is heard, and whose datagrams are believed."""

from __future__ import annotations

import pytest

from grid.membership.effects import (
    Exchange,
    Multicast,
    ReportReceived,
    SelfDeclaredDead,
    SendDatagram,
)
from grid.membership.messages import (
    Ack,
    Beacon,
    Dispute,
    Gossip,
    MembershipMessage,
    MemberState,
    Nack,
    Ping,
    PingReq,
    ProcessEnded,
    RelayedAck,
)
from grid.membership.repair import CONTACT_TIMER, EXCHANGE_TIMER
from grid.membership.swim import PERIOD_TIMER
from grid.types import SetTimer

from .samples import (
    ALIVE,
    DEAD,
    LEFT,
    OPTIONS,
    REPORT,
    SUSPECT,
    OneNode,
    address,
    changed,
    changes,
    node_id,
    of_kind,
    record,
    sent,
)

NEWS = [record(9), record(2, DEAD), record(3, SUSPECT, by=4), record(1, SUSPECT, 7, by=4)]
RECORDINGS: list[MembershipMessage] = [
    Ping(1, REPORT, NEWS),
    Ack(1, REPORT, NEWS),
    PingReq(1, node_id(2), 500, REPORT, NEWS),
    RelayedAck(1, REPORT, NEWS),
    Nack(1),
    Gossip(REPORT, NEWS),
    ProcessEnded(node_id(2)),
    Beacon(record(8), 3, REPORT),
]


def view(tested: OneNode) -> list[tuple[int, MemberState, int]]:
    return [(member.pid, member.state, member.incarnation) for member in tested.core.members]


def named(message: object) -> str:
    return type(message).__name__


# -- replay ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", RECORDINGS, ids=named)
def test_nothing_that_an_unknown_boot_id_says_is_believed(message: MembershipMessage) -> None:
    tested = OneNode(knows=(2, 3, 4))
    before = view(tested)
    effects = tested.hear(8, message)
    assert view(tested) == before
    assert of_kind(ReportReceived, effects) == []
    assert tested.health == 0
    # All it leads to is a connection, over which the stranger can prove itself.
    assert [exchange.address for exchange in of_kind(Exchange, effects)] == [address(8)]
    assert len(effects) == 1


@pytest.mark.parametrize("state", [DEAD, LEFT])
@pytest.mark.parametrize("message", RECORDINGS, ids=named)
def test_nothing_that_a_gone_boot_id_says_is_believed(
    message: MembershipMessage, state: MemberState
) -> None:
    tested = OneNode(knows=(2, 3, 4, 8))
    tested.gossip(record(8, state))
    before = view(tested)
    effects = tested.hear(8, message)
    assert view(tested) == before
    # The dead are told so; who left is on its way out.
    expected = [address(8)] if state is DEAD else []
    assert [destination for destination, _ in sent(Dispute, effects)] == expected
    assert len(effects) == len(expected)


@pytest.mark.parametrize("message", RECORDINGS, ids=named)
def test_own_messages_that_come_back_are_ignored(message: MembershipMessage) -> None:
    tested = OneNode(knows=(2, 3, 4))
    before = view(tested)
    assert tested.hear(1, message) == []
    assert view(tested) == before


def test_beacon_in_the_name_of_another_is_ignored() -> None:
    tested = OneNode(knows=(2,))
    assert tested.hear(3, Beacon(record(8), 1, REPORT)) == []


def test_beacon_of_the_dead_is_answered_where_it_lived() -> None:
    tested = OneNode(knows=(2, 3))
    tested.gossip(record(3, DEAD))
    beacon = Beacon(record(3), 1, REPORT)
    # Beacons leave from a socket of their own: their source is no address to answer to.
    effects = tested.core.handle_datagram(node_id(3), address(77), beacon)
    assert [destination for destination, _ in sent(Dispute, effects)] == [address(3)]


def test_dispute_is_heard_even_from_a_stranger() -> None:
    tested = OneNode(knows=(2,))
    assert tested.hear(8, Dispute(b"", node_id(1))) == [SelfDeclaredDead()]


# -- members --------------------------------------------------------------------------------------


def test_start_sets_everything_going() -> None:
    effects = OneNode().core.start()
    timers = {effect.timer: effect.delay_s for effect in of_kind(SetTimer, effects)}
    assert 0 <= timers[PERIOD_TIMER] <= OPTIONS.protocol_period_s
    assert 15 <= timers[EXCHANGE_TIMER] <= 30
    assert 4 <= timers[CONTACT_TIMER] <= 6
    assert len(of_kind(Multicast, effects)) == 1


def test_gossip_of_a_member_is_believed_whatever_it_rides_on() -> None:
    for message in (Ping(1, REPORT, NEWS), Ack(1, REPORT, NEWS), Gossip(REPORT, NEWS)):
        tested = OneNode(knows=(2, 3, 4))
        assert {r.pid for r in changes(tested.hear(4, message))} == {9, 2, 3}
        assert (tested.state(2), tested.state(3), tested.incarnation) == (DEAD, SUSPECT, 8)


@pytest.mark.parametrize(
    "message", [Ping(1, b"load", []), Ack(1, b"load", []), Beacon(record(2), 2, b"load")], ids=named
)
def test_reports_of_living_members_are_passed_on(message: MembershipMessage) -> None:
    effects = OneNode(knows=(2,)).hear(2, message)
    assert of_kind(ReportReceived, effects) == [ReportReceived(record(2), b"load")]


def test_report_of_a_leaver_is_not_passed_on() -> None:
    effects = OneNode(knows=(2,)).gossip(record(2, LEFT))
    assert of_kind(ReportReceived, effects) == []
    assert changes(effects) == [record(2, LEFT)]


def test_leaver_tells_every_living_member_directly() -> None:
    tested = OneNode(knows=(2, 3, 4, 5))
    tested.gossip(record(4, DEAD), record(5, SUSPECT, by=2))
    farewell = Gossip(REPORT, [record(1, LEFT)])
    assert tested.core.leave() == [SendDatagram(address(n), farewell) for n in (2, 3, 5)]
    listener = OneNode(2, knows=(1,))
    assert changes(listener.hear(1, farewell)) == [record(1, LEFT)]


def test_new_addresses_are_announced_by_beacon_and_only_if_they_differ() -> None:
    tested = OneNode(knows=(2,))
    (beacon,) = of_kind(Multicast, tested.core.readdress(record(1).hosts))
    assert tested.incarnation == 0
    hosts = ("10.5.5.5",)
    (beacon,) = of_kind(Multicast, tested.core.readdress(hosts))
    assert isinstance(beacon.message, Beacon)
    assert beacon.message.sender == tested.core.own == changed(record(1, ALIVE, 1), hosts=hosts)


def test_unknown_timer_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match="unknown timer"):
        OneNode().fire("tea")
