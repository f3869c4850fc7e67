"""How a node finds its cluster, and when it founds one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from grid.membership.discovery import (
    ALONE_GAP_S,
    ANSWERS_WANTED,
    BEACON_TIMER,
    BEACONERS,
    CALLS_AT_ONCE,
    FOUNDING_RETRY_S,
    FOUNDING_TIMER,
    SEED_TIMER,
    WAIT_FOR_LOWER_ID_S,
    DiscoveryEffect,
    FoundCluster,
)
from grid.membership.effects import Exchange, Multicast
from grid.membership.messages import Beacon
from grid.membership.options import DiscoveryOptions
from grid.types import Address, SetTimer

from .samples import (
    DEAD,
    REPORT,
    OneNode,
    address,
    changed,
    delay_of,
    node_id,
    of_kind,
    record,
)


def searching(*knows: int, own: int = 1, remembered: Sequence[Address] = (), **options: object):
    discovery = DiscoveryOptions(**options)  # type: ignore[arg-type]
    return OneNode(own, knows=knows, discovery=discovery, remembered=remembered)


def fire(
    tested: OneNode, timer: str, *, has_table: bool = False, with_table: tuple[int, ...] = ()
) -> list[DiscoveryEffect]:
    members = frozenset(bytes(node_id(number)) for number in with_table)
    return tested.core.handle_timer(timer, has_table=has_table, members_with_table=members)


def called(tested: OneNode, effects: Sequence[object]) -> list[Address]:
    """Return the addresses that are contacted now; nobody answers there."""
    addresses = [exchange.address for exchange in of_kind(Exchange, effects)]
    for unanswered in addresses:
        tested.core.exchange_ended(unanswered, None, None)
    return addresses


def beacon_of(number: int) -> Beacon:
    return Beacon(record(number), 1, REPORT)


# -- beacons --------------------------------------------------------------------------------------


def test_beacons_come_at_0_02_05_and_1_second_and_then_for_ever() -> None:
    tested = searching(beacon_period_s=5.0)
    effects = tested.core.start()
    times = [0.0]
    for _ in range(10):
        assert of_kind(Multicast, effects) == [Multicast(Beacon(record(1), 1, REPORT))]
        times.append(times[-1] + delay_of(BEACON_TIMER, effects))
        effects = fire(tested, BEACON_TIMER, has_table=True)
    assert times[:4] == pytest.approx([0.0, 0.2, 0.5, 1.0])
    gaps = [later - earlier for earlier, later in pairwise(times[3:])]
    assert all(4.0 <= gap <= 6.0 for gap in gaps)
    assert len(set(gaps)) > 1


@pytest.mark.parametrize(("size", "factor"), [(8, 1.0), (16, 2.0), (80, 10.0)])
def test_in_large_clusters_each_node_beacons_more_seldom(size: int, factor: float) -> None:
    assert BEACONERS == 8
    tested = searching(*range(2, size + 1))
    gaps = [delay_of(BEACON_TIMER, fire(tested, BEACON_TIMER)) for _ in range(30)][4:]
    assert all(4.0 * factor <= gap <= 6.0 * factor for gap in gaps)


def test_beacon_tells_the_size_of_the_cluster() -> None:
    (beacon,) = of_kind(Multicast, fire(searching(2, 3), BEACON_TIMER))
    assert beacon.message == Beacon(record(1), 3, REPORT)


def test_new_interfaces_are_announced_as_at_the_start() -> None:
    tested = searching()
    effects: Sequence[object] = tested.core.start()
    for _ in range(6):
        effects = fire(tested, BEACON_TIMER)
    assert delay_of(BEACON_TIMER, effects) > 1
    effects = tested.core.readdress(("10.1.1.1",))
    assert delay_of(BEACON_TIMER, effects) == 0.2
    assert searching(multicast=False).core.readdress(("10.1.1.1",)) == []


def test_stranger_that_beacons_is_contacted_once_at_a_time() -> None:
    tested = searching()
    effects = tested.hear(2, beacon_of(2))
    assert [exchange.address for exchange in of_kind(Exchange, effects)] == [address(2)]
    assert tested.hear(2, beacon_of(2)) == []


def test_stranger_is_contacted_at_the_address_this_node_can_use() -> None:
    tested = OneNode(choose_host=lambda hosts: hosts[-1])
    record_of_two = changed(record(2), hosts=("10.1.1.2", "192.168.0.2"))
    effects = tested.hear(2, Beacon(record_of_two, 1, REPORT))
    assert called(tested, effects) == [Address("192.168.0.2", 7701)]


def test_beacon_of_a_member_contacts_nobody() -> None:
    tested = searching(2)
    assert called(tested, tested.hear(2, beacon_of(2))) == []


def test_in_a_large_cluster_about_four_nodes_answer_a_stranger() -> None:
    size = 40
    answers = 0
    for own in range(1, size + 1):
        tested = OneNode(own, seed=own, knows=[n for n in range(1, size + 1) if n != own])
        answers += len([1 for n in range(50, 60) if called(tested, tested.hear(n, beacon_of(n)))])
    assert 0.6 * ANSWERS_WANTED <= answers / 10 <= 1.4 * ANSWERS_WANTED


# -- founding -------------------------------------------------------------------------------------


def test_node_without_multicast_and_addresses_founds_at_once() -> None:
    tested = searching(multicast=False)
    assert delay_of(FOUNDING_TIMER, tested.core.start()) == 0.0
    assert fire(tested, FOUNDING_TIMER) == [FoundCluster()]


def test_node_alone_founds_after_the_silence() -> None:
    tested = searching(founding_silence_s=2.5)
    assert delay_of(FOUNDING_TIMER, tested.core.start()) == 2.5
    assert fire(tested, FOUNDING_TIMER) == [FoundCluster()]


def test_node_with_a_table_founds_nothing() -> None:
    tested = searching()
    tested.core.start()
    assert fire(tested, FOUNDING_TIMER, has_table=True) == []


def test_lowest_boot_id_founds_while_others_have_no_table() -> None:
    tested = searching(2)
    tested.core.start()
    assert fire(tested, FOUNDING_TIMER) == [FoundCluster()]


def test_higher_boot_id_lets_the_lower_go_first_but_not_for_ever() -> None:
    tested = searching(1, own=2, founding_silence_s=1.0)
    tested.core.start()
    waited_s = 1.0
    while FoundCluster() not in (effects := fire(tested, FOUNDING_TIMER)):
        assert effects == [SetTimer(FOUNDING_TIMER, FOUNDING_RETRY_S)]
        waited_s += FOUNDING_RETRY_S
        assert waited_s <= WAIT_FOR_LOWER_ID_S
    assert waited_s == WAIT_FOR_LOWER_ID_S


def test_dead_node_with_a_lower_boot_id_is_not_waited_for() -> None:
    tested = searching(1, 3, own=2)
    tested.gossip(record(1, DEAD), sender=3)
    tested.core.start()
    assert fire(tested, FOUNDING_TIMER) == [FoundCluster()]


def test_node_never_founds_beside_a_living_member_with_a_table() -> None:
    tested = searching(2, 3)
    tested.core.start()
    for _ in range(100):
        assert fire(tested, FOUNDING_TIMER, with_table=(2,)) == [
            SetTimer(FOUNDING_TIMER, FOUNDING_RETRY_S)
        ]
    tested.gossip(record(2, DEAD), sender=3)
    assert fire(tested, FOUNDING_TIMER, with_table=(2,)) == [FoundCluster()]


# -- seeds and remembered peers -------------------------------------------------------------------


def test_seeds_are_contacted_often_while_alone_and_seldom_afterwards() -> None:
    seeds = (str(address(2)), "10.9.9.9:7701")
    tested = searching(multicast=False, seeds=seeds, beacon_period_s=5.0)
    effects = tested.core.start()
    assert of_kind(Multicast, effects) == []
    assert called(tested, effects) == [address(2), Address("10.9.9.9", 7701)]
    assert delay_of(SEED_TIMER, effects) == ALONE_GAP_S
    assert delay_of(FOUNDING_TIMER, effects) > 0
    tested.meet(record(2), record(3))
    effects = fire(tested, SEED_TIMER, has_table=True)
    assert called(tested, effects) == [Address("10.9.9.9", 7701)]
    assert delay_of(SEED_TIMER, effects) == 5.0
    tested.gossip(record(2, DEAD), sender=3)
    effects = fire(tested, SEED_TIMER, has_table=True)
    assert len(called(tested, effects)) == 2


def test_remembered_peers_are_contacted_after_the_seeds_and_each_once() -> None:
    remembered = [address(3), address(2), address(4)]
    tested = searching(remembered=remembered, seeds=(str(address(2)),))
    assert called(tested, tested.core.start()) == [address(2), address(3), address(4)]


def test_remembered_peers_are_somebody_to_wait_for() -> None:
    tested = searching(multicast=False, remembered=[address(3)], founding_silence_s=1.5)
    assert delay_of(FOUNDING_TIMER, tested.core.start()) == 1.5


def test_many_addresses_are_contacted_in_turns() -> None:
    assert CALLS_AT_ONCE == 8
    remembered = [address(number) for number in range(2, 22)]
    tested = searching(remembered=remembered)
    rounds = [called(tested, tested.core.start())]
    rounds += [called(tested, fire(tested, SEED_TIMER)) for _ in range(4)]
    assert [len(addresses) for addresses in rounds] == [8] * 5
    assert [a for addresses in rounds for a in addresses] == (remembered * 2)[:40]
