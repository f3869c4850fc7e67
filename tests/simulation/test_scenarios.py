"""How long until everybody agrees: after a split, and after everybody has come at once."""

from __future__ import annotations

import pytest

from grid.simulation import scenarios
from grid.simulation.scenarios import join_at_once, split_and_heal


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("multicast", [True, False])
@pytest.mark.parametrize("count", [2, 3, 4, 7, 16])
def test_halves_agree_within_a_minute_of_the_heal(count: int, multicast: bool, seed: int) -> None:
    assert split_and_heal(count, seed, multicast=multicast) < 60.0


@pytest.mark.parametrize("split_s", [0.5, 3.0, 8.0, 10.0, 12.0, 20.0, 300.0])
@pytest.mark.parametrize("multicast", [True, False])
def test_halves_agree_however_long_they_were_apart(multicast: bool, split_s: float) -> None:
    assert split_and_heal(6, 4, split_s=split_s, multicast=multicast) < 60.0


@pytest.mark.parametrize("seed", range(3))
def test_halves_agree_on_a_network_that_loses_a_tenth(seed: int) -> None:
    assert split_and_heal(8, seed, loss=0.1) < 60.0


def test_large_halves_agree() -> None:
    assert split_and_heal(40, 1) < 60.0


def test_hundred_nodes_started_at_once_agree_within_half_a_minute() -> None:
    assert join_at_once(100, 1) < 30.0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_few_nodes_agree_at_once(count: int, seed: int) -> None:
    assert join_at_once(count, seed) < 15.0


def test_nodes_that_come_one_by_one_on_a_bad_network_agree() -> None:
    assert join_at_once(30, 1, loss=0.1, spread_s=5.0) < 30.0


def test_time_depends_on_the_seed_alone() -> None:
    assert split_and_heal(5, 1) == split_and_heal(5, 1)
    assert len({split_and_heal(5, seed) for seed in range(6)}) > 1


def test_crowd_that_never_agrees_is_an_error_that_names_the_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scenarios, "LIMIT_S", 20.0)
    with pytest.raises(AssertionError, match="seed 7: 3 nodes did not converge"):
        join_at_once(3, 7, loss=1.0)
    with pytest.raises(AssertionError, match="seed 7: the halves of 2 nodes"):
        split_and_heal(2, 7, loss=1.0)
