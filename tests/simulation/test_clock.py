"""Virtual time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from grid.simulation.clock import Clock


def test_calls_run_in_order_of_time_then_of_scheduling() -> None:
    clock = Clock()
    ran: list[tuple[float, str]] = []

    def note(name: str) -> Callable[[], None]:
        return lambda: ran.append((clock.now_s, name))

    for delay_s, name in [(2.0, "d"), (1.0, "a"), (1.0, "b"), (0.0, "first"), (1.0, "c")]:
        clock.call_later(delay_s, note(name))
    clock.run_until(5.0)
    assert ran == [(0.0, "first"), (1.0, "a"), (1.0, "b"), (1.0, "c"), (2.0, "d")]
    assert clock.now_s == 5.0


def test_call_due_at_the_end_runs_and_a_later_one_waits() -> None:
    clock = Clock()
    ran: list[str] = []
    clock.call_later(1.0, lambda: ran.append("due"))
    clock.call_later(1.5, lambda: ran.append("later"))
    clock.run_until(1.0)
    assert ran == ["due"]
    clock.run_until(2.0)
    assert ran == ["due", "later"]


def test_call_scheduled_by_a_call_counts_from_its_time() -> None:
    clock = Clock()
    times: list[float] = []

    def tick() -> None:
        times.append(clock.now_s)
        clock.call_later(0.5, tick)

    clock.call_later(0.5, tick)
    clock.run_until(2.0)
    assert times == [0.5, 1.0, 1.5, 2.0]


def test_running_until_true_stops_at_the_call_that_made_it_so() -> None:
    clock = Clock()
    ran: list[int] = []
    for number in range(5):
        clock.call_later(float(number), lambda: ran.append(1))
    assert clock.run_until_true(lambda: len(ran) == 3, 10.0)
    assert (len(ran), clock.now_s) == (3, 2.0)


@pytest.mark.parametrize("delay_s", [None, 11.0])
def test_running_until_true_gives_up_at_the_limit(delay_s: float | None) -> None:
    clock = Clock()
    if delay_s is not None:
        clock.call_later(delay_s, lambda: None)
    assert not clock.run_until_true(lambda: False, 10.0)
    assert clock.now_s == 10.0


def test_condition_that_holds_already_runs_nothing() -> None:
    clock = Clock()
    clock.call_later(0.0, lambda: pytest.fail("nothing was to run"))
    assert clock.run_until_true(lambda: True, 10.0)
