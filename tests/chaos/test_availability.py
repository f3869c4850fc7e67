"""How long a partition was waited for."""

from __future__ import annotations

from grid.chaos.availability import Availability


def test_time_from_the_first_attempt_to_the_next_success_counts() -> None:
    availability = Availability(4)
    availability.begin(2, 10.0)
    availability.fail(2)
    availability.begin(2, 11.0)
    availability.succeed(2, 13.5)
    assert (availability.longest_s, availability.longest_partition) == (3.5, 2)
    assert availability.longest_since_s == 10.0


def test_success_of_one_begins_the_wait_of_another_anew() -> None:
    availability = Availability(4)
    availability.begin(1, 0.0)
    availability.begin(1, 0.5)
    availability.succeed(1, 1.0)
    availability.succeed(1, 1.8)
    assert availability.longest_s == 1.0


def test_nobody_waits_between_a_success_and_the_next_attempt() -> None:
    availability = Availability(4)
    for begin_s in (0.0, 100.0):
        availability.begin(1, begin_s)
        availability.succeed(1, begin_s + 0.25)
    assert availability.longest_s == 0.25


def test_pause_ends_all_waits_and_they_count_until_then() -> None:
    availability = Availability(4)
    availability.begin(3, 1.0)
    availability.fail(3)
    availability.pause(3.0)
    availability.begin(3, 50.0)
    availability.succeed(3, 50.1)
    assert availability.longest_s == 2.0
