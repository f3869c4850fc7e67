"""Coordinators that die one after the other, in the middle of what they do."""

from __future__ import annotations

import pytest

from grid.partition.table import PartitionTable
from grid.simulation.cluster import SimulatedCluster
from grid.types import PartitionId


@pytest.mark.parametrize("seed", range(12))
def test_the_third_coordinator_takes_over_when_the_second_dies_in_its_round(seed: int) -> None:
    cluster = SimulatedCluster(seed)
    for number in range(4):
        cluster.add_node(number * 0.3)
    assert cluster.clock.run_until_true(cluster.is_one_cluster, 30)
    cluster.clock.run_until(cluster.clock.now_s + 5)
    assert cluster.is_safe()
    table = cluster.running[0].plane.follower.table
    assert table is not None
    first, second, third, _ = table.order
    by_id = {bytes(node.node_id): node for node in cluster.nodes}
    by_id[first].kill()
    follower = by_id[third].plane.follower
    assert cluster.clock.run_until_true(lambda: follower._promised.coordinator == second, 60)
    by_id[second].kill()
    gone = {first, second}
    lost = {p for p in range(256) if holders(table, p) <= gone}
    cluster.clock.run_until(cluster.clock.now_s + 100)
    tables = {node.plane.follower.table for node in cluster.running}
    (last,) = tables
    assert last is not None
    assert last.coordinator == third
    # The second may have had the time to give some of the first one's to others.
    assert set(last.lost()) <= lost
    assert last.unprotected() == []


def holders(table: PartitionTable, partition_id: int) -> set[bytes | None]:
    p = PartitionId(partition_id)
    return {table.primary_of(p), table.backup_of(p)}
