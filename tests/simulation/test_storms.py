"""All faults mixed at random: a few seeds in each run of the tests, and those that once failed."""

from __future__ import annotations

import pytest

from .storms import cluster_storm, crowd_storm, weather


@pytest.mark.parametrize("seed", range(20))
def test_crowd_agrees_after_a_storm(seed: int) -> None:
    assert crowd_storm(seed) == []


@pytest.mark.parametrize("seed", range(15))
def test_cluster_agrees_after_a_storm(seed: int) -> None:
    assert cluster_storm(seed) == []


@pytest.mark.parametrize("seed", [229])
def test_crowd_agrees_after_a_storm_that_once_broke_it(seed: int) -> None:
    assert crowd_storm(seed) == []


@pytest.mark.parametrize("seed", [137])
def test_cluster_agrees_after_a_storm_that_once_broke_it(seed: int) -> None:
    assert cluster_storm(seed) == []


def test_storms_are_of_every_kind() -> None:
    plans = [weather(seed) for seed in range(200)]
    assert {plan.is_harsh for plan in plans} == {False, True}
    assert {plan.discovery.multicast for plan in plans} == {False, True}
    assert len({plan.nodes for plan in plans}) > 5
    assert max(plan.faults.loss for plan in plans) == 0.05


def test_storm_repeats_itself() -> None:
    assert weather(3) == weather(3)
    assert crowd_storm(3) == crowd_storm(3)
