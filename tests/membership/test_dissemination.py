"""Which updates ride on the next datagram."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.membership.dissemination import Dissemination, chunks, record_bytes
from grid.membership.messages import UPDATES_BYTES_MAX

from .samples import SUSPECT, changed, record


@pytest.mark.parametrize("member_count", [1, 2, 7, 100])
def test_update_is_told_as_often_as_the_limit_and_no_more(member_count: int) -> None:
    queue = Dissemination()
    queue.add(record(2))
    limit = 3 * math.ceil(math.log(member_count + 1))
    assert [len(queue.take(member_count)) for _ in range(limit + 2)] == [1] * limit + [0, 0]


def test_newer_update_replaces_the_older_and_is_told_anew() -> None:
    queue = Dissemination()
    queue.add(record(2))
    queue.take(1)
    queue.add(record(2, SUSPECT))
    told = [queue.take(1) for _ in range(4)]
    assert told == [[record(2, SUSPECT)]] * 3 + [[]]


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
    assert len(told[0]) < len(members)
    # Two datagrams have room for all: none rides twice while another has not ridden once.
    assert {member.id for updates in told[:2] for member in updates} == {m.id for m in members}


def test_small_update_passes_one_that_has_no_room() -> None:
    queue = Dissemination()
    long_name = "x" * (UPDATES_BYTES_MAX - 100)
    queue.add(changed(record(2), name=long_name))
    queue.add(changed(record(3), name=long_name))
    queue.add(record(4))
    assert [update.id[-1] for update in queue.take(9)] == [2, 4]


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 300), max_size=60))
def test_chunks_keep_order_and_each_fits_a_datagram(name_lengths: list[int]) -> None:
    members = [changed(record(n), name="x" * length) for n, length in enumerate(name_lengths)]
    slices = chunks(members)
    assert [member for part in slices for member in part] == members
    assert all(sum(map(record_bytes, part)) <= UPDATES_BYTES_MAX for part in slices)
    assert len(slices) == 1 or all(slices)


def test_empty_list_is_one_empty_chunk() -> None:
    assert chunks([]) == [[]]
