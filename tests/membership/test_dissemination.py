"""Which updates ride on the next datagram."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.membership.dissemination import Dissemination, record_bytes
from grid.membership.messages import UPDATES_BYTES_MAX, MemberState

from .samples import ALIVE, DEAD, LEFT, SUSPECT, changed, record


def accused(number: int, by: int, incarnation: int = 0):
    return record(number, SUSPECT, incarnation, by=by)


@pytest.mark.parametrize("member_count", [1, 2, 7, 100, 1_000])
def test_update_is_told_as_often_as_the_limit_and_no_more(member_count: int) -> None:
    queue = Dissemination()
    queue.add(record(2))
    limit = 3 * math.ceil(math.log(member_count + 1))
    assert [len(queue.take(member_count)) for _ in range(limit + 2)] == [1] * limit + [0, 0]
    assert len(queue) == 0


@pytest.mark.parametrize("state", [ALIVE, DEAD, LEFT])
def test_newer_update_replaces_the_older_and_is_told_anew(state: MemberState) -> None:
    queue = Dissemination()
    queue.add(record(2))
    queue.take(1)
    queue.add(record(2, state, 1))
    told = [queue.take(1) for _ in range(4)]
    assert told == [[record(2, state, 1)]] * 3 + [[]]


def test_suspicions_of_different_accusers_travel_side_by_side() -> None:
    queue = Dissemination()
    queue.add(record(9))
    for by in (1, 2, 3):
        queue.add(accused(9, by))
    assert queue.take(50) == [accused(9, 1), accused(9, 2), accused(9, 3)]


def test_same_accusers_suspicion_is_told_once_only() -> None:
    queue = Dissemination()
    queue.add(accused(9, 1))
    queue.add(accused(9, 1, incarnation=1))
    assert queue.take(50) == [accused(9, 1, incarnation=1)]


@pytest.mark.parametrize("state", [ALIVE, DEAD, LEFT])
def test_end_of_a_suspicion_replaces_all_accusations(state: MemberState) -> None:
    queue = Dissemination()
    for by in (1, 2, 3):
        queue.add(accused(9, by))
    queue.add(record(8))
    queue.add(record(9, state, 1))
    assert queue.take(50) == [record(8), record(9, state, 1)]


def test_accusations_are_forgotten_one_by_one_when_told_often_enough() -> None:
    queue = Dissemination()
    queue.add(accused(9, 1))
    queue.take(1)
    queue.add(accused(9, 2))
    told = [[update.accuser[-1] for update in queue.take(1)] for _ in range(4)]
    assert [sorted(accusers) for accusers in told] == [[1, 2], [1, 2], [2], []]
    assert not queue._accusers


def test_those_told_least_often_go_first() -> None:
    queue = Dissemination()
    queue.add(record(2))
    queue.take(100)
    queue.add(record(3))
    assert queue.take(100) == [record(3), record(2)]


def test_datagram_stays_within_its_budget_and_the_rest_waits_its_turn() -> None:
    queue = Dissemination()
    members = [record(number) for number in range(40)]
    for member in members:
        queue.add(member)
    told = [queue.take(40) for _ in range(8)]
    assert all(sum(map(record_bytes, updates)) <= UPDATES_BYTES_MAX for updates in told)
    # Four datagrams have room for all: none rides twice while another has not ridden once.
    assert len(told[0]) >= 10
    assert {member.id for updates in told[:4] for member in updates} == {m.id for m in members}


def test_small_update_passes_one_that_has_no_room() -> None:
    queue = Dissemination()
    long_name = "x" * (UPDATES_BYTES_MAX - 100)
    queue.add(changed(record(2), name=long_name))
    queue.add(changed(record(3), name=long_name))
    queue.add(record(4))
    assert [update.id[-1] for update in queue.take(9)] == [2, 4]


def test_record_too_large_for_any_datagram_is_not_queued() -> None:
    queue = Dissemination()
    queue.add(record(2))
    queue.add(changed(record(2, ALIVE, 1), name="x" * UPDATES_BYTES_MAX))
    assert len(queue) == 0, "what was said before is void all the same"


def test_what_the_receiver_must_hear_goes_first_and_outside_the_count() -> None:
    queue = Dissemination()
    about = accused(9, 1)
    for _ in range(50):
        assert queue.take(1, about) == [about]
    queue.add(record(2))
    assert [queue.take(1, about) for _ in range(4)] == [[about, record(2)]] * 3 + [[about]]


def test_what_the_receiver_must_hear_counts_for_the_budget() -> None:
    queue = Dissemination()
    for number in range(40):
        queue.add(record(number))
    about = changed(accused(99, 1), name="x" * 500)
    updates = queue.take(40, about)
    assert updates[0] is about
    assert sum(map(record_bytes, updates)) <= UPDATES_BYTES_MAX
    assert len(updates) > 1


CLAIMS = st.builds(
    lambda number, state, by, length: changed(
        record(number, state, by=by if state is SUSPECT else None), name="x" * length
    ),
    st.integers(1, 6),
    st.sampled_from(MemberState),
    st.integers(10, 13),
    st.sampled_from([1, 1, 60, 400, 1_000]),
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.lists(st.one_of(CLAIMS, st.integers(1, 50)), max_size=40))
def test_queue_keeps_its_books_whatever_is_added_and_taken(steps) -> None:
    queue = Dissemination()
    for step in steps:
        if isinstance(step, int):
            updates = queue.take(step)
            assert sum(map(record_bytes, updates)) <= UPDATES_BYTES_MAX
            assert len({(u.id, u.accuser) for u in updates}) == len(updates)
        else:
            queue.add(step)
        kept = {(n, a) for n, accusers in queue._accusers.items() for a in accusers}
        assert {key for key in queue._updates if key[1]} == kept
        assert len(queue) <= 6 * 5
