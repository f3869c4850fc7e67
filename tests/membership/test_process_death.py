"""Three signs make a witness, two witnesses make a death."""

from __future__ import annotations

import pytest

from grid.membership import process_death
from grid.membership.process_death import (
    SUBJECTS_MAX,
    TESTIMONY_S,
    WATCHED_MAX,
    WITNESSES_NEEDED,
    ProcessDeaths,
    watched_by,
    watchers_of,
)

from .samples import node_id, record

SUBJECT = node_id(9)
MANY = 20
NOW_S = 100.0


def numbers_watched(own: int, *living: int) -> list[int]:
    records = [record(number) for number in sorted(living)]
    return [watched.pid for watched in watched_by(node_id(own), records)]


def test_next_four_of_the_ring_are_watched() -> None:
    assert WATCHED_MAX == 4
    assert numbers_watched(3, *range(1, 11)) == [4, 5, 6, 7]
    assert numbers_watched(9, *range(1, 11)) == [10, 1, 2, 3]


def test_in_a_small_cluster_everybody_else_is_watched_once() -> None:
    assert numbers_watched(2, 1, 2, 3) == [3, 1]
    assert numbers_watched(1, 1) == []


@pytest.mark.parametrize("size", [2, 3, 5, 6, 30])
def test_every_process_is_watched_by_as_many_as_it_watches(size: int) -> None:
    everybody = range(1, size + 1)
    watchers = [n for own in everybody for n in numbers_watched(own, *everybody)]
    assert sorted(watchers) == sorted(list(everybody) * min(WATCHED_MAX, size - 1))


def test_three_signs_are_proof_in_either_order() -> None:
    tested = ProcessDeaths()
    assert tested.open(SUBJECT, 5)
    assert not tested.dialled(SUBJECT, is_refused=True)
    assert tested.silent(SUBJECT)
    assert tested.open(SUBJECT, 6)
    assert not tested.silent(SUBJECT)
    assert tested.dialled(SUBJECT, is_refused=True)


def test_without_an_ended_connection_nothing_else_counts() -> None:
    tested = ProcessDeaths()
    assert not tested.dialled(SUBJECT, is_refused=True)
    assert not tested.silent(SUBJECT)


def test_connection_that_is_not_refused_closes_the_case_so_that_another_can_be_opened() -> None:
    tested = ProcessDeaths()
    tested.open(SUBJECT, 5)
    assert not tested.silent(SUBJECT)
    assert not tested.dialled(SUBJECT, is_refused=False)
    assert tested.open(SUBJECT, 6)
    assert not tested.dialled(SUBJECT, is_refused=True), "what was seen before counts no more"


def test_collecting_goes_on_when_another_connection_ends() -> None:
    tested = ProcessDeaths()
    assert tested.open(SUBJECT, 5)
    tested.dialled(SUBJECT, is_refused=True)
    assert not tested.open(SUBJECT, 6)
    assert tested.silent(SUBJECT)


def test_ping_is_known_by_its_number_until_the_subject_lives() -> None:
    tested = ProcessDeaths()
    tested.open(SUBJECT, 5)
    assert tested.subject_of(5) == SUBJECT
    assert tested.subject_of(6) is None
    tested.drop(SUBJECT)
    assert tested.subject_of(5) is None
    assert not tested.dialled(SUBJECT, is_refused=True)


def test_stall_voids_own_evidence() -> None:
    tested = ProcessDeaths()
    tested.open(SUBJECT, 5)
    tested.dialled(SUBJECT, is_refused=True)
    tested.void()
    assert not tested.silent(SUBJECT)


def test_two_different_witnesses_are_enough() -> None:
    assert WITNESSES_NEEDED == 2
    tested = ProcessDeaths()
    assert not tested.testify(SUBJECT, node_id(1), MANY, NOW_S)
    assert not tested.testify(SUBJECT, node_id(1), MANY, NOW_S)
    assert tested.testify(SUBJECT, node_id(2), MANY, NOW_S)


def test_with_two_members_the_only_other_one_is_enough() -> None:
    assert ProcessDeaths().testify(SUBJECT, node_id(1), 2, NOW_S)
    assert not ProcessDeaths().testify(SUBJECT, node_id(1), 3, NOW_S)


def test_sign_of_life_voids_what_witnesses_said() -> None:
    tested = ProcessDeaths()
    tested.testify(SUBJECT, node_id(1), MANY, NOW_S)
    tested.drop(SUBJECT)
    assert not tested.testify(SUBJECT, node_id(2), MANY, NOW_S)


def test_testimony_about_one_says_nothing_about_another() -> None:
    tested = ProcessDeaths()
    tested.testify(SUBJECT, node_id(1), MANY, NOW_S)
    assert not tested.testify(node_id(8), node_id(2), MANY, NOW_S)


def test_testimony_is_kept_of_a_bounded_number_of_processes(monkeypatch) -> None:
    assert SUBJECTS_MAX == 256
    monkeypatch.setattr(process_death, "SUBJECTS_MAX", 3)
    tested = ProcessDeaths()
    for number in (10, 11, 12, 13):
        tested.testify(node_id(number), node_id(1), MANY, NOW_S)
    assert len(tested._witnesses) == 3
    assert not tested.testify(node_id(10), node_id(2), MANY, NOW_S), "the oldest was forgotten"
    assert tested.testify(node_id(13), node_id(2), MANY, NOW_S)


def test_witnesses_of_one_process_are_no_more_than_needed() -> None:
    tested = ProcessDeaths()
    for number in range(1, 30):
        tested.testify(SUBJECT, node_id(number), MANY, NOW_S)
    assert len(tested._witnesses[SUBJECT]) == WITNESSES_NEEDED


def test_witnesses_that_are_far_apart_in_time_do_not_add_up() -> None:
    tested = ProcessDeaths()
    tested.testify(SUBJECT, node_id(1), MANY, NOW_S)
    assert not tested.testify(SUBJECT, node_id(2), MANY, NOW_S + TESTIMONY_S)
    assert tested.testify(SUBJECT, node_id(3), MANY, NOW_S + TESTIMONY_S + 0.1)


def test_watchers_of_a_process_are_those_that_keep_a_connection_to_it() -> None:
    for count in (2, 3, 5, 9, 30):
        living = [record(number) for number in range(1, count + 1)]
        for subject in living:
            expected = {w.id for w in living if subject in watched_by(w.id, living)}
            assert {w.id for w in watchers_of(subject.id, living)} == expected
