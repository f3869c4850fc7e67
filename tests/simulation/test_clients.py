"""Clients of a simulated cluster: what they see while nodes die, sleep and hand over."""

from __future__ import annotations

from typing import Any

import pytest

from grid.client.entries.entry_operations import EntryOperations, value_of
from grid.client.entries.safety import flush
from grid.errors import GridError, NotEnoughNodesError, OperationError, PartitionLostError
from grid.simulation.clients import DEADLINE_S, SimulatedClient, serve
from grid.simulation.cluster import ClusterNode
from grid.storage.messages import Put, RefusalReason, Refused, Reply
from grid.storage.options import StorageOptions
from grid.types import NodeId, PartitionId
from grid.wire.keys import encode_key

from .samples import CLIENT_ID, MILD, SOUND, WatchedCluster, formed

KEYS = [f"key {number}" for number in range(20)]


class Caller:
    """A client, and the end of what it asked for last."""

    def __init__(self, cluster: WatchedCluster) -> None:
        self.cluster = cluster
        self.client = SimulatedClient(cluster, 1)
        self.entries = EntryOperations("m", self.client.core, StorageOptions())
        self.ends: list[tuple[Any, GridError | None]] = []

    def begin_put(self, key: str, value: int, *, is_sync: bool = False) -> None:
        put = self.entries.putting(key, value, None, is_sync)
        self.client.run(self.client.core.on_partition(*put), self._end)

    def begin_get(self, key: str) -> None:
        get = self.entries.getting(key)
        self.client.run(self.client.core.on_partition(*get), self._end)

    def _end(self, value: Any, error: GridError | None) -> None:
        self.ends.append((value, error))

    def end(self) -> Any:
        """Wait for what was begun. Raises: the error that it ended with."""
        clock = self.cluster.clock
        assert clock.run_until_true(lambda: bool(self.ends), clock.now_s + 2 * DEADLINE_S)
        value, error = self.ends.pop()
        if error is not None:
            raise error
        return value

    def put(self, key: str, value: int, *, is_sync: bool = False) -> Any:
        self.begin_put(key, value, is_sync=is_sync)
        return self.end()

    def flush(self) -> None:
        self.client.run(flush(self.client.core), self._end)
        self.end()

    def get(self, key: str) -> object:
        self.begin_get(key)
        return value_of(self.end(), None)


def partition_of(key: str) -> PartitionId:
    return PartitionId(encode_key(key, 64)[0])


def node_of(cluster: WatchedCluster, node_id: NodeId | None) -> ClusterNode:
    return next(node for node in cluster.running if node.node_id == node_id)


def never() -> None:
    raise AssertionError("the connection is reset")


def primary_of(cluster: WatchedCluster, key: str) -> ClusterNode:
    return node_of(cluster, cluster.table.primary_of(partition_of(key)))


def backup_of(cluster: WatchedCluster, key: str) -> ClusterNode:
    return node_of(cluster, cluster.table.backup_of(partition_of(key)))


def test_client_reads_what_it_has_written() -> None:
    cluster = formed(1, SOUND)
    caller = Caller(cluster)
    for number, key in enumerate(KEYS):
        assert caller.put(key, number, is_sync=number % 2 == 0).count == 1
    assert [caller.get(key) for key in KEYS] == list(range(len(KEYS)))


def test_each_write_has_a_higher_version_than_the_one_before() -> None:
    caller = Caller(formed(1, SOUND))
    versions = [caller.put("a", number).version for number in range(5)]
    assert versions == sorted(set(versions))


@pytest.mark.parametrize("is_silent", [False, True])
def test_write_with_backup_is_there_when_its_primary_dies_right_after(is_silent: bool) -> None:
    cluster = formed(2, SOUND)
    caller = Caller(cluster)
    caller.put("a", 1, is_sync=True)
    victim = primary_of(cluster, "a")
    (victim.crash if is_silent else victim.kill)()
    assert cluster.comes_true(cluster.is_one_cluster)
    assert caller.get("a") == 1


@pytest.mark.parametrize("flushes", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_death_right_after_a_flush_is_said_to_cost_nothing(seed: int, flushes: bool) -> None:
    cluster = formed(seed, MILD, 3)
    caller = Caller(cluster)
    for number, key in enumerate(KEYS):
        caller.put(key, number)
    if flushes:
        caller.flush()
        assert sum(node.replicator.at_risk for node in cluster.running) == 0
    primary_of(cluster, KEYS[-1]).kill()
    assert cluster.comes_true(cluster.is_one_cluster)
    told = [one.lost_at_most for node in cluster.running for one in node.promotions]
    assert bool(sum(told)) != flushes
    if flushes:
        assert [caller.get(key) for key in KEYS] == list(range(len(KEYS)))


def test_request_to_a_node_that_has_just_died_is_carried_out_by_its_successor() -> None:
    cluster = formed(3, SOUND)
    caller = Caller(cluster)
    caller.put("a", 1, is_sync=True)
    primary_of(cluster, "a").kill()
    caller.put("a", 2, is_sync=True)
    assert caller.get("a") == 2


def test_request_that_reaches_a_sleeper_is_carried_out_when_it_wakes() -> None:
    cluster = formed(3, SOUND)
    caller = Caller(cluster)
    sleeper = primary_of(cluster, "a")
    sleeper.pause()
    caller.begin_put("a", 1)
    cluster.run_for(1.0)
    assert caller.ends == []
    sleeper.resume()
    assert caller.end().count == 1
    assert caller.get("a") == 1


def test_write_with_backup_waits_while_the_backup_sleeps() -> None:
    cluster = formed(3, SOUND)
    caller = Caller(cluster)
    sleeper = backup_of(cluster, "a")
    sleeper.pause()
    caller.begin_put("a", 1, is_sync=True)
    cluster.run_for(1.0)
    assert caller.ends == []
    sleeper.resume()
    assert caller.end().count == 1


def test_reader_waits_for_what_a_writer_wants_a_backup_of() -> None:
    """Else it could see a write that is lost afterwards, and was never acknowledged."""
    cluster = formed(3, SOUND)
    writer, reader = Caller(cluster), Caller(cluster)
    for number in range(-5, 1):
        writer.put("a", number)
    held = primary_of(cluster, "a").store.partitions.by_id[partition_of("a")]
    assert cluster.comes_true(lambda: held.write_gate == held.epoch), "the next write is stored"
    sleeper = backup_of(cluster, "a")
    sleeper.pause()
    writer.begin_put("a", 1, is_sync=True)
    cluster.run_for(0.5)
    reader.begin_get("a")
    cluster.run_for(0.5)
    assert reader.ends == []
    sleeper.resume()
    assert value_of(reader.end(), None) == 1


def test_nobody_waits_for_a_backup_that_is_gone_for_good() -> None:
    """Two nodes, one dies: the writer is told, and readers see what was written."""
    cluster = formed(3, SOUND, 2)
    writer, reader = Caller(cluster), Caller(cluster)
    for number in range(-5, 1):
        writer.put("a", number)
    held = primary_of(cluster, "a").store.partitions.by_id[partition_of("a")]
    assert cluster.comes_true(lambda: held.write_gate == held.epoch), "the next write is stored"
    backup_of(cluster, "a").kill()
    writer.begin_put("a", 1, is_sync=True)
    cluster.run_for(0.05)
    reader.begin_get("a")
    assert value_of(reader.end(), None) == 1
    with pytest.raises(NotEnoughNodesError) as refused:
        writer.end()
    assert refused.value.outcome == "unknown"


def test_single_node_has_no_backup_to_give() -> None:
    caller = Caller(formed(1, SOUND, 1))
    assert caller.put("a", 1).count == 1
    with pytest.raises(NotEnoughNodesError) as refused:
        caller.put("a", 2, is_sync=True)
    assert refused.value.outcome == "not_applied"
    assert caller.get("a") == 1


def test_request_that_nobody_answers_ends_at_its_deadline() -> None:
    cluster = formed(1, SOUND, 1)
    caller = Caller(cluster)
    begun_s = cluster.clock.now_s
    cluster.running[0].pause()
    with pytest.raises(OperationError) as silent:
        caller.put("a", 1)
    assert silent.value.outcome == "unknown"
    assert DEADLINE_S - 3.0 <= cluster.clock.now_s - begun_s <= DEADLINE_S + 3.0


def test_keys_of_a_lost_partition_are_answered_with_that() -> None:
    cluster = formed(2, SOUND)
    caller = Caller(cluster)
    caller.put("a", 1)
    victims = primary_of(cluster, "a"), backup_of(cluster, "a")
    for victim in victims:
        victim.kill()
    assert cluster.comes_true(lambda: cluster.agrees() and bool(cluster.table.lost()))
    with pytest.raises(PartitionLostError):
        caller.get("a")


def test_request_waits_for_a_gate_and_is_answered_once() -> None:
    cluster = formed(3, SOUND)
    node = primary_of(cluster, "a")
    p = partition_of("a")
    held = node.store.partitions.by_id[p]
    held.freeze()
    node.store.partitions.changed()
    replies: list[Reply] = []
    serve(node, Put(1, "m", p, held.epoch, b"key", b"value"), CLIENT_ID, replies.append, never)
    cluster.run_for(0.5)
    assert replies == []
    held.thaw()
    node.store.partitions.changed()
    node.progress()
    assert cluster.comes_true(lambda: bool(replies))
    cluster.run_for(1.0)
    assert [type(reply).__name__ for reply in replies] == ["Done"]


def test_request_of_another_epoch_is_refused_at_once() -> None:
    cluster = formed(3, SOUND)
    node = primary_of(cluster, "a")
    p = partition_of("a")
    replies: list[Reply] = []
    epoch = node.store.partitions.by_id[p].epoch + 1
    serve(node, Put(1, "m", p, epoch, b"key", b"value"), CLIENT_ID, replies.append, never)
    (refused,) = replies
    assert isinstance(refused, Refused)
    assert refused.reason is RefusalReason.WRONG_EPOCH
