"""What a client can ask of the cluster as a whole."""

from __future__ import annotations

import pytest

from grid import GridError, KeyTooLargeError, ValueTooLargeError
from grid.api import LocalCluster, local_cluster
from grid.client.options import ClientOptions
from grid.client.session import Grid
from grid.errors import ClosedError, ProtocolError
from grid.storage.options import StorageOptions
from tests.processes.nodes import ask_until


def test_the_status_document_has_the_documented_shape(client: Grid, running_cluster: LocalCluster):
    status = client.status()
    assert set(status) == {
        "cluster",
        "members",
        "node",
        "partition_map",
        "partitions",
        "unprotected_entries",
        "workers",
        "writes_at_risk",
    }
    assert status["cluster"] == running_cluster.name
    client.flush()  # There are backups by then.
    assert client.status()["partitions"] == {
        "total": 256,
        "safe": 256,
        "unprotected": 0,
        "lost": 0,
        "moving": 0,
        "backup_count": 1,
    }
    assert len(status["members"]) == 2
    for member in status["members"]:
        assert set(member) == {
            "name",
            "id",
            "address",
            "pid",
            "state",
            "state_s",
            "age_s",
            "cpu_percent",
            "memory_percent",
            "operations_per_s",
            "workers",
            "primaries",
            "backups",
            "entries",
            "at_risk",
            "tasks",
        }
        assert member["state"] == "alive"
        assert (member["primaries"], member["backups"]) == (128, 128)
        assert set(member["tasks"]) == {"queued", "running", "done", "retried"}
        assert len(bytes.fromhex(member["id"])) == 16


def test_every_node_reports_its_entries_to_the_others():
    # A cluster of its own: in a shared one, reports still on their way count other tests' entries.
    with local_cluster(2, workers=1, storage_processes=1) as cluster, cluster.client() as client:
        client.map("counted").put_all({number: number for number in range(500)})

        def entries() -> list[int]:
            return [member["entries"] for member in client.status()["members"]]

        ask_until(lambda: sum(entries()) == 500)
        assert all(entries())


def test_nothing_is_lost_in_a_healthy_cluster(client: Grid):
    assert client.lost() == []


def test_a_write_may_wait_for_its_backup_alone_or_together_with_all(client: Grid):
    users = client.map("safe")
    token = users.put("k", 1)
    client.flush()
    assert client.survived(token)
    assert client.survived(users.put("k", "x" * 100_000, ack="backup"))
    careful = client.map("safe", backup_ack=True)
    careful["k"] = 1
    careful.update({number: number for number in range(500)})
    assert careful.increment("k") == 2
    assert users.get_all(["k", 1, 2]) == {"k": 2, 1: 1, 2: 2}
    assert careful.remove_all(range(500)) == 500
    with pytest.raises(ValueError, match="ack is 'backup' or None"):
        users.put("k", 1, ack="two")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a token is what put"):
        client.survived(5)  # type: ignore[arg-type]


def test_what_has_happened_is_told(client: Grid):
    assert {event.kind for event in client.events()} >= {"joined"}


def test_a_map_needs_a_name(client: Grid):
    for name in ("", "x" * 256, "é" * 128):
        with pytest.raises(GridError, match="1 to 255 bytes"):
            client.map(name)
    with pytest.raises(TypeError, match="a map's name is a str, not 5"):
        client.map(5)  # type: ignore[arg-type]
    assert client.map("é" * 127).name == "é" * 127


def test_a_client_is_called_by_its_cluster(client: Grid, running_cluster: LocalCluster):
    assert repr(client) == f"<grid client of {running_cluster.name!r}>"
    assert not client.is_closed
    client.close()
    client.close()
    assert client.is_closed


def test_a_closed_client_makes_no_executor(client: Grid):
    client.close()
    with pytest.raises(ClosedError, match="this client is closed"):
        client.executor()


def test_limits_of_the_configuration_hold(running_cluster: LocalCluster):
    with Grid(
        running_cluster.addresses,
        running_cluster.keys,
        running_cluster.name,
        ClientOptions(),
        storage_options=StorageOptions(key_bytes_max=16, value_bytes_max=1024),
    ) as client:
        users = client.map("limited")
        with pytest.raises(KeyTooLargeError, match="at most 16 are allowed"):
            users["k" * 17] = 1
        with pytest.raises(ValueTooLargeError, match="at most 1,024 are allowed"):
            users["k"] = bytes(1024)


def test_a_client_with_larger_limits_than_the_nodes_is_told_so(running_cluster: LocalCluster):
    with Grid(
        running_cluster.addresses,
        running_cluster.keys,
        running_cluster.name,
        ClientOptions(),
        storage_options=StorageOptions(key_bytes_max=100_000),
    ) as client:
        users = client.map("limited")
        with pytest.raises(ProtocolError, match="smaller key or value limits"):
            users["k" * 70_000] = 1
        with pytest.raises(ProtocolError, match="smaller key or value limits"):
            users.put_all({"k" * 70_000: 1, "a": 1})
