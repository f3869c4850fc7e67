"""Entries that lie there and are missed when they go."""

from __future__ import annotations

from grid.chaos.ballast import MAP, Ballast
from tests.chaos.fakes import FakeCluster, FakeMap, partition_of


def test_missing_and_changed_entries_are_found_unless_given_up() -> None:
    cluster = FakeCluster()
    ballast = Ballast(FakeMap(cluster, MAP), 20)
    ballast.fill()
    assert ballast.missing(set()) == []
    del cluster.data[MAP, "ballast-3"]
    cluster.data[MAP, "ballast-5"] = "other"
    assert ballast.missing(set()) == ["ballast-3", "ballast-5"]
    assert ballast.missing({partition_of("ballast-3")}) == ["ballast-5"]
