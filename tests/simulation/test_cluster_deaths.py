"""Whole control planes: processes that end, nodes that sleep, and many that come at once."""

from __future__ import annotations

import pytest

from grid.membership.effects import MemberChanged, SelfDeclaredDead
from grid.membership.messages import MemberState
from grid.simulation.network import NetworkFaults
from grid.types import NodeId

from .samples import SOUND, WatchedCluster, formed

AGREED_WITHIN_S = 60.0
ACROSS_TOWN = NetworkFaults(delay_s_max=0.05, duplication=0.05)
"""Slow, but nothing is lost: a lost connection attempt costs a second by itself."""


def deaths(cluster: WatchedCluster, since_s: float) -> dict[NodeId, dict[NodeId, float]]:
    """Return who was held for dead, by whom, and when first."""
    found: dict[NodeId, dict[NodeId, float]] = {}
    for at_s, hearer, effect in cluster.notifications:
        if isinstance(effect, MemberChanged) and at_s >= since_s:
            record = effect.record
            if record.state is MemberState.DEAD:
                found.setdefault(record.node_id, {}).setdefault(hearer, at_s)
    return found


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("seed", range(2))
def test_ended_process_is_known_to_all_within_a_second(count: int, seed: int) -> None:
    cluster = formed(seed, ACROSS_TOWN, count)
    died_s = cluster.clock.now_s
    victim = cluster.nodes[seed % count]
    victim.kill()
    cluster.run_for(1.0)
    dead = deaths(cluster, died_s)
    assert set(dead) == {victim.node_id}
    assert set(dead[victim.node_id]) == {node.node_id for node in cluster.running}


def test_two_processes_that_end_together_are_both_known_within_a_second() -> None:
    cluster = formed(1, SOUND, 6)
    died_s = cluster.clock.now_s
    victims = cluster.nodes[:2]
    for victim in victims:
        victim.kill()
    cluster.run_for(1.0)
    dead = deaths(cluster, died_s)
    assert set(dead) == {victim.node_id for victim in victims}
    for knowing in dead.values():
        assert set(knowing) == {node.node_id for node in cluster.running}


@pytest.mark.parametrize("count", [2, 4])
def test_restarted_node_replaces_its_predecessor_at_once(count: int) -> None:
    cluster = formed(1, SOUND, count)
    before_s = cluster.clock.now_s
    old = cluster.nodes[0]
    new = cluster.restart(old)
    assert cluster.run_until_agreed(10.0)
    assert new.is_running
    assert set(deaths(cluster, before_s)) == {old.node_id}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [2, 3, 6])
def test_node_that_slept_20_s_comes_back_as_a_new_member(count: int, seed: int) -> None:
    cluster = formed(seed, SOUND, count)
    before_s = cluster.clock.now_s
    sleeper = cluster.nodes[seed % count]
    sleeper.pause()
    cluster.run_for(20.0)
    assert set(deaths(cluster, before_s)) == {sleeper.node_id}
    sleeper.resume()
    assert cluster.run_until_agreed(AGREED_WITHIN_S)
    assert not sleeper.is_running
    assert set(deaths(cluster, before_s)) == {sleeper.node_id}
    gave_way = {i for _, i, effect in cluster.notifications if isinstance(effect, SelfDeclaredDead)}
    assert gave_way == {sleeper.node_id}
    assert len(cluster.running) == count
    assert cluster.partitions_held_twice() == []


@pytest.mark.parametrize("pause_s", [0.5, 2.0])
def test_node_that_slept_for_a_moment_stays_who_it_is(pause_s: float) -> None:
    cluster = formed(1, SOUND, 4)
    before = cluster.table
    for node in cluster.nodes:
        node.pause()
        cluster.run_for(pause_s)
        node.resume()
        cluster.run_for(1.0)
    cluster.run_for(20.0)
    assert cluster.table == before
    assert deaths(cluster, 0.0) == {}


@pytest.mark.parametrize("seed", range(2))
def test_thirty_nodes_that_join_at_once_form_one_table(seed: int) -> None:
    cluster = WatchedCluster(seed, NetworkFaults(loss=0.02))
    for _ in range(30):
        cluster.add_node()
    cluster.run_for(0.0)
    assert cluster.run_until_agreed(30.0)
    assert cluster.settles()
    assert len(cluster.table.order) == 30
    assert deaths(cluster, 0.0) == {}
    assert cluster.double_owners() == []
    shares = [len(cluster.table.owned_by(node.node_id)) for node in cluster.running]
    assert max(shares) - min(shares) <= 1


def test_thirty_newcomers_are_admitted_to_a_running_cluster() -> None:
    cluster = formed(1, SOUND, 2)
    founders = set(cluster.table.order)
    for _ in range(30):
        cluster.add_node()
    cluster.run_for(0.0)
    assert cluster.run_until_agreed(30.0)
    assert cluster.settles()
    assert founders < set(cluster.table.order)
    assert deaths(cluster, 0.0) == {}
