"""The barrier over everything, and the question about one write; without I/O."""

from __future__ import annotations

from typing import Any

import pytest

from grid.client.entries.safety import flush, survived
from grid.client.entries.tokens import WriteToken
from grid.errors import (
    NotEnoughNodesError,
    OperationError,
    OperationTimeoutError,
    PartitionLostError,
)
from grid.storage.messages import Flush, Survived
from grid.storage.partition import HISTORY_MAX
from grid.types import PARTITION_COUNT
from tests.client.fakes import DEADLINE_S, FakeCluster, FakeShell, Fault, once


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def shell(cluster: FakeCluster) -> FakeShell:
    return FakeShell(cluster)


def test_a_barrier_asks_each_storage_process_once_for_all_its_partitions(shell: FakeShell):
    shell.run(flush(shell.core))
    assert [type(request) for request in shell.requests] == [Flush] * 4
    asked = [p for request in shell.requests for p, _ in request.epochs]  # type: ignore[union-attr]
    assert sorted(asked) == list(range(PARTITION_COUNT))


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.NOT_CONNECTED, Fault.LOST_BEFORE])
def test_a_barrier_is_repeated_where_it_failed(shell: FakeShell, fault: Fault):
    shell.meddle = once(None, fault, fault)
    shell.run(flush(shell.core))
    assert len(shell.requests) == 4 + 2


def test_a_barrier_follows_partitions_that_move(cluster: FakeCluster, shell: FakeShell):
    for partition in range(0, PARTITION_COUNT, 3):
        cluster.move(partition, 1)
    shell.run(flush(shell.core))
    assert shell.fetches == 1


def test_a_barrier_waits_for_backups_and_says_which_one_stays_away(
    cluster: FakeCluster, shell: FakeShell
):
    cluster.expose(9)

    def protect_at_last(ask: Any) -> None:
        if len(shell.requests) == 7:
            cluster.protect(9)

    shell.meddle = protect_at_last
    shell.run(flush(shell.core))
    assert len(shell.requests) == 7
    cluster.expose(9)
    began_s = cluster.now_s
    with pytest.raises(NotEnoughNodesError, match="the backup of partition 9 is not") as raised:
        shell.run(flush(shell.core))
    assert raised.value.outcome == "not_applied"
    assert cluster.now_s >= began_s + DEADLINE_S


def test_where_no_backups_are_kept_there_is_nothing_to_wait_for():
    cluster = FakeCluster(backup_count=0)
    shell = FakeShell(cluster)
    shell.run(flush(shell.core))
    assert len(shell.requests) == 4


def test_a_barrier_says_that_a_partition_is_lost(cluster: FakeCluster, shell: FakeShell):
    cluster.lose(9)
    with pytest.raises(PartitionLostError, match="partition 9"):
        shell.run(flush(shell.core))


def test_a_barrier_that_is_not_answered_has_changed_nothing(shell: FakeShell):
    shell.meddle = once(Fault.LATE)
    with pytest.raises(OperationTimeoutError) as raised:
        shell.run(flush(shell.core))
    assert raised.value.outcome == "not_applied"


# -- one write ----------------------------------------------------------------------------


def put(shell: FakeShell, value: Any = 1, **named: Any) -> tuple[WriteToken, int]:
    """Write an entry; return token and partition."""
    token = shell.map().put("k", value, **named)
    return token, token % PARTITION_COUNT


@pytest.mark.parametrize("value", [1, "x" * 100_000])
@pytest.mark.parametrize("named", [{}, {"ttl": 5}, {"ack": "backup"}])
def test_a_write_survives_while_its_node_lives(shell: FakeShell, value: Any, named: Any):
    token, partition = put(shell, value, **named)
    assert shell.run(survived(shell.core, token)) is True
    last = shell.requests[-1]
    assert isinstance(last, Survived)
    assert (last.partition, last.version) == (partition, token >> 8)


def test_a_write_survives_a_promotion_if_the_backup_had_it(cluster: FakeCluster, shell: FakeShell):
    first, partition = put(shell)
    backup = cluster.copied(partition)
    second, _ = put(shell)
    cluster.promote(backup, 1)
    third, _ = put(shell)
    others = FakeShell(cluster)  # Anybody may ask.
    assert [others.run(survived(others.core, token)) for token in (first, second, third)] == [
        True,
        False,
        True,
    ]


def test_a_planned_move_loses_no_write(cluster: FakeCluster, shell: FakeShell):
    token, partition = put(shell)
    cluster.move(partition, 0)
    cluster.move(partition, 1)
    assert shell.run(survived(shell.core, token)) is True


def test_nothing_of_a_lost_partition_survives_and_nothing_comes_back(
    cluster: FakeCluster, shell: FakeShell
):
    token, partition = put(shell)
    cluster.lose(partition)
    assert shell.run(survived(shell.core, token)) is False
    cluster.accept_loss()
    assert shell.run(survived(shell.core, token)) is False
    newer, _ = put(shell)
    assert shell.run(survived(shell.core, newer)) is True


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.NOT_CONNECTED, Fault.LOST_AFTER])
def test_the_question_is_repeated(shell: FakeShell, fault: Fault):
    token, _ = put(shell)
    shell.meddle = once(fault, fault)
    assert shell.run(survived(shell.core, token)) is True


def test_what_nobody_knows_any_more_is_said_at_once(cluster: FakeCluster, shell: FakeShell):
    token, partition = put(shell)
    for number in range(HISTORY_MAX + 2):
        cluster.promote(cluster.copied(partition), number % 2)
    began_s = cluster.now_s
    with pytest.raises(OperationError, match="so old that nobody knows any more") as raised:
        shell.run(survived(shell.core, token))
    assert raised.value.outcome == "not_applied"
    assert cluster.now_s == began_s


def test_what_is_no_token_is_said_before_anything_is_asked(shell: FakeShell):
    for other in (None, 0, "k"):
        with pytest.raises(ValueError, match="a token is what put"):
            survived(shell.core, other)  # type: ignore[arg-type]
    assert shell.requests == []
