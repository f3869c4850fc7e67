"""On which node a task shall run."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from grid.executor.placement import backlog_for, choose

from .samples import load, node


def test_node_without_a_free_worker_is_not_chosen() -> None:
    nodes = [load(1, own_in_flight=1), load(2)]
    for seed in range(10):
        chosen = choose(nodes, None, Random(seed), backlog=0)
        assert chosen is nodes[1]


def test_nobody_is_chosen_when_nobody_has_a_slot() -> None:
    nodes = [load(1, own_in_flight=1), load(2, workers=0)]
    assert choose(nodes, node(1), Random(1), backlog=0) is None
    assert choose([], None, Random(1), backlog=1) is None


@pytest.mark.parametrize(("backlog", "slots"), [(0, 3), (1, 6), (64, 195)])
def test_as_many_tasks_as_the_backlog_may_wait_behind_each_worker(backlog: int, slots: int) -> None:
    tested = load(1, workers=3)
    while choose([tested], None, Random(1), backlog=backlog) is tested:
        tested.own_in_flight += 1
    assert tested.own_in_flight == slots


def test_node_of_the_data_is_chosen_however_busy_if_it_has_a_slot() -> None:
    nodes = [load(1, workers=8, reported=500), *(load(number) for number in range(2, 9))]
    for seed in range(20):
        assert choose(nodes, node(1), Random(seed), backlog=0) is nodes[0]


def test_full_node_of_the_data_is_passed_over() -> None:
    nodes = [load(1, own_in_flight=1), load(2)]
    assert choose(nodes, node(1), Random(1), backlog=0) is nodes[1]


@pytest.mark.parametrize("change", ["reported", "own_in_flight", "own_sends"])
def test_shorter_expected_wait_wins_between_two(change: str) -> None:
    busy, idle = load(1, workers=4), load(2, workers=4)
    setattr(busy, change, 2)
    for seed in range(10):
        assert choose([busy, idle], None, Random(seed), backlog=0) is idle


def test_expected_wait_is_per_worker_and_counts_the_new_task() -> None:
    assert load(1, workers=4, reported=7).expected_wait == 2.0
    assert load(1, workers=2, reported=1, own_in_flight=3, own_sends=1).expected_wait == 2.0
    assert load(1, workers=2, reported=3, own_in_flight=3, own_sends=2).expected_wait == 3.0


def test_machine_that_others_use_is_expected_to_be_slower() -> None:
    free, busy = load(1, workers=4), load(2, workers=4)
    busy.free_share = 0.5
    assert busy.expected_wait == 2 * free.expected_wait
    for seed in range(10):
        assert choose([busy, free], None, Random(seed), backlog=0) is free
    busy.free_share = 0.0
    assert busy.expected_wait < 100 * free.expected_wait


@pytest.mark.parametrize(
    ("task_s", "backlog"), [(None, 1), (1.0, 1), (0.01, 1), (0.005, 2), (0.001, 10), (0.0, 64)]
)
def test_backlog_is_some_milliseconds_of_work(task_s: float | None, backlog: int) -> None:
    assert backlog_for(task_s) == backlog


def test_two_random_choices_spare_the_busiest_and_do_not_herd_on_the_idlest() -> None:
    nodes = [load(number, workers=100, reported=number) for number in range(1, 11)]
    random = Random(1)
    counts: Counter[int] = Counter()
    for _ in range(2000):
        chosen = choose(nodes, None, random, backlog=0)
        assert chosen is not None
        counts[chosen.reported] += 1
    assert counts[10] == 0
    assert 2000 * 0.15 < counts[1] < 2000 * 0.25  # Nine of 45 pairs hold it.
