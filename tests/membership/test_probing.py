"""Whom to ping, which pings are unanswered, how long to wait."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from grid.membership import probing
from grid.membership.members import MemberList
from grid.membership.probing import (
    DIRECT_WAIT_FIRST_S,
    DIRECT_WAIT_MAX_S,
    DIRECT_WAIT_MIN_S,
    MIXED_AT_ONCE,
    RELAYS_MAX,
    ROUND_TRIPS_KEPT,
    ROUND_TRIPS_NEEDED,
    Prober,
    Relay,
)

from .samples import DEAD, LEFT, SUSPECT, address, node_id, record

OWN = node_id(1)


def members(*numbers: int) -> MemberList:
    result = MemberList(record(1))
    for number in numbers:
        result.merge(record(number))
    return result


def prober(seed: int = 1) -> Prober:
    return Prober(Random(seed))


def targets(tested: Prober, known: MemberList, count: int) -> list[int]:
    chosen = [tested.next_target(known, OWN) for _ in range(count)]
    return [target.pid for target in chosen if target is not None]


def after_round_trips(*round_trips_s: float) -> float:
    tested = prober()
    for round_trip_s in round_trips_s:
        probe = tested.begin(node_id(2), 100.0, 102.0)
        tested.answered(probe.number, node_id(2), 100.0 + round_trip_s)
    return tested.direct_wait_s


# -- whom to ping ---------------------------------------------------------------------------------


def test_each_pass_pings_everybody_once_in_another_order() -> None:
    tested, known = prober(), members(*range(2, 12))
    passes = [targets(tested, known, 10) for _ in range(5)]
    assert all(sorted(numbers) == list(range(2, 12)) for numbers in passes)
    assert len({tuple(numbers) for numbers in passes}) > 1


def test_node_alone_pings_nobody() -> None:
    assert prober().next_target(members(), OWN) is None


def test_suspects_stay_targets_and_the_gone_are_passed_over() -> None:
    tested, known = prober(), members(2, 3, 4, 5)
    targets(tested, known, 1)
    for claim in (record(3, DEAD), record(4, LEFT), record(5, SUSPECT)):
        known.merge(claim)
    assert set(targets(tested, known, 8)) == {2, 5}


def test_newcomers_enter_the_pass_at_random_places() -> None:
    places: set[int] = set()
    for seed in range(40):
        tested, known = prober(seed), members(*range(2, 8))
        targets(tested, known, 6)  # One whole pass, and the next one is drawn below.
        targets(tested, known, 1)
        known.merge(record(9))
        tested.add_newcomers([node_id(9)])
        places.add(targets(tested, known, 6).index(9))
    assert places == set(range(6))


def test_many_newcomers_are_shuffled_among_the_rest_of_the_pass() -> None:
    tested, known = prober(), members(*range(2, 5))
    targets(tested, known, 1)
    newcomers = list(range(10, 11 + MIXED_AT_ONCE))
    for number in newcomers:
        known.merge(record(number))
    tested.add_newcomers([node_id(number) for number in newcomers])
    order = targets(tested, known, len(newcomers) + 2)
    assert set(newcomers) < set(order)
    assert len(set(order)) == len(order)
    assert [number for number in order if number >= 10] != newcomers


@pytest.mark.parametrize("size", [2, 5, 60])
def test_target_is_pinged_again_within_two_passes(size: int) -> None:
    numbers = range(2, size + 1)
    order = targets(prober(), members(*numbers), 20 * size)
    for number in numbers:
        places = [place for place, target in enumerate(order) if target == number]
        gaps = [later - earlier for earlier, later in pairwise(places)]
        assert max(gaps) <= 2 * (size - 1) - 1


@pytest.mark.parametrize("size", [8, 30, 100])
def test_helpers_are_different_members_neither_suspected_nor_excluded(size: int) -> None:
    known = members(*range(2, size + 1))
    known.merge(record(2, DEAD))
    known.merge(record(4, SUSPECT, by=3))
    excluded = frozenset((OWN, node_id(3)))
    tested, chosen_in_all = prober(), Counter[int]()
    for _ in range(20 * size):
        helpers = [helper.pid for helper in tested.choose_helpers(known, 3, excluded)]
        assert len(set(helpers)) == 3
        chosen_in_all.update(helpers)
    assert set(chosen_in_all) == set(range(5, size + 1))


@pytest.mark.parametrize(("others", "expected"), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3)])
def test_small_cluster_has_fewer_helpers(others: int, expected: int) -> None:
    known = members(2, *range(3, 3 + others))
    helpers = prober().choose_helpers(known, 3, frozenset((OWN, node_id(2))))
    assert len({helper.id for helper in helpers}) == expected


def test_no_helpers_are_chosen_when_none_are_wanted() -> None:
    assert prober().choose_helpers(members(*range(2, 40)), 0, frozenset((OWN,))) == []


# -- own probes -----------------------------------------------------------------------------------


def test_probes_overlap_and_each_is_answered_by_itself() -> None:
    tested = prober()
    first, second = (tested.begin(node_id(number), 0.0, 2.0) for number in (2, 3))
    assert first.number != second.number
    assert tested.answered(second.number, node_id(3), 0.1)
    assert tested.get(first.number) is first
    assert tested.get(second.number) is None


def test_only_the_target_itself_answers_a_probe() -> None:
    tested = prober()
    probe = tested.begin(node_id(2), 0.0, 2.0)
    assert not tested.answered(probe.number, node_id(3), 0.1)
    assert not tested.answered(probe.number + 1, node_id(2), 0.1)
    assert tested.answered(probe.number, node_id(2), 0.1)
    assert not tested.answered(probe.number, node_id(2), 0.1)


def test_only_a_helper_that_was_asked_answers_for_the_target() -> None:
    tested = prober()
    probe = tested.begin(node_id(2), 0.0, 2.0)
    probe.helpers = (node_id(3), node_id(4))
    assert tested.answered_through(probe.number, node_id(5)) is None
    assert tested.answered_through(probe.number, node_id(4)) == node_id(2)
    assert tested.answered_through(probe.number, node_id(3)) is None


def test_helper_that_says_no_is_counted_once_and_strangers_are_not() -> None:
    tested = prober()
    probe = tested.begin(node_id(2), 0.0, 2.0)
    probe.helpers = (node_id(3), node_id(4))
    for helper in (3, 3, 9):
        tested.helper_heard(probe.number, node_id(helper))
    assert probe.helpers_heard == {node_id(3)}


def test_numbers_of_two_runs_do_not_meet() -> None:
    assert abs(prober(1).next_number() - prober(2).next_number()) > 1_000_000


def test_stall_voids_probes_and_pings_for_others() -> None:
    tested = prober()
    probe = tested.begin(node_id(2), 0.0, 2.0)
    number = tested.relay(Relay(node_id(2), node_id(3), address(3), 7))
    tested.void()
    assert tested.close(probe.number) is None
    assert tested.relay_answered(number, node_id(2)) is None


# -- the direct wait ------------------------------------------------------------------------------


def test_direct_wait_is_fixed_until_enough_round_trips_are_known() -> None:
    assert prober().direct_wait_s == DIRECT_WAIT_FIRST_S == 0.5
    assert after_round_trips(*[0.05] * (ROUND_TRIPS_NEEDED - 1)) == 0.5
    assert after_round_trips(*[0.05] * ROUND_TRIPS_NEEDED) == pytest.approx(0.15)


def test_direct_wait_is_three_times_the_95th_percentile() -> None:
    ordered = [number / 1000 for number in range(1, ROUND_TRIPS_KEPT + 1)]
    Random(5).shuffle(ordered)
    assert after_round_trips(*ordered) == pytest.approx(3 * 0.060)


@pytest.mark.parametrize(
    ("round_trip_s", "bound_s"), [(0.0001, DIRECT_WAIT_MIN_S), (0.9, DIRECT_WAIT_MAX_S)]
)
def test_direct_wait_stays_within_its_bounds(round_trip_s: float, bound_s: float) -> None:
    assert after_round_trips(*[round_trip_s] * 20) == bound_s


def test_old_round_trips_are_forgotten() -> None:
    slow, fast = [0.3] * ROUND_TRIPS_KEPT, [0.04] * ROUND_TRIPS_KEPT
    assert after_round_trips(*slow, *fast) == pytest.approx(0.12)


# -- pings for others -----------------------------------------------------------------------------


def test_ping_for_another_is_answered_by_its_subject_only_and_once() -> None:
    tested = prober()
    relay = Relay(node_id(2), node_id(3), address(3), 7)
    number = tested.relay(relay)
    assert tested.relay_answered(number, node_id(4)) is None
    assert tested.relay_answered(number, node_id(2)) is relay
    assert tested.relay_answered(number, node_id(2)) is None
    assert tested.relay_expired(number) is None


def test_oldest_ping_for_another_is_forgotten_beyond_the_bound(monkeypatch) -> None:
    assert RELAYS_MAX == 256
    monkeypatch.setattr(probing, "RELAYS_MAX", 2)
    tested = prober()
    numbers = [tested.relay(Relay(node_id(2), node_id(3), address(3), asked)) for asked in range(3)]
    expired = [tested.relay_expired(number) for number in numbers]
    assert [relay.asker_probe for relay in expired if relay is not None] == [1, 2]
