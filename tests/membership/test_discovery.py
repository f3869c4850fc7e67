"""How a node finds its cluster, and when it founds one."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from grid.membership.discovery import (
    BEACON_TIMER,
    FOUNDING_RETRY_S,
    FOUNDING_TIMER,
    SEED_TIMER,
    WAIT_FOR_LOWER_ID_S,
    Discovery,
    DiscoveryEffect,
    FoundCluster,
)
from grid.membership.effects import Multicast, SendDatagram
from grid.membership.messages import Beacon, Sync
from grid.membership.options import DiscoveryOptions
from grid.membership.swim import Swim
from grid.types import Address, SetTimer

from .samples import DEAD, address, node_id, of_kind, record, swim


def discovery(own: Swim, **options: object) -> Discovery:
    return Discovery(own, DiscoveryOptions(**options), Random(1), lambda: b"report")  # type: ignore[arg-type]


def fire(
    tested: Discovery, timer: str, *, has_table: bool = False, with_table: tuple[int, ...] = ()
) -> list[DiscoveryEffect]:
    members = frozenset(bytes(node_id(number)) for number in with_table)
    return tested.handle_timer(timer, has_table=has_table, members_with_table=members)


def delay_of(timer: str, effects: list[DiscoveryEffect]) -> float:
    return next(e.delay_s for e in of_kind(SetTimer, effects) if e.timer == timer)


def test_beacons_come_at_0_02_05_and_1_second_and_then_for_ever() -> None:
    tested = discovery(swim(), beacon_period_s=5.0)
    effects = tested.start()
    times = [0.0]
    for _ in range(10):
        assert of_kind(Multicast, effects) == [Multicast(Beacon(record(1), b"report"))]
        times.append(times[-1] + delay_of(BEACON_TIMER, effects))
        effects = fire(tested, BEACON_TIMER, has_table=True)
    assert times[:4] == pytest.approx([0.0, 0.2, 0.5, 1.0])
    gaps = [later - earlier for earlier, later in pairwise(times[3:])]
    assert all(4.0 <= gap <= 6.0 for gap in gaps)
    assert len(set(gaps)) > 1


def test_node_without_multicast_and_seeds_founds_at_once() -> None:
    tested = discovery(swim(), multicast=False)
    effects = tested.start()
    assert effects == [SetTimer(FOUNDING_TIMER, 0.0)]
    assert fire(tested, FOUNDING_TIMER) == [FoundCluster()]


def test_node_alone_founds_after_the_silence() -> None:
    tested = discovery(swim(), founding_silence_s=2.5)
    assert delay_of(FOUNDING_TIMER, tested.start()) == 2.5
    assert fire(tested, FOUNDING_TIMER) == [FoundCluster()]


def test_node_with_a_table_founds_nothing() -> None:
    tested = discovery(swim())
    tested.start()
    assert fire(tested, FOUNDING_TIMER, has_table=True) == []


def test_lowest_boot_id_founds_while_others_have_no_table() -> None:
    own = swim(1)
    own.members.merge(record(2))
    tested = discovery(own)
    tested.start()
    assert fire(tested, FOUNDING_TIMER) == [FoundCluster()]


def test_higher_boot_id_lets_the_lower_go_first_but_not_for_ever() -> None:
    own = swim(2)
    own.members.merge(record(1))
    tested = discovery(own, founding_silence_s=1.0)
    tested.start()
    waited_s = 1.0
    while FoundCluster() not in (effects := fire(tested, FOUNDING_TIMER)):
        assert effects == [SetTimer(FOUNDING_TIMER, FOUNDING_RETRY_S)]
        waited_s += FOUNDING_RETRY_S
        assert waited_s <= WAIT_FOR_LOWER_ID_S
    assert waited_s == WAIT_FOR_LOWER_ID_S


def test_dead_node_with_a_lower_boot_id_is_not_waited_for() -> None:
    own = swim(2)
    own.members.merge(record(1, DEAD))
    tested = discovery(own)
    tested.start()
    assert fire(tested, FOUNDING_TIMER) == [FoundCluster()]


def test_node_never_founds_beside_a_living_member_with_a_table() -> None:
    own = swim(1)
    own.members.merge(record(2))
    tested = discovery(own)
    tested.start()
    for _ in range(100):
        assert fire(tested, FOUNDING_TIMER, with_table=(2,)) == [
            SetTimer(FOUNDING_TIMER, FOUNDING_RETRY_S)
        ]
    own.members.merge(record(2, DEAD))
    assert fire(tested, FOUNDING_TIMER, with_table=(2,)) == [FoundCluster()]


def test_seeds_are_contacted_often_until_one_is_known_and_seldom_afterwards() -> None:
    own = swim(1)
    seeds = (str(address(2)), "10.9.9.9:7701")
    tested = discovery(own, multicast=False, seeds=seeds, beacon_period_s=5.0)
    effects = tested.start()
    assert of_kind(Multicast, effects) == []
    contacted = [e.address for e in of_kind(SendDatagram, effects)]
    assert contacted == [address(2), Address("10.9.9.9", 7701)]
    assert all(
        isinstance(e.message, Sync) and e.message.nonce for e in of_kind(SendDatagram, effects)
    )
    assert delay_of(SEED_TIMER, effects) == 0.2
    assert delay_of(FOUNDING_TIMER, effects) > 0
    own.members.merge(record(2))
    effects = fire(tested, SEED_TIMER, has_table=True)
    assert [e.address for e in of_kind(SendDatagram, effects)] == [Address("10.9.9.9", 7701)]
    assert delay_of(SEED_TIMER, effects) == 5.0
    own.members.merge(record(2, DEAD))
    effects = fire(tested, SEED_TIMER, has_table=True)
    assert len(of_kind(SendDatagram, effects)) == 2
