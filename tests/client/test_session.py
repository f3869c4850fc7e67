"""What a client can ask of the cluster as a whole."""

from __future__ import annotations

from grid.api import LocalCluster, local_cluster
from grid.client.session import Grid
from tests.processes.nodes import ask_until


def test_the_status_document_has_the_documented_shape(client: Grid, running_cluster: LocalCluster):
    status = client.status()
    assert set(status) == {"cluster", "members", "partitions"}
    assert status["cluster"] == running_cluster.name
    assert status["partitions"] == {"total": 256, "safe": 0, "lost": 0}
    assert len(status["members"]) == 2
    for member in status["members"]:
        assert set(member) == {
            "name",
            "id",
            "address",
            "pid",
            "state",
            "cpu_percent",
            "primaries",
            "backups",
            "entries",
            "tasks",
        }
        assert member["state"] == "alive"
        assert (member["primaries"], member["backups"]) == (128, 0)
        assert set(member["tasks"]) == {"queued", "running", "done"}
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
