"""Whole control planes that a broken network parts: who gives way when it heals, and who not."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from random import Random

import pytest

from grid.membership.effects import SelfDeclaredDead
from grid.membership.membership import Membership
from grid.membership.options import DiscoveryOptions
from grid.process.control_plane import ControlPlane
from grid.simulation.cluster import ClusterNode
from grid.storage.store import Store
from grid.types import NodeId

from .samples import MILD, SOUND, WatchedCluster, entry_counts, fill, formed, write_at

AGREED_WITHIN_S = 60.0


def restarted(cluster: WatchedCluster, since_s: float = 0.0) -> set[NodeId]:
    """Return who gave way to those who held it for dead."""
    return {
        node_id
        for at_s, node_id, effect in cluster.notifications
        if isinstance(effect, SelfDeclaredDead) and at_s >= since_s
    }


def split_in_two(cluster: WatchedCluster, count: int, seed: int) -> tuple[set[NodeId], set[NodeId]]:
    """Cut `count` random nodes off. Returns: their boot ids, those of the others."""
    nodes = cluster.running
    Random(seed).shuffle(nodes)
    sides = nodes[:count], nodes[count:]
    cluster.network.split(*([node.host for node in side] for side in sides))
    small, large = ({node.node_id for node in side} for side in sides)
    return small, large


def isolate(cluster: WatchedCluster, node: ClusterNode, seconds: float) -> None:
    cluster.network.split([node.host])
    cluster.run_for(seconds)
    cluster.network.heal()


def test_nodes_of_a_cluster_run_the_shipped_control_plane_and_store() -> None:
    cluster = formed(1, SOUND, 2)
    for node in cluster.running:
        assert type(node.plane) is ControlPlane
        assert type(node.plane.membership) is Membership
        assert type(node.store) is Store


# -- halves -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 4, 6, 7])
@pytest.mark.parametrize("seed", range(2))
def test_halves_become_one_cluster_again_and_exactly_one_restarts(count: int, seed: int) -> None:
    cluster = formed(seed, MILD, count)
    sides = split_in_two(cluster, count // 2, seed)
    cluster.run_for(60.0)
    for side in sides:
        nodes = [node for node in cluster.running if node.node_id in side]
        assert {node.plane.follower.table for node in nodes} == {nodes[0].plane.follower.table}
    cluster.network.heal()
    assert cluster.run_until_agreed(AGREED_WITHIN_S)
    gone = restarted(cluster)
    assert gone in sides
    if count % 2:
        assert gone == sides[0]
    cluster.run_for(30.0)
    assert cluster.agrees()
    assert restarted(cluster) == gone
    assert cluster.partitions_held_twice() == []
    assert cluster.repeated_stamps == []


def knows_just(cluster: WatchedCluster, *sides: set[NodeId]) -> bool:
    """Whether the nodes of each side hold exactly their own side for living."""
    return all(
        {record.node_id for record in node.plane.membership.members.living()} == side
        for side in sides
        for node in cluster.running
        if node.node_id in side
    )


@pytest.mark.parametrize(("count", "small"), [(4, 2), (6, 2), (8, 4)])
@pytest.mark.parametrize("seed", range(6))
def test_split_that_heals_before_the_next_tables_are_written_costs_one_side_only(
    count: int, small: int, seed: int
) -> None:
    cluster = formed(seed, SOUND, count)
    sides = split_in_two(cluster, small, seed)
    while not knows_just(cluster, *sides):
        cluster.run_for(0.02)
    cluster.network.heal()
    assert cluster.run_until_agreed(AGREED_WITHIN_S)
    assert restarted(cluster) in sides


@pytest.mark.parametrize("seed", range(4))
def test_larger_side_keeps_all_that_it_has_a_copy_of(seed: int) -> None:
    cluster = formed(seed, SOUND, 5)
    fill(cluster, range(256))
    small, large = split_in_two(cluster, 2, seed)
    kept = {p for p in range(256) if cluster.holders(p) & large}
    assert cluster.comes_true(lambda: is_served_by(cluster, large, kept))
    cluster.network.heal()
    assert cluster.run_until_agreed(AGREED_WITHIN_S)
    assert restarted(cluster) == small
    assert cluster.comes_true(cluster.is_backed)
    assert set(cluster.table.lost()) == set(range(256)) - kept
    assert entry_counts(cluster) == dict.fromkeys(kept, 1)


@pytest.mark.parametrize("seed", range(4))
def test_what_the_smaller_side_wrote_during_the_split_is_discarded(seed: int) -> None:
    """Both sides take writes of the same partition; only those of the larger side last."""
    cluster = formed(seed, SOUND, 5)
    small, large = split_in_two(cluster, 2, seed)
    parted = {p for p in range(256) if cluster.holders(p) & large and cluster.holders(p) & small}
    for side in (small, large):
        assert cluster.comes_true(partial(is_served_by, cluster, side, parted))
    p = min(parted)
    for side, key in ((small, b"small"), (large, b"large")):
        node = next(n for n in side_of(cluster, side) if p in n.store.partitions.by_id)
        assert write_at(cluster, node, p, key)
    cluster.network.heal()
    assert cluster.run_until_agreed(AGREED_WITHIN_S)
    assert restarted(cluster) == small
    assert cluster.comes_true(cluster.is_backed)
    keys = [
        list(held.tables["m"].records)
        for node in side_of(cluster, cluster.holders(p))
        for held in (node.store.partitions.by_id.get(p), node.store.partitions.copies.get(p))
        if held is not None
    ]
    assert keys == [[b"large"], [b"large"]]


def side_of(cluster: WatchedCluster, side: Collection[NodeId | None]) -> list[ClusterNode]:
    return [node for node in cluster.running if node.node_id in side]


def is_served_by(cluster: WatchedCluster, side: set[NodeId], partition_ids: set[int]) -> bool:
    """Whether a side serves all of these by itself, backed up within."""
    nodes = side_of(cluster, side)
    tables = {node.plane.follower.table for node in nodes}
    table = tables.pop() if len(tables) == 1 else None
    served = {p for node in nodes for p in node.store.partitions.by_id}
    return (
        table is not None
        and set(table.order) == side
        and not table.unprotected()
        and served >= partition_ids
    )


def test_halves_that_only_seeds_can_bring_together_find_each_other() -> None:
    seeds = DiscoveryOptions(multicast=False, seeds=("10.0.0.0:7701",))
    cluster = WatchedCluster(1, SOUND, seeds)
    for _ in range(4):
        cluster.add_node()
    assert cluster.run_until_agreed(AGREED_WITHIN_S)
    sides = split_in_two(cluster, 2, 1)
    cluster.run_for(60.0)
    cluster.network.heal()
    assert cluster.run_until_agreed(AGREED_WITHIN_S)
    assert restarted(cluster) in sides


@pytest.mark.parametrize("split_s", [0.5, 2.0, 4.0])
def test_split_too_short_for_a_death_restarts_nobody(split_s: float) -> None:
    cluster = formed(2, SOUND, 6)
    split_in_two(cluster, 3, 2)
    cluster.run_for(split_s)
    cluster.network.heal()
    cluster.run_for(AGREED_WITHIN_S)
    assert restarted(cluster) == set()
    assert cluster.is_settled()


@pytest.mark.parametrize(("split_s", "seed"), [(15.0, 3), (120.0, 11)])
def test_newcomers_that_promised_themselves_to_a_coordinator_that_restarted_are_admitted(
    split_s: float, seed: int
) -> None:
    cluster = formed(seed, SOUND, 6)
    split_in_two(cluster, 3, seed)
    cluster.run_for(split_s)
    cluster.network.heal()
    assert cluster.run_until_agreed(AGREED_WITHIN_S)


# -- one node ---------------------------------------------------------------------------------


@pytest.mark.parametrize("is_coordinator", [False, True])
@pytest.mark.parametrize("count", [3, 5, 8])
def test_isolated_node_yields_to_the_majority_whatever_the_terms(
    count: int, is_coordinator: bool
) -> None:
    cluster = formed(count, MILD, count)
    lone = cluster.coordinator
    if not is_coordinator:
        lone = next(node for node in cluster.running if node is not lone)
    before = cluster.clock.now_s
    isolate(cluster, lone, 90.0)
    assert cluster.run_until_agreed(AGREED_WITHIN_S)
    assert restarted(cluster, before) == {lone.node_id}


def test_isolated_node_yields_although_its_term_is_far_above() -> None:
    cluster = formed(1, SOUND, 4)
    lone = cluster.running[0]
    lone.plane.coordinator._term_floor = 50
    cluster.network.split([lone.host])
    cluster.run_for(60.0)
    table = lone.plane.follower.table
    assert table is not None
    assert table.term > 50
    cluster.network.heal()
    assert cluster.run_until_agreed(AGREED_WITHIN_S)
    assert restarted(cluster) == {lone.node_id}


@pytest.mark.parametrize(
    ("count", "isolated_s", "seed"), [(5, 15.0, 1), (5, 25.0, 4), (8, 30.0, 3), (8, 45.0, 3)]
)
def test_node_isolated_for_less_than_a_minute_harms_nobody(
    count: int, isolated_s: float, seed: int
) -> None:
    cluster = formed(seed, SOUND, count)
    lone = cluster.nodes[seed % count]
    isolate(cluster, lone, isolated_s)
    assert cluster.run_until_agreed(AGREED_WITHIN_S)
    assert restarted(cluster) <= {lone.node_id}


@pytest.mark.parametrize(("count", "seed"), [(3, 3), (4, 7), (5, 1), (8, 2), (8, 11)])
def test_deaf_node_costs_nobody_else_its_life(count: int, seed: int) -> None:
    """A broken receiver, or a firewall that drops what comes in: it speaks but does not hear."""
    cluster = formed(seed, SOUND, count)
    deaf = cluster.nodes[seed % count]
    for other in cluster.running:
        cluster.network.block(other.host, deaf.host)
    cluster.run_for(90.0)
    assert restarted(cluster) <= {deaf.node_id}


@pytest.mark.parametrize("count", [3, 5, 8])
def test_mute_node_costs_nobody_else_its_life(count: int) -> None:
    """It hears everything but nothing it says gets through."""
    cluster = formed(count, SOUND, count)
    mute = cluster.nodes[0]
    for other in cluster.running:
        cluster.network.block(mute.host, other.host)
    cluster.run_for(60.0)
    cluster.network.heal()
    assert cluster.run_until_agreed(AGREED_WITHIN_S)
    assert restarted(cluster) <= {mute.node_id}
