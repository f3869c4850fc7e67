"""Nodes that are silent, die, or come back as others, under blocking callers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from grid import OperationTimeoutError, PartitionLostError
from grid.api import LocalCluster, local_cluster
from grid.client.options import ClientOptions
from grid.client.requests.blocking import BlockingShell
from grid.client.session import Grid
from grid.errors import NotEnoughNodesError
from grid.transport.blocking import BlockingConnection
from tests.client.stopping import family_of, stopped, supervisor_of
from tests.processes.nodes import ask_until

KEYS = range(200)
DEADLINE_S = 60.0
SILENT = r"does not answer|is silent"
"""By whether there was a connection already."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with local_cluster(2, workers=1, storage_processes=1) as made:
        yield made


@pytest.fixture
def hasty(cluster: LocalCluster) -> Iterator[Grid]:
    """A client that does not wait for long."""
    with cluster.client(ClientOptions(operation_deadline_s=0.5)) as made:
        made.map("m").put_all({key: f"value {key}" for key in KEYS})
        yield made


def keys_by_node(client: Grid) -> tuple[bytes, list[int], list[int]]:
    """Return the second node's id, its keys, and those of the other."""
    silent = next(node for node in client.nodes() if node.name == "local-2").id
    users = client.map("m")
    own = [key for key in KEYS if users.owner_of(key) == silent]
    return silent, own, [key for key in KEYS if key not in own]


def test_a_silent_storage_process_ends_calls_by_their_deadline(hasty: Grid):
    users = hasty.map("m")
    silent, own, others = keys_by_node(hasty)
    with stopped(family_of(hasty, silent, "grid-storage")) as go_on:
        with pytest.raises(OperationTimeoutError, match="local-2 is silent") as raised:
            users[own[0]]
        assert raised.value.outcome == "not_applied"
        with pytest.raises(OperationTimeoutError, match=SILENT) as raised:
            users[own[1]] = "written"
        with pytest.raises(OperationTimeoutError, match=SILENT):
            users.get_all(KEYS)
        with pytest.raises(OperationTimeoutError, match=SILENT):
            list(users)
        assert users.get_all(others) == {key: f"value {key}" for key in others}
        go_on()
        ask_until(lambda: answers(users, own[0]))
    # No late reply was taken for another's.
    expected: dict[int, Any] = {key: f"value {key}" for key in KEYS if key != own[1]}
    assert {key: users[key] for key in expected} == expected
    assert users[own[1]] in ("written", f"value {own[1]}")


def answers(users: Any, key: Any) -> bool:
    try:
        users[key]
    except OperationTimeoutError:
        return False
    return True


def in_thread(work: Any) -> Future[Any]:
    """Run in a thread that the test's end does not wait for."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def test_a_node_that_is_silent_for_a_while_answers_in_the_end(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("grid.client.requests.blocking.PATIENCE_S", 0.05)
    fetched = threading.Semaphore(0)
    refresh = BlockingShell.refresh

    def counted(shell: BlockingShell, *arguments: Any) -> None:
        refresh(shell, *arguments)
        fetched.release()

    monkeypatch.setattr(BlockingShell, "refresh", counted)
    with cluster.client() as client:
        users = client.map("m")
        users.put_all({key: f"value {key}" for key in KEYS})
        silent, own, _ = keys_by_node(client)
        with stopped(family_of(client, silent, "grid-storage")) as go_on:
            one = in_thread(lambda: users[own[0]])
            many = in_thread(lambda: users.get_all(KEYS))
            write = in_thread(lambda: users.put(own[1], "written"))
            for _ in range(9):  # The table was asked for, again and again.
                assert fetched.acquire(timeout=DEADLINE_S)
            assert not one.done()
            go_on()
            assert one.result(DEADLINE_S) == f"value {own[0]}"
            assert len(many.result(DEADLINE_S)) == len(KEYS)
            write.result(DEADLINE_S)
            assert users[own[1]] == "written"


def test_a_large_value_that_a_silent_node_does_not_take_is_not_waited_for_without_end(hasty: Grid):
    users = hasty.map("m")
    silent, own, _ = keys_by_node(hasty)
    with (
        stopped(family_of(hasty, silent, "grid-storage")),
        pytest.raises(OperationTimeoutError, match="local-2") as raised,
    ):
        users[own[0]] = bytes(20_000_000)
    assert raised.value.outcome == "not_applied"  # It was never sent whole.
    assert users[own[2]] == f"value {own[2]}"


def test_a_silent_gateway_is_no_matter_while_storage_answers(hasty: Grid):
    users = hasty.map("m")
    first = next(node for node in hasty.nodes() if node.name == "local-1").id
    with stopped(family_of(hasty, first, "grid-network")):
        assert {key: users[key] for key in KEYS} == users.get_all(KEYS)


def test_a_node_that_dies_under_its_callers_is_replaced_by_its_backups():
    with local_cluster(3, workers=1, storage_processes=1) as cluster, cluster.client() as client:
        users = client.map("m")
        users.put_all({key: f"value {key}" for key in KEYS})
        client.flush()
        victim, own, _ = keys_by_node(client)
        counter = next(f"n{n}" for n in KEYS if users.owner_of(f"n{n}") == victim)
        storage = family_of(client, victim, "grid-storage")
        with stopped(storage):
            read = in_thread(lambda: users[own[0]])
            write = in_thread(lambda: users.increment(counter))
            many = in_thread(lambda: users.get_all(KEYS))
            ask_until(lambda: sum(map(len, client._shell._idle.values())) < 3)
            for process in [supervisor_of(client, victim), *storage]:
                process.kill()
            assert read.result(DEADLINE_S) == f"value {own[0]}"
            assert many.result(DEADLINE_S) == {key: f"value {key}" for key in KEYS}
            assert write.result(DEADLINE_S) == 1
        assert client.lost() == []
        assert victim not in {node.id for node in client.nodes()}


def test_two_nodes_that_die_at_once_are_lost_aloud_and_the_third_is_used():
    with local_cluster(3, workers=1, storage_processes=1) as cluster, cluster.client() as client:
        users = client.map("m")
        users.put_all({key: f"value {key}" for key in KEYS})
        client.flush()
        third = next(node for node in client.nodes() if node.name == "local-3").id
        own = [key for key in KEYS if users.owner_of(key) == third]
        tokens = {key: users.put(key, "new", ack="backup") for key in KEYS}
        victims = [node.id for node in client.nodes() if node.id != third]
        families = [supervisor_of(client, victim) for victim in victims]
        for victim in victims:
            families += family_of(client, victim, "grid-storage")
        for process in families:
            process.kill()
        ask_until(lambda: bool(client.lost()))
        lost = set(client.lost())
        gone = [key for key in KEYS if tokens[key] % 256 in lost]
        assert gone
        assert not set(gone) & set(own)
        for key in KEYS:
            if key in gone:
                with pytest.raises(PartitionLostError, match="was lost with the node"):
                    users[key]
                assert client.survived(tokens[key]) is False
            else:
                assert users[key] == "new"
                assert client.survived(tokens[key]) is True
        client.accept_loss()
        ask_until(lambda: not client.lost())
        users.put_all({key: "newer" for key in gone})
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(users.__getitem__, gone)) == ["newer"] * len(gone)
        with pytest.raises(NotEnoughNodesError, match="one node only"):
            users.put("k", 1, ack="backup")


def test_no_reply_is_taken_for_another_s_after_time_outs(hasty: Grid):
    """Late replies arrive on connections that were given up."""
    users = hasty.map("m")
    silent, own, _ = keys_by_node(hasty)
    closed = 0
    close = BlockingConnection.close

    def counted(connection: BlockingConnection) -> None:
        nonlocal closed
        closed += 1
        close(connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BlockingConnection, "close", counted)
        for key in own[:3]:
            with (
                stopped(family_of(hasty, silent, "grid-storage")),
                pytest.raises(OperationTimeoutError),
            ):
                users[key]
            ask_until(lambda: answers(users, own[0]))
            assert {key: users[key] for key in own} == users.get_all(own)
    assert closed >= 3
