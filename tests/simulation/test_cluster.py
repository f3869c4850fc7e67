"""The shipped cores as whole clusters: forming, dying, leaving, coming back, on a bad network.

A failure names its seed; ``started(seed, faults)`` replays it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from random import Random

import msgspec
import pytest

from grid.membership.effects import MemberChanged
from grid.membership.messages import Beacon, MembershipMessage, MemberState
from grid.partition.messages import Publish, TableWanted
from grid.process.control_plane import NodeEffect
from grid.simulation.cluster import ClusterNode, SimulatedCluster
from grid.simulation.network import NetworkFaults
from grid.types import NO_TABLE, Address, NodeId, PartitionId

from .samples import (
    FORMING_LIMIT_S,
    HARSH,
    MILD,
    SETTLED_WITHIN_S,
    SOUND,
    WatchedCluster,
    entry_counts,
    fill,
    formed,
    started,
    trace,
)

ROOT = Path(__file__).resolve().parents[2]
EVERYBODY_KNOWS_S = 30.0


def has_ended(node: ClusterNode) -> bool:
    return not node.is_running


# -- forming ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(100))
def test_nodes_started_together_become_one_cluster(seed: int) -> None:
    random = Random(seed)
    faults = NetworkFaults(
        delay_s_max=random.uniform(0.001, 0.4),
        loss=random.uniform(0, 0.2),
        duplication=random.choice([0.0, 0.2]),
    )
    cluster = started(seed, faults)
    assert cluster.comes_true(cluster.is_settled, FORMING_LIMIT_S)
    assert cluster.double_owners() == []
    assert cluster.partitions_held_twice() == []
    assert cluster.repeated_stamps == []
    owned = [len(cluster.table.owned_by(node.node_id)) for node in cluster.running]
    copies = [len(cluster.table.roles_of(node.node_id)) for node in cluster.running]
    assert max(owned) - min(owned) <= 1
    assert max(copies) - min(copies) <= 1


def test_network_that_loses_everything_leaves_everybody_alone() -> None:
    cluster = started(1, NetworkFaults(loss=1.0), 3)
    cluster.run_for(30.0)
    assert not cluster.is_one_cluster()
    assert len({node.plane.follower.stamp for node in cluster.running}) == 3
    assert len(cluster.double_owners()) == 2 * 256


@pytest.mark.parametrize("seed", range(6))
def test_newcomer_takes_its_share_with_the_entries_and_none_is_lost(seed: int) -> None:
    cluster = formed(seed)
    fill(cluster, range(0, 256, 2))
    before = entry_counts(cluster)
    assert len(before) == 128
    newcomer = cluster.start_another()
    assert cluster.settles()
    assert len(cluster.table.order) == 5
    assert entry_counts(cluster) == before
    assert cluster.double_owners() == []
    owned = cluster.table.owned_by(newcomer.node_id)
    assert 256 // 5 <= len(owned) <= 256 // 5 + 1
    assert not before.keys().isdisjoint(owned)


def test_newcomer_takes_no_copy_from_anybody_before_it_has_all_of_it() -> None:
    """At every moment of a join each entry has its two complete copies."""
    cluster = formed(3, SOUND)
    fill(cluster, range(256))
    cluster.start_another()
    limit_s = cluster.clock.now_s + SETTLED_WITHIN_S
    while not cluster.is_settled():
        assert cluster.clock.now_s < limit_s
        cluster.run_for(0.005)
        assert cluster.complete_copies_min() >= 2


# -- the same seed, the same run --------------------------------------------------------------


def test_seed_decides_everything() -> None:
    traces = [trace(seed) for seed in (1, 2, 1, 2)]
    assert traces[:2] == traces[2:]
    assert traces[0] != traces[1]


def test_order_of_sets_does_not_matter_to_a_run() -> None:
    """Another process hashes bytes differently; a run must not depend on that."""
    command = "from tests.simulation.samples import trace; print(trace(1))"
    found = {
        subprocess.run(
            [sys.executable, "-c", command],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert found == {trace(1)}


# -- death ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_backups_take_the_place_of_a_killed_node_and_no_entry_is_lost(seed: int) -> None:
    cluster = formed(seed)
    fill(cluster, range(256))
    before = entry_counts(cluster)
    table = cluster.table
    victim = cluster.nodes[seed % 4]
    heirs = {p: table.backup_of(p) for p in table.owned_by(victim.node_id)}
    victim.kill()
    assert cluster.comes_true(cluster.is_one_cluster)
    assert {p: cluster.table.primary_of(p) for p in heirs} == heirs
    assert cluster.settles()
    assert victim.node_id not in cluster.table.order
    assert entry_counts(cluster) == before
    assert cluster.double_owners() == []


def kill_two(cluster: WatchedCluster, first: int) -> tuple[set[int], list[NodeId]]:
    """Kill two nodes at once. Returns: the partitions that no other has, the victims."""
    victims = [cluster.nodes[first], cluster.nodes[(first + 1) % len(cluster.nodes)]]
    ids = [victim.node_id for victim in victims]
    gone = {p for p in range(256) if cluster.holders(p) <= set(ids)}
    for victim in victims:
        victim.kill()
    return gone, ids


@pytest.mark.parametrize("seed", range(6))
def test_partitions_killed_with_both_their_nodes_are_lost_and_never_given_away(seed: int) -> None:
    cluster = formed(seed)
    fill(cluster, range(256))
    gone, victims = kill_two(cluster, seed % 4)
    assert gone
    for _ in range(int(EVERYBODY_KNOWS_S)):
        cluster.run_for(1.0)
        for node in cluster.running:
            table = node.plane.follower.table
            assert table is not None
            assert {table.primary_of(PartitionId(p)) for p in gone} <= {None, *victims}
            assert gone.isdisjoint(p for p, _, _ in node.store.holdings())
    assert set(cluster.table.lost()) == gone
    assert set(cluster.table.order).isdisjoint(victims)
    assert entry_counts(cluster).keys() == set(range(256)) - gone
    asker = cluster.running[-1]
    asker.perform(asker.plane.accept_loss())
    assert cluster.settles()
    assert cluster.partitions_held_twice() == []
    assert entry_counts(cluster).keys() == set(range(256)) - gone


def test_lost_partitions_stay_lost_when_a_node_joins() -> None:
    cluster = formed(4)
    gone, _ = kill_two(cluster, 2)
    assert gone
    newcomer = cluster.start_another()
    assert cluster.comes_true(cluster.is_backed)
    assert cluster.table.roles_of(newcomer.node_id)
    assert set(cluster.table.lost()) == gone
    cluster.run_for(EVERYBODY_KNOWS_S)
    assert set(cluster.table.lost()) == gone


def test_everybody_hears_of_a_death_and_of_nothing_else() -> None:
    cluster = formed(5)
    forgotten = len(cluster.notifications)
    victim = cluster.nodes[1]
    victim.kill()
    assert cluster.settles()
    dead = [
        (hearer, effect.record.node_id)
        for _, hearer, effect in cluster.notifications[forgotten:]
        if isinstance(effect, MemberChanged) and effect.record.state is MemberState.DEAD
    ]
    assert sorted(dead) == sorted((node.node_id, victim.node_id) for node in cluster.running)


@pytest.mark.parametrize("seed", range(6))
def test_killed_coordinator_is_followed_by_the_next_oldest_in_a_higher_term(seed: int) -> None:
    cluster = formed(seed)
    before = cluster.table
    cluster.coordinator.kill()
    assert cluster.settles()
    assert cluster.table.coordinator == before.order[1]
    assert cluster.table.term > before.term
    assert cluster.table.order == before.order[1:]
    assert cluster.table.stamp.supersedes(before.stamp)


@pytest.mark.parametrize("seed", range(6))
def test_all_entries_live_through_a_takeover(seed: int) -> None:
    cluster = formed(seed)
    fill(cluster, range(256))
    before = entry_counts(cluster)
    cluster.coordinator.kill()
    assert cluster.settles()
    assert entry_counts(cluster) == before
    assert cluster.partitions_held_twice() == []


@pytest.mark.parametrize("seed", range(6))
def test_killed_one_after_the_other_nodes_take_no_entry_with_them(seed: int) -> None:
    """Each time the survivors have made new copies of everything before the next dies."""
    cluster = formed(seed, node_count=5)
    fill(cluster, range(256))
    before = entry_counts(cluster)
    random = Random(seed)
    while len(cluster.running) > 1:
        random.choice(cluster.running).kill()
        assert cluster.settles()
        assert entry_counts(cluster) == before


# -- leaving ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_leaver_with_empty_partitions_loses_nothing(seed: int) -> None:
    cluster = formed(seed)
    leaver = cluster.nodes[seed % 4]
    leaver.leave()
    assert cluster.comes_true(lambda: not leaver.is_running)
    assert cluster.settles()
    assert len(cluster.table.order) == 3


@pytest.mark.parametrize("seed", range(6))
def test_leaver_goes_when_all_its_entries_are_elsewhere_twice(seed: int) -> None:
    cluster = formed(seed)
    fill(cluster, range(256))
    before = entry_counts(cluster)
    leaver = cluster.nodes[seed % 4]
    leaver.leave()
    assert cluster.comes_true(lambda: not leaver.is_running)
    assert cluster.complete_copies_min() == 2
    assert cluster.settles()
    assert len(cluster.table.order) == 3
    assert entry_counts(cluster) == before


@pytest.mark.parametrize("seed", range(6))
def test_entries_of_one_that_leaves_at_once_are_served_by_their_backups(seed: int) -> None:
    cluster = formed(seed)
    fill(cluster, range(0, 256, 3))
    before = entry_counts(cluster)
    cluster.nodes[seed % 4].leave_at_once()
    assert cluster.settles()
    assert len(cluster.table.order) == 3
    assert entry_counts(cluster) == before


def test_last_one_may_leave_with_all_that_it_has() -> None:
    cluster = formed(1, node_count=1)
    fill(cluster, range(256))
    (last,) = cluster.running
    last.leave()
    assert cluster.comes_true(lambda: not last.is_running)


def test_coordinators_may_leave_one_after_the_other() -> None:
    cluster = formed(7, node_count=5)
    fill(cluster, range(0, 256, 4))
    before = entry_counts(cluster)
    terms = [cluster.table.term]
    while len(cluster.running) > 1:
        leaver = cluster.coordinator
        leaver.leave()
        assert cluster.comes_true(partial(has_ended, leaver))
        assert cluster.settles()
        terms.append(cluster.table.term)
        assert entry_counts(cluster) == before
    assert terms == sorted(set(terms))


# -- stamps and the network -------------------------------------------------------------------


def disturb(cluster: WatchedCluster, random: Random) -> None:
    """Kill, stop or add a node, or accept a loss."""
    running = cluster.running
    action = random.choice(["kill", "leave", "join", "join", "accept"])
    if action == "join" or len(running) < 3:
        cluster.add_node(random.uniform(0, 1))
    elif action == "kill":
        random.choice(running).kill()
    elif action == "leave":
        random.choice(running).leave()
    else:
        node = random.choice(running)
        node.perform(node.plane.accept_loss())


@pytest.mark.parametrize("seed", range(15))
def test_stamp_never_stands_for_two_tables_whatever_happens(seed: int) -> None:
    random = Random(seed)
    cluster = started(seed, HARSH)
    for _ in range(8):
        disturb(cluster, random)
        cluster.run_for(random.choice([0.3, 1.0, 3.0, 14.0]))
    assert len(cluster.published) > 1
    assert cluster.repeated_stamps == []


def test_stamp_used_twice_is_noticed() -> None:
    cluster = formed(1, node_count=2)
    table = cluster.table
    other = msgspec.structs.replace(table, epochs=tuple(epoch + 1 for epoch in table.epochs))
    sender, target = cluster.running
    cluster.send_to_node(sender, target.node_id, Publish(other))
    assert cluster.repeated_stamps == [table.stamp]


def test_link_keeps_order_whatever_the_delay(monkeypatch) -> None:
    cluster = SimulatedCluster(1, faults=HARSH)
    sender, target = (cluster.add_node(start_after_s=99.0) for _ in range(2))
    for node in (sender, target):
        node.is_running = True
        cluster.register(node)
    arrived: list[int] = []

    def note(_: NodeId, message: TableWanted) -> list[NodeEffect]:
        arrived.append(message.stamp.version)
        return []

    monkeypatch.setattr(target.plane, "handle_peer_message", note)
    for version in range(50):
        wanted = TableWanted(NO_TABLE._replace(version=version))
        cluster.send_to_node(sender, target.node_id, wanted)
    cluster.clock.run_until(1.0)
    assert arrived == list(range(50))


@pytest.mark.parametrize(("loss", "duplication", "copies"), [(0, 0, 1), (1, 1, 0), (0, 1, 2)])
def test_datagrams_are_lost_and_duplicated_as_told(
    monkeypatch, loss: float, duplication: float, copies: int
) -> None:
    cluster = SimulatedCluster(1, faults=NetworkFaults(loss=loss, duplication=duplication))
    sender, target = (cluster.add_node(start_after_s=99.0) for _ in range(2))
    for node in (sender, target):
        node.is_running = True
        cluster.register(node)
    arrived: list[tuple[Address, MembershipMessage]] = []

    def note(_: NodeId, source: Address, message: MembershipMessage) -> list[NodeEffect]:
        arrived.append((source, message))
        return []

    monkeypatch.setattr(target.plane, "handle_datagram", note)
    beacon = Beacon(sender.plane.own, 1, b"")
    cluster.multicast(sender, beacon)
    cluster.send_datagram(sender, target.address, beacon)
    cluster.clock.run_until(1.0)
    assert arrived == [(sender.address, beacon)] * 2 * copies


def test_killed_node_neither_hears_nor_says_anything() -> None:
    cluster = formed(6, MILD, 3)
    victim = cluster.nodes[0]
    victim.kill()
    before = (list(victim.log), victim.plane.follower.stamp)
    cluster.add_node()
    cluster.run_for(20.0)
    assert (victim.log, victim.plane.follower.stamp) == before
