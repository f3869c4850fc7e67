"""How much a submitter may have unfinished."""

from __future__ import annotations

import threading

from grid.client.tasks.budget import Budget

DEADLINE_S = 60.0


def test_tasks_are_counted_in_and_out() -> None:
    budget = Budget(tasks_max=2)
    assert [budget.take(1, waits=False) for _ in range(3)] == [True, True, False]
    budget.give_back(1)
    assert budget.take(1, waits=False)


def test_bytes_are_bounded_but_a_single_call_always_fits() -> None:
    budget = Budget(bytes_max=10)
    assert budget.take(11, waits=False)
    assert not budget.take(1, waits=False)
    budget.give_back(11)
    assert budget.take(4, waits=False)
    assert budget.take(6, waits=False)
    assert not budget.take(1, waits=False)


def test_whoever_waits_goes_on_when_there_is_room_for_him() -> None:
    budget = Budget(bytes_max=10)
    budget.take(5, waits=False)
    budget.take(5, waits=False)
    taken = threading.Event()

    def take() -> None:
        budget.take(8, waits=True)
        taken.set()

    waiting = threading.Thread(target=take, daemon=True)
    waiting.start()
    budget.give_back(5)
    assert not taken.is_set()
    budget.give_back(5)
    assert taken.wait(DEADLINE_S)
    waiting.join(DEADLINE_S)
    assert not budget.take(3, waits=False)
