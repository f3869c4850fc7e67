"""How long a suspect has to object."""

from __future__ import annotations

import dataclasses

import pytest

from grid.membership.suspicion import CONFIRMATIONS_EXPECTED, Suspicions
from grid.types import NodeId

from .samples import OPTIONS, SUSPECT, node_id, record

SUBJECT = node_id(9)


def accusation(by: int, incarnation: int = 0):
    return record(9, SUSPECT, incarnation, by=by)


def durations(living_count: int, accusers: int, *, first: int = 1) -> list[float]:
    """Return when the suspicion is due after each accuser, all at one moment."""
    tested = Suspicions(OPTIONS)
    result = [tested.open(accusation(first), 100.0, living_count)]
    for by in range(first + 1, first + accusers):
        remaining_s = tested.confirm(accusation(by), 100.0)
        if remaining_s is not None:
            result.append(remaining_s)
    return result


def test_three_confirmations_shrink_it_from_ten_to_three_seconds() -> None:
    assert CONFIRMATIONS_EXPECTED == 3
    assert durations(50, 4) == pytest.approx([10.0, 6.5, 4.45, 3.0], abs=0.02)


@pytest.mark.parametrize(
    ("living_count", "expected"),
    [
        (2, [10.0]),
        (3, [10.0, 3.0]),
        (4, [10.0, 5.58, 3.0]),
        (5, [10.0, 6.5, 4.45, 3.0]),
        (1_000, [10.0, 6.5, 4.45, 3.0]),
    ],
)
def test_in_a_small_cluster_fewer_confirmations_do(
    living_count: int, expected: list[float]
) -> None:
    assert durations(living_count, 9) == pytest.approx(expected, abs=0.02)


def test_two_members_alone_wait_the_full_time_whoever_else_is_named() -> None:
    tested = Suspicions(OPTIONS)
    assert tested.open(accusation(1), 0.0, living_count=2) == 10.0
    assert tested.confirm(accusation(2), 1.0) is None
    assert not tested.is_due(SUBJECT, 9.9)
    assert tested.is_due(SUBJECT, 10.0)


def test_same_accuser_confirms_nothing() -> None:
    tested = Suspicions(OPTIONS)
    tested.open(accusation(1), 0.0, 50)
    assert tested.confirm(accusation(1), 1.0) is None
    assert tested.confirm(accusation(2), 1.0) is not None
    assert tested.confirm(accusation(2), 2.0) is None


def test_accusation_of_another_incarnation_confirms_nothing() -> None:
    tested = Suspicions(OPTIONS)
    tested.open(accusation(1, incarnation=4), 0.0, 50)
    assert tested.confirm(accusation(2, incarnation=3), 1.0) is None
    assert tested.confirm(accusation(2, incarnation=5), 1.0) is None


def test_more_accusers_than_expected_are_not_kept() -> None:
    tested = Suspicions(OPTIONS)
    tested.open(accusation(1), 0.0, 50)
    counted = [by for by in range(2, 90) if tested.confirm(accusation(by), 0.0) is not None]
    assert counted == [2, 3, 4]


def test_time_that_has_passed_counts_when_a_confirmation_comes() -> None:
    tested = Suspicions(OPTIONS)
    tested.open(accusation(1), 100.0, 3)
    assert tested.confirm(accusation(2), 102.0) == pytest.approx(1.0)


def test_confirmation_that_comes_late_makes_it_due_at_once() -> None:
    tested = Suspicions(OPTIONS)
    tested.open(accusation(1), 100.0, 3)
    assert tested.confirm(accusation(2), 107.0) == 0.0
    assert tested.is_due(SUBJECT, 107.0)


def test_higher_incarnation_begins_a_new_suspicion() -> None:
    tested = Suspicions(OPTIONS)
    tested.open(accusation(1), 0.0, 50)
    tested.confirm(accusation(2), 0.0)
    assert tested.open(accusation(3, incarnation=1), 9.0, 50) == 10.0
    assert not tested.is_due(SUBJECT, 18.9)


def test_closed_suspicion_is_never_due() -> None:
    tested = Suspicions(OPTIONS)
    tested.open(accusation(1), 0.0, 50)
    tested.close(SUBJECT)
    tested.close(SUBJECT)
    assert not tested.is_due(SUBJECT, 1e9)
    assert tested.confirm(accusation(2), 0.0) is None


def test_timer_that_fires_a_rounding_error_early_still_counts() -> None:
    tested = Suspicions(OPTIONS)
    tested.open(accusation(1), 0.1, 50)
    assert tested.is_due(SUBJECT, 10.1 - 1e-4)
    assert not tested.is_due(SUBJECT, 10.1 - 1e-2)


def test_after_a_stall_every_suspect_has_its_time_anew_with_what_was_confirmed() -> None:
    tested = Suspicions(OPTIONS)
    tested.open(accusation(1), 0.0, 50)
    tested.confirm(accusation(2), 0.0)
    tested.open(record(8, SUSPECT, by=1), 0.0, 50)
    anew: dict[NodeId, float] = dict(tested.restart(20.0))
    assert anew == pytest.approx({SUBJECT: 6.5, node_id(8): 10.0})
    assert not tested.is_due(SUBJECT, 26.4)
    assert tested.is_due(SUBJECT, 26.6)


def test_shortest_time_is_never_longer_than_the_longest() -> None:
    options = dataclasses.replace(OPTIONS, suspicion_max_s=2.0, suspicion_min_s=3.0)
    tested = Suspicions(options)
    assert tested.open(accusation(1), 0.0, 3) == 2.0
    assert tested.confirm(accusation(2), 0.0) == 2.0
