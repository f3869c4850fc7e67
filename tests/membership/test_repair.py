"""Push/pull of lists, the recently dead, and who gives way when a split heals."""

from __future__ import annotations

import pytest

from grid.membership import repair
from grid.membership.effects import (
    Exchange,
    MembershipEffect,
    ReportReceived,
    SelfDeclaredDead,
    SendDatagram,
)
from grid.membership.messages import Dispute, Ping, PushPull
from grid.membership.repair import (
    CONTACT_TIMER,
    CONTACTS_MAX,
    EXCHANGE_TIMER,
    GONE_TOLD_MAX,
    SCALED_ABOVE,
    UNSETTLED,
    standing_of,
)
from grid.types import Address

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
    delay_of,
    node_id,
    of_kind,
    record,
    sent,
)

HIGH, MIDDLE, LOW = b"\xff", b"\x80", b"\x01"


def push_pull(*records, standing: bytes = MIDDLE) -> PushPull:
    return PushPull(standing, REPORT, list(records))


def disputant(*knows: int) -> OneNode:
    return OneNode(knows=knows, standing=lambda: MIDDLE)


def dispute(tested: OneNode, sender: int, standing: bytes) -> list[MembershipEffect]:
    return tested.hear(sender, Dispute(standing, tested.core.own.id))


# -- push/pull ------------------------------------------------------------------------------------


def test_list_begins_with_oneself_and_tells_of_the_lately_gone() -> None:
    tested = OneNode(knows=(2, 3, 4))
    tested.gossip(record(3, SUSPECT, by=2), record(4, DEAD))
    _, reply = tested.core.handle_exchange(node_id(2), push_pull(record(2)))
    assert reply.report == REPORT
    assert reply.records == [record(1), record(2), record(3, SUSPECT, by=2), record(4, DEAD)]


def test_list_tells_of_a_bounded_number_of_the_gone_the_latest_first(monkeypatch) -> None:
    assert GONE_TOLD_MAX == 64
    monkeypatch.setattr(repair, "GONE_TOLD_MAX", 2)
    tested = OneNode(knows=(2, 3, 4, 5))
    tested.gossip(record(3, DEAD), record(4, LEFT), record(5, DEAD))
    _, reply = tested.core.handle_exchange(node_id(2), push_pull(record(2)))
    assert reply.records[2:] == [record(5, DEAD), record(4, LEFT)]


def test_both_sides_of_an_exchange_learn() -> None:
    asker, asked = OneNode(1, knows=(3,)), OneNode(2, knows=(4,))
    (exchange,) = of_kind(Exchange, asker.core.exchange_ended(address(9), None, None)) or of_kind(
        Exchange, asker.hear(2, Dispute(MIDDLE, node_id(77)))
    )
    assert exchange.address == address(2)
    effects, reply = asked.core.handle_exchange(node_id(1), exchange.message)
    assert {r.pid for r in changes(effects)} == {1, 3}
    effects = asker.core.exchange_ended(exchange.address, node_id(2), reply)
    assert {r.pid for r in changes(effects)} == {2, 4}
    assert of_kind(ReportReceived, effects) == [ReportReceived(record(2), REPORT)]


def test_exchange_goes_to_another_member_every_period() -> None:
    tested = OneNode(knows=(2, 3))
    met = set()
    for _ in range(40):
        effects = tested.fire(EXCHANGE_TIMER)
        assert 0.8 * 30 <= delay_of(EXCHANGE_TIMER, effects) <= 1.2 * 30
        (exchange,) = of_kind(Exchange, effects)
        met.add(exchange.address)
        tested.core.exchange_ended(exchange.address, None, None)
    assert met == {address(2), address(3)}


def test_node_alone_exchanges_nothing() -> None:
    assert of_kind(Exchange, OneNode().fire(EXCHANGE_TIMER)) == []


@pytest.mark.parametrize(("size", "factor"), [(2, 1), (32, 1), (33, 2), (64, 2), (65, 3), (600, 6)])
def test_exchanges_slow_down_in_large_clusters(size: int, factor: int) -> None:
    assert SCALED_ABOVE == 32
    tested = OneNode()
    tested.meet(*(record(number) for number in range(2, size + 1)))
    period_s = OPTIONS.exchange_period_s * factor
    delay_s = delay_of(EXCHANGE_TIMER, tested.fire(EXCHANGE_TIMER))
    assert 0.8 * period_s <= delay_s <= 1.2 * period_s


def test_one_exchange_with_an_address_at_a_time() -> None:
    tested = OneNode()
    meet = Dispute(MIDDLE, node_id(77))
    assert len(of_kind(Exchange, tested.hear(2, meet))) == 1
    assert tested.hear(2, meet) == []
    tested.core.exchange_ended(address(2), None, None)
    assert len(of_kind(Exchange, tested.hear(2, meet))) == 1


def test_exchanges_under_way_are_bounded() -> None:
    tested = OneNode()
    meet = Dispute(MIDDLE, node_id(777))
    begun = [n for n in range(2, 60) if of_kind(Exchange, tested.hear(n, meet))]
    assert len(begun) == CONTACTS_MAX == 16
    tested.core.exchange_ended(address(2), None, None)
    assert of_kind(Exchange, tested.hear(59, meet))


def test_exchange_without_an_answer_changes_nothing() -> None:
    tested = OneNode()
    tested.hear(2, Dispute(MIDDLE, node_id(77)))
    assert tested.core.exchange_ended(address(2), None, None) == []
    assert tested.core.members.living_count == 1


def test_own_address_and_seeds_that_are_this_node_are_not_called_again() -> None:
    tested = OneNode()
    meet = Dispute(MIDDLE, node_id(77))
    assert tested.hear(1, meet) == []
    assert tested.core.handle_datagram(node_id(5), address(1), meet) == []
    alias = Address("10.77.0.1", 7701)
    assert of_kind(Exchange, tested.core.handle_datagram(node_id(5), alias, meet))
    assert tested.core.exchange_ended(alias, node_id(1), push_pull(record(1))) == []
    assert tested.core.handle_datagram(node_id(5), alias, meet) == []


def test_exchange_with_oneself_changes_nothing() -> None:
    tested = OneNode()
    effects, reply = tested.core.handle_exchange(node_id(1), push_pull(record(1), record(2)))
    assert effects == []
    assert reply.records == [record(1)]


def test_called_connection_proves_who_answers_so_the_predecessor_is_dead() -> None:
    tested = OneNode(knows=(2, 3))
    successor = changed(record(4), hosts=record(3).hosts)
    reply = PushPull(b"", REPORT, [successor])
    ended = tested.core.exchange_ended(successor.address, successor.node_id, reply)
    assert record(3, DEAD) in changes(ended)


def test_connection_from_a_node_does_not_prove_that_it_is_the_one_that_answers_there() -> None:
    tested = OneNode(knows=(2, 3))
    successor = changed(record(4), hosts=record(3).hosts)
    assert record(3, DEAD) not in changes(tested.meet(successor))
    assert tested.state(4) is ALIVE


def test_node_held_for_dead_gets_nothing_but_its_death_and_is_not_believed() -> None:
    tested = OneNode(knows=(2, 3), standing=lambda: MIDDLE)
    tested.gossip(record(3, DEAD))
    effects, reply = tested.core.handle_exchange(node_id(3), push_pull(record(3), record(9)))
    assert effects == []
    assert reply == push_pull(record(3, DEAD))


def test_answer_of_a_node_that_has_gone_meanwhile_is_not_believed() -> None:
    tested = OneNode(knows=(2, 3))
    tested.hear(77, Dispute(MIDDLE, node_id(76)))
    tested.gossip(record(3, LEFT))
    reply = push_pull(record(3), record(9), record(2, DEAD))
    assert tested.core.exchange_ended(address(3), node_id(3), reply) == []
    assert tested.state(2) is ALIVE


# -- disputes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("standing", [LOW, MIDDLE, HIGH])
def test_paused_node_gives_way_whatever_the_standing(standing: bytes) -> None:
    assert dispute(disputant(2), 2, standing) == [SelfDeclaredDead()]


def test_node_alone_gives_way_to_a_stranger_that_holds_it_for_dead() -> None:
    assert dispute(disputant(), 9, LOW) == [SelfDeclaredDead()]


@pytest.mark.parametrize("theirs", [1, 9])
@pytest.mark.parametrize("standing", [LOW, MIDDLE, HIGH])
def test_of_mutual_deaths_the_lower_standing_yields_then_the_higher_boot_id(
    theirs: int, standing: bytes
) -> None:
    tested = OneNode(5, knows=(theirs, 3), standing=lambda: MIDDLE)
    tested.gossip(record(theirs, DEAD), sender=3)
    effects = dispute(tested, theirs, standing)
    if standing == HIGH or (standing == MIDDLE and theirs == 1):
        assert effects[-1] == SelfDeclaredDead()
    else:
        assert sent(Dispute, effects) == [(address(theirs), Dispute(MIDDLE, node_id(theirs)))]
        assert len(effects) == 1


@pytest.mark.parametrize("standings", [(LOW, HIGH), (HIGH, LOW), (MIDDLE, MIDDLE)])
def test_exactly_one_of_two_that_hold_each_other_for_dead_yields(
    standings: tuple[bytes, bytes],
) -> None:
    first = OneNode(1, knows=(2, 3), standing=lambda: standings[0])
    second = OneNode(2, knows=(1, 3), standing=lambda: standings[1])
    first.gossip(record(2, DEAD), sender=3)
    second.gossip(record(1, DEAD), sender=3)
    outcomes = [dispute(first, 2, standings[1]), dispute(second, 1, standings[0])]
    assert [SelfDeclaredDead() in effects for effects in outcomes].count(True) == 1


@pytest.mark.parametrize(("own", "theirs"), [(UNSETTLED, HIGH), (MIDDLE, UNSETTLED)])
def test_mutual_deaths_wait_until_both_have_a_standing(own: bytes, theirs: bytes) -> None:
    tested = OneNode(5, knows=(2, 3), standing=lambda: own)
    tested.gossip(record(2, DEAD), sender=3)
    assert dispute(tested, 2, theirs) == []


def test_who_gives_way_takes_its_side_along_and_nobody_of_the_other() -> None:
    tested = OneNode(5, knows=(2, 3), standing=lambda: LOW)
    tested.gossip(record(2, DEAD), sender=3)
    effects = dispute(tested, 2, HIGH)
    told = SendDatagram(address(3), Dispute(UNSETTLED, bytes(node_id(3))))
    assert effects == [told, SelfDeclaredDead()]

    own_side = OneNode(3, knows=(5,), standing=lambda: LOW)
    assert dispute(own_side, 5, UNSETTLED) == [SelfDeclaredDead()]
    other_side = OneNode(4, knows=(5, 6), standing=lambda: HIGH)
    other_side.gossip(record(5, DEAD), sender=6)
    assert dispute(other_side, 5, UNSETTLED) == []


@pytest.mark.parametrize("standing", [LOW, HIGH])
def test_own_death_in_a_list_is_settled_as_a_dispute(standing: bytes) -> None:
    paused, mutual = disputant(2, 3), disputant(2, 3)
    mutual.gossip(record(2, DEAD), sender=3)
    told = push_pull(record(1, DEAD), record(9), standing=standing)
    assert paused.core.exchange_ended(address(2), node_id(2), told) == [SelfDeclaredDead()]
    # Over a connection there is nothing to answer to; whoever dials next settles it.
    expected = [SelfDeclaredDead()] if standing == HIGH else []
    effects = mutual.core.exchange_ended(address(2), node_id(2), told)
    assert [effect for effect in effects if not isinstance(effect, SendDatagram)] == expected
    assert node_id(9) not in paused.core.members


def test_leaver_has_nothing_to_dispute_any_more() -> None:
    tested = disputant(2)
    tested.core.leave()
    assert dispute(tested, 2, HIGH) == []


def test_dispute_meant_for_a_predecessor_is_an_invitation() -> None:
    tested = OneNode(knows=(2,))
    effects = tested.hear(9, Dispute(HIGH, node_id(77)))
    assert [exchange.address for exchange in of_kind(Exchange, effects)] == [address(9)]
    assert tested.hear(2, Dispute(HIGH, node_id(77))) == []


def test_larger_side_stays_then_the_higher_term_then_the_lower_coordinator() -> None:
    low_id, high_id = node_id(1), node_id(2)
    assert standing_of(3, 1, high_id) > standing_of(2, 9, low_id)
    assert standing_of(256, 0, high_id) > standing_of(255, 0, high_id)
    assert standing_of(2, 256, high_id) > standing_of(2, 255, low_id)
    assert standing_of(2, 1, low_id) > standing_of(2, 1, high_id)


def test_without_tables_the_side_of_the_lowest_living_boot_id_stays() -> None:
    assert OneNode(2, knows=(1, 3)).core._repair._standing() == standing_of(0, 0, node_id(1))
    assert OneNode(2, knows=(3,)).core._repair._standing() == standing_of(0, 0, node_id(2))


# -- the recently dead ----------------------------------------------------------------------------


def called(tested: OneNode) -> list[Address]:
    effects = tested.fire(CONTACT_TIMER)
    assert 0.8 * 5 <= delay_of(CONTACT_TIMER, effects) <= 1.2 * 5
    assert sent(Dispute, effects) == [], "only what was heard is disputed"
    return [destination for destination, _ in sent(Ping, effects)]


def test_recently_dead_are_called_again_and_again() -> None:
    tested = disputant(2, 3, 4)
    tested.gossip(record(3, DEAD), record(4, DEAD))
    calls = [call for _ in range(40) for call in called(tested)]
    assert len(calls) == 40
    assert set(calls) == {address(3), address(4)}


def test_who_has_left_or_was_replaced_is_not_called() -> None:
    tested = disputant(2, 3, 4)
    tested.gossip(record(3, LEFT), record(4, DEAD))
    tested.gossip(changed(record(5), hosts=record(4).hosts))
    assert called(tested) == []
    assert called(OneNode()) == []
