"""Coordinators, followers and fake stores together: joins, deaths, leaves, lost messages.

What must hold at every table is checked by `clusters.Cluster` itself.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from random import Random

import pytest

from grid.partition.table import NOBODY, PartitionTable
from grid.types import NodeId

from .clusters import Cluster, Machine

TABLES_PER_CHANGE = 10


def copies_in(table: PartitionTable) -> set[tuple[int, NodeId]]:
    return {
        (p, NodeId(table.order[index]))
        for column in (table.primaries, table.backups)
        for p, index in enumerate(column)
        if index != NOBODY
    }


def write_somewhere(cluster: Cluster) -> None:
    cluster.write(cluster.random.randrange(256))


def check_quiet(cluster: Cluster) -> None:
    """What must be true when nothing has happened for long."""
    table, machines = cluster.table, cluster.running
    assert {machine.table for machine in machines} == {table}
    assert set(table.order) == {machine.node_id for machine in machines}
    assert table.moving() == []
    assert table.unprotected() == [] or len(machines) == 1
    for machine in machines:
        assert set(machine.store.primaries) == set(table.owned_by(machine.node_id))
        assert not any(held.is_frozen for held in machine.store.primaries.values())
    owned = Counter(table.primaries)
    copies = owned + Counter(index for index in table.backups if index != NOBODY)
    if not table.lost():
        for shares in (owned, copies):
            assert max(shares.values()) - min(shares.values()) <= 1
    assert cluster.missing() == []


def grown(seed: int, count: int, *, loss: float = 0.0, backup_count: int = 1) -> Cluster:
    """Return a cluster of so many nodes, with entries."""
    cluster = Cluster(seed, loss=loss, backup_count=backup_count)
    cluster.add()
    for _ in range(count - 1):
        cluster.add()
    cluster.run(20)
    for p in range(256):
        cluster.write(p)
    cluster.run(2)
    check_quiet(cluster)
    return cluster


@pytest.mark.parametrize("seed", range(2))
def test_joins_move_the_minimum_in_few_tables_and_lose_nothing(seed: int) -> None:
    cluster = grown(seed, 1)
    for count in range(2, 8):
        before, tables = copies_in(cluster.table), len(cluster.tables)
        cluster.add()
        cluster.run(30, partial(write_somewhere, cluster))
        check_quiet(cluster)
        assert len(cluster.tables) - tables <= TABLES_PER_CHANGE
        new = copies_in(cluster.table) - before
        assert len(new) <= 1.05 * 512 / count


def test_four_starts_at_once_are_planned_together() -> None:
    cluster = grown(1, 2)
    tables = len(cluster.tables)
    for _ in range(4):
        cluster.add()
    cluster.run(30)
    check_quiet(cluster)
    assert len(cluster.tables) - tables <= TABLES_PER_CHANGE


def test_nothing_is_published_when_nothing_changes() -> None:
    cluster = grown(2, 4)
    tables = len(cluster.tables)
    cluster.run(300)
    assert len(cluster.tables) == tables


def test_forming_of_an_empty_cluster_takes_few_tables() -> None:
    cluster = Cluster(3)
    for _ in range(8):
        cluster.add()
    cluster.run(20)
    check_quiet(cluster)
    assert len(cluster.tables) <= TABLES_PER_CHANGE


@pytest.mark.parametrize("seed", range(3))
def test_one_death_after_the_other_loses_nothing_but_what_was_at_risk(seed: int) -> None:
    cluster = grown(seed, 6)
    while len(cluster.running) > 2:
        tables = len(cluster.tables)
        before = copies_in(cluster.table)
        dead = cluster.random.choice(cluster.running)
        cluster.kill(dead)
        cluster.run(30, partial(write_somewhere, cluster))
        check_quiet(cluster)
        assert cluster.ever_lost == set()
        assert len(cluster.tables) - tables <= TABLES_PER_CHANGE
        survived = {copy for copy in before if copy[1] != dead.node_id}
        new = copies_in(cluster.table) - survived
        assert len(new) <= 1.05 * (len(before) - len(survived)) + 2
    assert "balanced, all partitions have a backup" in cluster.lines


@pytest.mark.parametrize("leaver", range(4))
def test_leave_loses_nothing_and_ends(leaver: int) -> None:
    cluster = grown(5, 4)
    machine = cluster.machines[leaver]
    tables = len(cluster.tables)
    machine.perform(machine.leave())
    cluster.run(30, partial(write_somewhere, cluster))
    assert not machine.is_running
    check_quiet(cluster)
    assert cluster.ever_lost == cluster.at_risk == set()
    assert len(cluster.tables) - tables <= TABLES_PER_CHANGE


def test_last_node_may_leave_at_once_and_so_may_all_together() -> None:
    for count in (1, 3):
        cluster = grown(6, count)
        for machine in cluster.running:
            machine.perform(machine.leave())
        cluster.run(5)
        assert cluster.running == []


def test_one_of_two_hands_over_everything_and_goes() -> None:
    cluster = grown(7, 2)
    machine = cluster.machines[0]
    machine.perform(machine.leave())
    cluster.run(20)
    assert not machine.is_running
    assert len(cluster.table.unprotected()) == 256
    assert cluster.missing() == cluster.table.lost() == []


def test_backups_are_on_another_host_whenever_there_is_one() -> None:
    cluster = Cluster(8)
    for host in ("a", "a", "b", "b", "a"):
        cluster.add(host)
        cluster.run(15)
    host_of = {machine.node_id: machine.host for machine in cluster.machines}
    table = cluster.table
    assert table.unprotected() == table.moving() == []
    for primary, backup in zip(table.primaries, table.backups, strict=True):
        assert host_of[NodeId(table.order[primary])] != host_of[NodeId(table.order[backup])]


def test_filling_that_takes_long_keeps_everything_where_it_is() -> None:
    cluster = grown(9, 3)
    owned = {machine.node_id: set(machine.store.primaries) for machine in cluster.running}
    cluster.is_filling = False
    cluster.add()
    cluster.run(60)
    table = cluster.table
    assert table.unprotected() == []
    assert {n: set(table.owned_by(n)) for n in owned} == owned
    tables = len(cluster.tables)
    cluster.run(60)
    assert len(cluster.tables) == tables
    cluster.is_filling = True
    cluster.run(30)
    check_quiet(cluster)


class Chaos:
    """Random joins, deaths and leaves, each at a random moment of what the last has begun."""

    def __init__(self, seed: int, *, loss: float = 0.0, delay_s: float = 0.03) -> None:
        self.random = Random(seed)
        self.breaks = seed % 3 == 0
        backup_count = 0 if seed % 7 == 0 else 1
        self.cluster = Cluster(seed, loss=loss, backup_count=backup_count, delay_s=delay_s)
        for _ in range(3):
            self.cluster.add()
        self.cluster.run(5)

    def run(self, seconds: float) -> None:
        self.cluster.run(seconds, self._disturb)

    def change(self) -> None:
        """Let something happen to some node, often the coordinator's."""
        running = [machine for machine in self.cluster.running if machine.table is not None]
        staying = [machine for machine in running if not machine.wants_to_leave]
        choice = self.random.random()
        if choice < 0.4 or len(staying) < 3:
            self.cluster.add()
        elif choice < 0.8:
            self.cluster.kill(self._some(running))
        else:
            leaver = self._some(staying)
            leaver.perform(leaver.leave())

    def _some(self, machines: list[Machine]) -> Machine:
        return machines[0] if self.random.random() < 0.4 else self.random.choice(machines)

    def _disturb(self) -> None:
        if self.random.random() < 0.2:
            self.cluster.write(self.random.randrange(256))
        if self.breaks and self.random.random() < 0.003:
            self.cluster.break_copy()


@pytest.mark.parametrize("seed", range(24))
def test_whatever_happens_the_rules_hold_and_the_cluster_settles(seed: int) -> None:
    random = Random(seed)
    loss, delay_s = random.choice([0, 0, 0.02, 0.1]), random.choice([0.005, 0.03, 0.2])
    chaos = Chaos(seed, loss=loss, delay_s=delay_s)
    for _ in range(random.randrange(3, 10)):
        chaos.change()
        chaos.run(random.choice([0.01, 0.1, 0.3, 1, 3, 15]))
    chaos.breaks = False
    chaos.run(90)
    check_quiet(chaos.cluster)


@pytest.mark.parametrize("step", range(12))
def test_coordinator_killed_at_any_step_of_a_join_or_a_leave_costs_nothing(step: int) -> None:
    """It dies `step` tenths of a second into what it coordinates."""
    for other_than_join in (False, True):
        cluster = grown(10 + step, 4)
        if other_than_join:
            leaver = cluster.machines[2]
            leaver.perform(leaver.leave())
        else:
            cluster.add()
        cluster.run(0.05 + step / 10, partial(write_somewhere, cluster))
        cluster.kill(cluster.machines[0])
        cluster.run(60)
        check_quiet(cluster)
        assert cluster.ever_lost == set()
