"""One worker, step by step: what it notes of what it did."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from grid.chaos.availability import Availability
from grid.chaos.gate import Gate
from grid.chaos.keyspace import KeySpace
from grid.chaos.target import Entries
from grid.chaos.worker import Worker
from grid.errors import GridError, OperationError
from grid.types import PARTITION_COUNT
from grid.verification.history import Kind, Outcome
from tests.chaos.fakes import FakeCluster, FakeMap

KEYS = KeySpace(keys_per_partition=1, counters=2)
CALLS = {name for name in vars(Entries) if not name.startswith("_")}


class BrokenMap(FakeMap):
    """Nothing works; every error is the same."""

    def __init__(self, error: GridError) -> None:
        super().__init__(FakeCluster(), "broken")
        self.error = error

    def __getattribute__(self, name: str) -> object:
        if name in CALLS:

            def fail(*arguments: object, **options: object) -> None:
                raise self.error

            return fail
        return super().__getattribute__(name)


def worker_on(entries: FakeMap) -> Worker:
    gate, availability = Gate(1), Availability(PARTITION_COUNT)
    return Worker(3, entries, KEYS, gate, availability, pause_s=0.0, seed=1)


def test_half_of_the_acknowledged_writes_are_synchronous() -> None:
    worker = worker_on(FakeMap(FakeCluster(), "chaos"))
    for _ in range(5_000):
        worker.step()
    writes = [one for one in worker.operations if one.kind is not Kind.READ]
    assert len(writes) == worker.acknowledged
    assert 0.45 < sum(one.is_sync for one in writes) / len(writes) < 0.55
    assert set(Counter(one.kind for one in worker.operations)) == set(Kind)
    assert {one.partition for one in worker.operations} == set(range(PARTITION_COUNT))


def test_writes_have_values_of_their_own_and_async_ones_a_version() -> None:
    worker = worker_on(FakeMap(FakeCluster(), "chaos"))
    for _ in range(500):
        worker.step()
    puts = [one for one in worker.operations if one.kind is Kind.PUT]
    assert len({one.value for one in puts}) == len(puts)
    assert all(one.version for one in puts if not one.is_sync)
    assert all(one.client == 3 and one.begin_s <= one.end_s < math.inf for one in puts)


def test_applies_return_sums_as_increments_do() -> None:
    cluster = FakeCluster()
    worker = worker_on(FakeMap(cluster, "chaos"))
    for _ in range(1_000):
        worker.step()
    increments = [one for one in worker.operations if one.is_increment]
    applies = [one for one in increments if one.kind is Kind.APPLY]
    assert 1_000 / 100 < len(applies) < len(increments)
    assert all(one.is_sync for one in applies)
    for key in KEYS.counters:
        sums = [one.value for one in increments if one.key == key]
        assert sums == [*range(1, len(sums) + 1)]
        assert cluster.data["chaos", key] == len(sums)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (OperationError("no", "not_applied"), Outcome.REFUSED),
        (OperationError("perhaps", "unknown"), Outcome.UNKNOWN),
        (OperationError("in part", "applied"), Outcome.UNKNOWN),
        (GridError("nobody knows"), Outcome.UNKNOWN),
    ],
)
def test_failed_writes_are_noted_by_what_may_have_become_of_them(
    error: GridError, outcome: Outcome
) -> None:
    worker = worker_on(BrokenMap(error))
    for _ in range(200):
        worker.step()
    noted = [one for one in worker.operations if one.kind is not Kind.APPLY]
    assert {one.outcome for one in noted} == {outcome}
    assert Kind.READ not in {one.kind for one in noted}


def test_apply_of_one_that_was_applied_counts_although_its_sum_is_not_known() -> None:
    worker = worker_on(BrokenMap(OperationError("the answer is lost", "applied")))
    for _ in range(1_000):
        worker.step()
    applies = [one for one in worker.operations if one.kind is Kind.APPLY]
    alone = [one for one in applies if one.is_acknowledged]
    assert 0 < len(alone) < len(applies)
    assert {(one.value, one.is_sync) for one in alone} == {(None, True)}
    assert worker.acknowledged == len(alone)


def test_what_nobody_expects_ends_the_worker_and_is_kept() -> None:
    cluster = FakeCluster()
    worker = worker_on(FakeMap(cluster, "chaos"))
    cluster.lock = None
    worker.run()
    assert isinstance(worker.error, (AttributeError, TypeError))
