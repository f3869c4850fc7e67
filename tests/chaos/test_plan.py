"""Who is killed when, by the seed."""

from __future__ import annotations

import dataclasses

from grid.chaos.plan import IN_MOTION_SHARE, Plan, Wishes

WISHES = Wishes(minutes=1, nodes=4, kill=True, restart=True, rate=1.0, seed=5)
NAMES = ["a", "b", "c", "d"]


def test_same_seed_gives_the_same_plan() -> None:
    first, second = Plan(WISHES), Plan(WISHES)
    other = Plan(dataclasses.replace(WISHES, seed=6))
    plans = [
        [(plan.victim(NAMES), plan.restart_delay_s()) for _ in range(20)]
        for plan in (first, second, other)
    ]
    assert plans[0] == plans[1] != plans[2]


def test_about_one_kill_in_five_is_in_motion_if_nodes_come_back() -> None:
    plan = Plan(WISHES)
    found = []
    for _ in range(2_000):
        plan.victim(NAMES)
        found.append(plan.is_next_in_motion)
    assert abs(sum(found) / len(found) - IN_MOTION_SHARE) < 0.05
    for other in (dataclasses.replace(WISHES, restart=False), dataclasses.replace(WISHES, nodes=2)):
        lonely = Plan(other)
        lonely.victim(NAMES)
        assert not lonely.is_next_in_motion


def test_the_first_node_is_spared_if_so_wished() -> None:
    plan = Plan(dataclasses.replace(WISHES, spares_first=True))
    assert {plan.victim(NAMES) for _ in range(200)} == {"b", "c", "d"}


def test_two_nodes_are_left_unless_another_comes() -> None:
    assert Plan(WISHES).may_kill(3)
    assert not Plan(WISHES).may_kill(2)
    pair = dataclasses.replace(WISHES, nodes=2)
    assert Plan(pair).may_kill(2)
    assert not Plan(pair).may_kill(1)
    assert not Plan(dataclasses.replace(pair, restart=False)).may_kill(2)
    assert not Plan(dataclasses.replace(WISHES, kill=False)).may_kill(4)


def test_kill_is_due_after_enough_writes_and_the_run_over_after_enough_kills() -> None:
    plan = Plan(dataclasses.replace(WISHES, writes_per_kill=10, kills_max=2))
    assert not plan.is_due(9)
    assert plan.is_due(10)
    assert not plan.is_over(1)
    assert plan.is_over(2)
    assert not Plan(WISHES).is_over(1_000)


def test_delays_stay_within_their_bounds() -> None:
    plan = Plan(WISHES)
    for _ in range(50):
        assert 1.0 <= plan.restart_delay_s() <= 4.0
        assert 0 <= plan.calm_delay_s() <= 0.5
        assert 0 <= plan.motion_delay_s() <= 0.05
