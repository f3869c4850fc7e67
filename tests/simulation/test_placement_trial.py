"""Placement and stealing under load, with reports that are ten task lengths old."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from bench.placement import HERD_TASKS, at_random, least_reported
from grid.executor.placement import Policy, choose
from grid.simulation.placement_trial import PlacementTrial, Plan, ResponseTimes

TASKS = 20_000
TOLERANCE = 1.15
"""What old reports may cost against knowing every queue at every moment."""


@cache
def measured(
    *, steals: bool = True, is_fresh: bool = False, policy: Policy = choose, tasks: int = TASKS
) -> ResponseTimes:
    plan = Plan(tasks=tasks, steals=steals, is_fresh=is_fresh)
    return PlacementTrial(plan, 1, policy).run()


Figure = Callable[[ResponseTimes], float]


@pytest.mark.parametrize(
    "figure", [lambda times: times.mean, lambda times: times.p99], ids=["mean", "p99"]
)
def test_old_reports_with_stealing_cost_little_more_than_fresh_ones(figure: Figure) -> None:
    fresh = measured(steals=False, is_fresh=True)
    assert figure(measured()) <= TOLERANCE * figure(fresh)


def test_without_stealing_old_reports_cost_twice_as_much() -> None:
    assert measured(steals=False).mean > 1.5 * measured().mean


def test_least_reported_load_herds_and_is_worse_than_random() -> None:
    herding = measured(steals=False, policy=least_reported, tasks=HERD_TASKS)
    assert herding.mean > measured(steals=False, policy=at_random, tasks=HERD_TASKS).mean


def test_same_seed_gives_the_same_run() -> None:
    plan = Plan(tasks=500)
    assert PlacementTrial(plan, 7).run() == PlacementTrial(plan, 7).run()


def test_every_task_gets_a_result_when_everybody_is_overloaded() -> None:
    plan = Plan(nodes=3, workers=1, submitters=2, load=3.0, tasks=1000)
    assert PlacementTrial(plan, 1).run().mean > 10
