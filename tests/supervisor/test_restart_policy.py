"""Restarts are bounded, with growing pauses, and old deaths are forgiven."""

from __future__ import annotations

import random

import pytest

from grid.supervisor.restart_policy import PAUSES_S, WINDOW_S, RestartPolicy


def test_pauses_grow_until_it_is_given_up() -> None:
    policy = RestartPolicy()
    assert [policy.pause_after_death_s(100.0) for _ in range(7)] == [*PAUSES_S, None, None]
    assert list(PAUSES_S) == sorted(PAUSES_S)


def test_rare_deaths_get_the_first_pause_for_ever() -> None:
    policy = RestartPolicy()
    pauses = {policy.pause_after_death_s(number * WINDOW_S) for number in range(50)}
    assert pauses == {PAUSES_S[0]}


@pytest.mark.parametrize(("later_s", "pause_s"), [(9.999, 2.0), (10.0, 1.0), (10.001, 1.0)])
def test_death_is_forgiven_when_the_window_has_passed(later_s: float, pause_s: float) -> None:
    policy = RestartPolicy(pauses_s=(1.0, 2.0), window_s=10.0)
    assert policy.pause_after_death_s(0.0) == 1.0
    assert policy.pause_after_death_s(later_s) == pause_s


def test_giving_up_ends_when_the_deaths_are_forgiven() -> None:
    policy = RestartPolicy(pauses_s=(1.0, 2.0), window_s=10.0)
    assert [policy.pause_after_death_s(now_s) for now_s in (0.0, 1.0, 2.0)] == [1.0, 2.0, None]
    assert policy.pause_after_death_s(11.5) == 2.0, "the death at 2 s still counts"
    assert policy.pause_after_death_s(30.0) == 1.0


def test_policy_without_pauses_never_restarts() -> None:
    assert RestartPolicy(pauses_s=()).pause_after_death_s(5.0) is None


def test_two_things_are_judged_apart() -> None:
    first, second = RestartPolicy(), RestartPolicy()
    for _ in PAUSES_S:
        first.pause_after_death_s(1.0)
    assert first.pause_after_death_s(1.0) is None
    assert second.pause_after_death_s(1.0) == PAUSES_S[0]


@pytest.mark.parametrize("seed", range(5))
def test_any_history_is_judged_by_the_deaths_within_the_window(seed: int) -> None:
    generator = random.Random(seed)
    policy = RestartPolicy(pauses_s=(1.0, 2.0, 3.0), window_s=10.0)
    deaths_s: list[float] = []
    now_s = 0.0
    for _ in range(200):
        now_s += generator.expovariate(1 / 4)
        deaths_s.append(now_s)
        recent = sum(now_s - death_s < 10.0 for death_s in deaths_s)
        expected = [1.0, 2.0, 3.0][recent - 1] if recent <= 3 else None
        assert policy.pause_after_death_s(now_s) == expected
