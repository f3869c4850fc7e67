"""Large results are sent as their submitter takes them, in the order in which they were ready."""

from __future__ import annotations

import random

from grid.executor.room import LEAVE_BYTES_MAX, ResultRoom

HALF = LEAVE_BYTES_MAX // 2


def test_a_submitter_that_keeps_up_gets_its_results_at_once() -> None:
    room = ResultRoom()
    assert room.ask(1, "s", HALF) == [1]
    assert room.ask(2, "s", HALF) == [2]


def test_beyond_the_bound_results_wait_for_those_before_them() -> None:
    room = ResultRoom()
    assert room.ask(1, "s", HALF) == [1]
    assert room.ask(2, "s", HALF + 1) == []
    assert room.ask(3, "s", 1) == [], "in their order"
    assert room.over(1) == [2, 3]


def test_a_single_result_always_fits() -> None:
    room = ResultRoom()
    assert room.ask(1, "s", 10 * LEAVE_BYTES_MAX) == [1]
    assert room.ask(2, "s", 1) == []


def test_submitters_do_not_wait_for_each_other() -> None:
    room = ResultRoom()
    room.behind("slow")
    assert room.ask(1, "slow", HALF) == []
    assert room.ask(2, "quick", HALF) == [2]


def test_who_is_behind_gets_nothing_until_it_has_caught_up() -> None:
    room = ResultRoom()
    room.ask(1, "s", HALF)
    room.behind("s")
    assert room.ask(2, "s", 1) == []
    assert room.over(1) == []
    assert room.caught_up("s") == [2]


def test_a_worker_that_dies_makes_room() -> None:
    room = ResultRoom()
    room.ask(1, "s", LEAVE_BYTES_MAX)
    room.ask(2, "s", 1)
    room.ask(3, "s", 1)
    assert room.over(2) == []
    assert room.over(1) == [3]


def test_a_worker_that_never_asked_is_nobody() -> None:
    assert ResultRoom().over(7) == []


def test_everybody_gets_leave_in_the_end_and_never_too_many_at_a_time() -> None:
    chance = random.Random(5)
    room = ResultRoom()
    waiting = {worker: chance.randrange(1, LEAVE_BYTES_MAX) for worker in range(200)}
    sending: dict[int, int] = {}
    asked: list[int] = []
    for worker, size in waiting.items():
        asked += room.ask(worker, "s", size)
    while asked or sending:
        for worker in asked:
            sending[worker] = waiting.pop(worker)
        assert len(sending) == 1 or sum(sending.values()) <= LEAVE_BYTES_MAX
        done = chance.choice(sorted(sending))
        del sending[done]
        asked = room.over(done)
    assert waiting == {}
