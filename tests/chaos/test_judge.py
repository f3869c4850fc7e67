"""One quiet moment: what is read, asked, and compared."""

from __future__ import annotations

import pytest

from grid.chaos.judge import Judge
from grid.chaos.keyspace import KeySpace
from grid.errors import NotEnoughNodesError, OperationError
from grid.verification.history import Disruption, Kind, Operation
from tests.chaos.fakes import LOST_PARTITIONS, FakeClient, FakeCluster, FakeMap, Lies, partition_of

KEYS = KeySpace(keys_per_partition=1, counters=1)


def judge_of(cluster: FakeCluster, client: FakeClient | None = None) -> Judge:
    return Judge(client or FakeClient(cluster), FakeMap(cluster, "chaos"), KEYS, seed=1)


def written(cluster: FakeCluster, key: str, value: int, at_s: float) -> Operation:
    version = cluster.write("chaos", key, value, None)
    partition = partition_of(key)
    return Operation(1, key, partition, Kind.PUT, value, at_s, at_s + 0.5, version=version)


def test_loss_that_the_cluster_admits_is_compared_with_what_it_reported() -> None:
    cluster = FakeCluster(Lies(loses=1))
    name, key = cluster.start(), KEYS.pools[0][0]
    lost = written(cluster, key, 5, 1.0)
    cluster.kill(name)
    judge = judge_of(cluster)
    found = judge.settle([lost], [Disruption(2.0, 2.1)], is_excused=False)
    assert (found.lost, found.reported_at_most, found.findings.lost_reported) == (1, 1, 1)
    again = judge.settle([], [], is_excused=False)
    assert (again.lost, again.reported_at_most) == (0, 0)


def test_lost_partitions_are_accepted_while_everything_is_read() -> None:
    cluster = FakeCluster(Lies(loses_partition=True))
    name = cluster.start()
    key = next(key for key in KEYS.pools[0] if partition_of(key) in LOST_PARTITIONS)
    gone = written(cluster, key, 5, 1.0)
    cluster.kill(name)
    judge = judge_of(cluster)
    found = judge.settle([gone], [Disruption(2.0, 2.1)], is_excused=False)
    assert (found.lost, found.findings.lost_with_partition) == (0, 1)
    assert found.findings.is_clean
    assert judge.given_up == set(LOST_PARTITIONS)
    assert judge.losses_accepted == len(LOST_PARTITIONS)
    assert judge.accept_losses(0.0) == []


class Moody(FakeClient):
    """Its questions fail at first."""

    failures = 2

    def flush(self) -> None:
        if self.failures:
            self.failures -= 1
            raise OperationError("not now", "not_applied")
        raise NotEnoughNodesError("no backup", "not_applied")


def test_question_is_asked_again_and_a_missing_backup_is_no_reason_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("grid.chaos.judge.PAUSE_S", 0.0)
    cluster = FakeCluster()
    client = Moody(cluster)
    key = KEYS.pools[0][0]
    judge = judge_of(cluster, client)
    assert judge.settle([written(cluster, key, 5, 1.0)], [], is_excused=False).findings.is_clean
    assert client.failures == 0


def test_question_that_is_never_answered_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid.chaos.judge.PATIENCE_S", 0.0)
    cluster = FakeCluster()
    with pytest.raises(OperationError, match="not now"):
        judge_of(cluster, Moody(cluster)).settle([], [], is_excused=False)
