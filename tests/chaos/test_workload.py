"""All workers together on a cluster in memory."""

from __future__ import annotations

import pytest

from grid.chaos.keyspace import KeySpace
from grid.chaos.workload import THREADS_PER_CLIENT, Workload
from grid.errors import GridError
from tests.chaos.fakes import FakeClient, FakeCluster


def workload_on(cluster: FakeCluster) -> Workload:
    keys = KeySpace(keys_per_partition=1)
    return Workload([FakeClient(cluster), FakeClient(cluster)], keys, rate=20_000.0, seed=1)


def test_operations_are_taken_once_while_nobody_works() -> None:
    workload = workload_on(FakeCluster())
    workload.start()
    try:
        while workload.acknowledged() < 100:
            workload.check()
        first = workload.hold()
        assert workload.unjudged() == 0
        assert {one.client for one in first} == set(range(2 * THREADS_PER_CLIENT))
        workload.go_on()
        while workload.unjudged() < 100:
            workload.check()
        second = workload.hold()
        assert min(one.begin_s for one in second) > max(one.end_s for one in first)
    finally:
        workload.end()


def test_failure_of_a_worker_is_everybodys() -> None:
    cluster = FakeCluster()
    cluster.lock = None
    workload = workload_on(cluster)
    workload.start()
    try:
        with pytest.raises(GridError, match="a client failed"):
            workload.hold()
    finally:
        workload.end()


def test_workload_that_was_never_started_ends() -> None:
    workload_on(FakeCluster()).end()
