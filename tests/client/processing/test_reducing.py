"""`reduce`: each entry counts once, wherever it is and whatever happens meanwhile."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest

from grid import OperationTimeoutError, PartitionLostError
from grid.client.code.roots import pickle_once
from grid.client.entries.entry_operations import MISSING
from grid.client.processing.means import KILL_AFTER_S, Means
from grid.client.processing.reducing import (
    PARTITIONS_MAX,
    SLICE_S,
    ReduceCall,
    Reducing,
    groups,
    run_reduce,
)
from grid.client.processing.turns import Turns
from grid.client.processing.waits import Waits
from grid.errors import TaskTimeoutError
from grid.storage.messages import Scan
from grid.storage.options import StorageOptions
from grid.types import PARTITION_COUNT
from grid.wire.keys import encode_key
from tests.client.fake_tasks import FakeTasks, at_node
from tests.client.fakes import DEADLINE_S, FakeCluster, FakeShell, Fault

clusters: list[FakeCluster] = []
"""Where functions that are called by name find the time."""


@pytest.fixture
def cluster() -> FakeCluster:
    made = FakeCluster()
    clusters[:] = [made]
    users = FakeShell(made).map()
    users.put_all({number: number for number in range(1000)})
    return made


def value_of(_: Any, value: Any) -> Any:
    return value


def slow_value_of(_: Any, value: Any) -> Any:
    clusters[0].now_s += SLICE_S / 4
    return value


def reducing(
    cluster: FakeCluster,
    tasks: FakeTasks,
    map_fn: Callable[[Any, Any], Any] = value_of,
    combine: Callable[[Any, Any], Any] = operator.add,
    timeout_s: float | None = None,
) -> Waits[Any]:
    core = FakeShell(cluster).core
    means = Means(core, StorageOptions(), tasks, Turns(), b"")
    return Reducing(means, "m", pickle_once((map_fn, combine)), combine, timeout_s).run()


def result_of(call: Waits[Any]) -> Any:
    try:
        until = next(call)
        while True:
            until = call.send(until.is_over)
    except StopIteration as end:
        return end.value


def test_all_partitions_are_grouped_by_their_owners() -> None:
    cluster = FakeCluster(nodes=3)
    cluster.lose(5)
    core = FakeShell(cluster).core
    found = groups(core)
    assert sorted(p for group in found for p in group) == list(range(PARTITION_COUNT))
    assert max(map(len, found)) == PARTITIONS_MAX
    owners = [{core.owner_of(p) for p in group} for group in found]
    assert all(len(of_group) == 1 for of_group in owners)
    assert len({*owners[0], *owners[1], *owners[2]}) == 3  # No node waits for the others' turns.


def test_it_is_the_plain_loop(cluster: FakeCluster):
    tasks = FakeTasks(cluster)
    assert result_of(reducing(cluster, tasks)) == sum(range(1000))
    assert len(tasks.sent) == PARTITION_COUNT // PARTITIONS_MAX
    assert {timeout_s for _, timeout_s in tasks.sent} == {DEADLINE_S + KILL_AFTER_S}
    assert result_of(reducing(cluster, tasks, lambda key, value: (key, value), max)) == (999, 999)


def test_of_nothing_comes_nothing():
    cluster = FakeCluster()
    assert result_of(reducing(cluster, FakeTasks(cluster))) is MISSING


def test_a_single_entry_is_not_combined():
    cluster = FakeCluster()
    FakeShell(cluster).map()["ann"] = None
    assert result_of(reducing(cluster, FakeTasks(cluster))) is None


def test_a_task_that_dies_is_run_again_and_counts_once(cluster: FakeCluster):
    tasks = FakeTasks(cluster)
    tasks.deaths = 3
    assert result_of(reducing(cluster, tasks)) == sum(range(1000))


def test_partitions_that_move_before_or_while_they_are_read_count_once():
    cluster = FakeCluster()
    users = FakeShell(cluster).map()
    users.put_all({f"{{tag}}{n}": b"x" * 100_000 for n in range(30)})
    users.put_all({number: b"" for number in range(100)})
    tagged = encode_key("{tag}", 100)[0]
    to_move = {p: 1 for p in range(0, PARTITION_COUNT, 3)} | {tagged: 2}

    def meddle(ask: Any) -> Fault | None:
        """Have some partitions move before they are read, the tagged one after its first pages."""
        if isinstance(ask.request, Scan):
            partition_id = ask.request.epochs[0][0] if ask.request.epochs else tagged
            if to_move.get(partition_id) and (partition_id != tagged or ask.request.scan):
                to_move[partition_id] -= 1
                cluster.move(partition_id, 1 - (cluster.owners[partition_id] or 0))
        return None

    tasks = FakeTasks(cluster)
    tasks.worker.meddle = meddle
    assert result_of(reducing(cluster, tasks, lambda key, value: 1)) == 130
    assert set(to_move.values()) == {0}


def test_what_does_not_go_into_a_slice_is_given_back(cluster: FakeCluster):
    partitions = list(range(PARTITIONS_MAX))
    call = ReduceCall("m", pickle_once((slow_value_of, operator.add)), partitions, 1000.0)
    with at_node(FakeShell(cluster)):
        parts, left = run_reduce(call)
    assert len(parts) == 1
    assert 0 < len(left) < PARTITIONS_MAX
    assert left == partitions[-len(left) :]
    tasks = FakeTasks(cluster)
    assert result_of(reducing(cluster, tasks, slow_value_of)) == sum(range(1000))
    assert len(tasks.sent) > PARTITION_COUNT // PARTITIONS_MAX


def test_large_maps_are_read_page_by_page():
    cluster = FakeCluster()
    FakeShell(cluster).map().put_all({f"{{tag}}{n}": b"x" * 100_000 for n in range(30)})
    tasks = FakeTasks(cluster)
    assert result_of(reducing(cluster, tasks, lambda key, value: len(value))) == 3_000_000
    scans = [request for request in tasks.worker.requests if isinstance(request, Scan)]
    assert len([scan for scan in scans if scan.scan]) == 2


def test_it_ends_with_its_time(cluster: FakeCluster):
    call = ReduceCall("m", pickle_once((value_of, operator.add)), [0], 0.0)
    with (
        at_node(FakeShell(cluster)),
        pytest.raises(OperationTimeoutError, match="the time for reduce is over"),
    ):
        run_reduce(call)
    with pytest.raises(OperationTimeoutError, match="a part of it was left"):
        result_of(reducing(cluster, FakeTasks(cluster), slow_value_of, timeout_s=SLICE_S * 4))
    tasks = FakeTasks(cluster, holds=True)
    with pytest.raises(OperationTimeoutError, match="no worker was free") as raised:
        result_of(reducing(cluster, tasks))
    assert raised.value.outcome == "not_applied"
    assert not tasks.waiting


def test_errors_come_as_they_are_and_end_the_rest(cluster: FakeCluster):
    with pytest.raises(ZeroDivisionError):
        result_of(reducing(cluster, FakeTasks(cluster), lambda key, value: 1 // value))
    tasks = FakeTasks(cluster, holds=True)
    call = reducing(cluster, tasks)
    first = next(iter(next(call).futures))
    del tasks.waiting[first]  # type: ignore[arg-type]
    first.become_failed(TaskTimeoutError("it was ended"))  # type: ignore[attr-defined]
    with pytest.raises(OperationTimeoutError, match="it was ended"):
        call.send(True)
    assert not tasks.waiting


def test_a_lost_partition_is_not_taken_for_empty(cluster: FakeCluster):
    cluster.lose(7)
    with pytest.raises(PartitionLostError, match="partition 7 was lost"):
        result_of(reducing(cluster, FakeTasks(cluster)))
