"""When a cluster is healthy, and the sentence for each reason why not."""

from __future__ import annotations

from typing import Any

import pytest

from grid.process.health import doubtful_because, unhealthy_because


def document(
    safe: int = 256, unprotected: int = 0, lost: int = 0, states: tuple[str, ...] = ("alive",) * 2
) -> dict[str, Any]:
    return {
        "members": [{"state": state} for state in states],
        "partitions": {"safe": safe, "unprotected": unprotected, "lost": lost},
    }


@pytest.mark.parametrize("states", [("alive",), ("alive", "suspect"), ("alive", "dead", "left")])
def test_cluster_that_has_all_backups_it_shall_have_is_healthy(states: tuple[str, ...]) -> None:
    assert unhealthy_because(document(states=states)) == []


def test_node_without_a_table_has_not_joined() -> None:
    assert unhealthy_because(document(0)) == ["this node has not joined a cluster yet"]


@pytest.mark.parametrize("states", [("alive",), ("alive", "dead")])
def test_only_node_is_told_what_to_do(states: tuple[str, ...]) -> None:
    assert unhealthy_because(document(0, 256, states=states)) == [
        "256 partitions are unprotected: there is only one node; "
        "start a second one, or set replication.backup_count to 0"
    ]


@pytest.mark.parametrize("states", [("alive", "alive"), ("alive", "suspect")])
def test_several_nodes_are_making_backups(states: tuple[str, ...]) -> None:
    assert unhealthy_because(document(255, 1, states=states)) == [
        "1 partition is unprotected: backups are being made"
    ]


def test_what_is_lost_comes_first() -> None:
    lost, unprotected = unhealthy_because(document(250, 4, 2))
    assert lost.startswith("2 partitions are lost: no living node has a copy")
    assert "grid accept-loss" in lost
    assert unprotected.startswith("4 partitions are unprotected")


def test_all_lost_is_not_taken_for_none_yet() -> None:
    (reason,) = unhealthy_because(document(0, 0, 256))
    assert reason.startswith("256 partitions are lost")


def test_partitions_of_suspects_are_doubtful() -> None:
    def member(name: str, state: str, primaries: int) -> dict[str, Any]:
        return {"name": name, "state": state, "primaries": primaries}

    members = [member("pc1", "alive", 85), member("pc2", "suspect", 1), member("pc3", "suspect", 0)]
    assert doubtful_because({"members": members}) == [
        "1 partition may not answer: pc2 is suspected to be dead"
    ]
    members[2]["primaries"] = 85
    assert doubtful_because({"members": members}) == [
        "86 partitions may not answer: pc2, pc3 are suspected to be dead"
    ]
    assert doubtful_because({"members": members[:1]}) == []
