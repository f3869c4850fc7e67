"""What follows from the answers of a round."""

from __future__ import annotations

from grid.partition.messages import Holding, HoldingRole
from grid.partition.round import Round, roles_in
from grid.partition.steps import Roles
from grid.partition.table import PartitionTable, make_table
from grid.types import PARTITION_COUNT, NodeId, TableStamp

from .samples import holds, node, stamp

BACKUP = HoldingRole.BACKUP


def table_with_backups() -> PartitionTable:
    """Return a table: node 1 owns, node 2 backs; 5 is lost."""
    owners: list[NodeId | None] = [node(1)] * PARTITION_COUNT
    backups: list[NodeId | None] = [node(2)] * PARTITION_COUNT
    owners[5] = backups[5] = None
    order = [node(1), node(2)]
    return make_table(stamp(1, 1, 4), order, owners, [3] * PARTITION_COUNT, backups)


TABLE = table_with_backups()


def round_with(
    held: dict[int, list[Holding]], stamps: dict[int, TableStamp] | None = None
) -> Round:
    """Return a round with the answers of the nodes of these numbers."""
    by_id = {node(n): {h.partition_id: h for h in answer} for n, answer in held.items()}
    known = dict.fromkeys(by_id, TABLE.stamp)
    known |= {node(n): other for n, other in (stamps or {}).items()}
    return Round(1, "collect", stamp(1, 1, 5), TABLE, set(), held=by_id, stamps=known)


def test_roles_of_the_table_are_read() -> None:
    assert roles_in(TABLE, 4) == Roles(node(1), node(2), True)
    assert roles_in(TABLE, 5) == Roles(None)


def test_table_is_served_when_everybody_holds_just_what_it_says() -> None:
    first, second = holds(TABLE, node(1)), holds(TABLE, node(2))
    assert round_with({1: first, 2: second}).is_served()
    assert not round_with({1: first[1:], 2: second}).is_served()
    assert not round_with({1: first, 2: [*second, Holding(5, 1, 0)]}).is_served()
    assert not round_with({1: first, 2: second}, {2: stamp(1, 1, 3)}).is_served()


def test_table_is_not_served_by_who_has_just_let_go_of_something() -> None:
    current = round_with({1: holds(TABLE, node(1))})
    current.asked = {node(1): {4}}
    assert not current.is_served()


def test_facts_tell_the_silent_from_the_dead_and_the_late_from_the_current() -> None:
    current = round_with({1: holds(TABLE, node(1)), 3: []}, {1: stamp(1, 1, 3)})
    facts = current.facts({node(1), node(2), node(3)}, has_backups=True)[4]
    assert facts.silent == {node(2)}
    assert facts.up_to_date == set()
    assert set(facts.held) == {node(1)}
    assert facts.epoch == 3
    assert round_with({1: []}).facts({node(1)}, has_backups=True)[4].silent == set()


def test_newcomer_s_holdings_are_no_facts_of_this_cluster() -> None:
    facts = round_with({3: [Holding(4, 9, 9, 9, BACKUP)]}).facts({node(3)}, has_backups=True)[4]
    assert facts.held == {}


def test_highest_epochs_are_of_all_who_answered() -> None:
    highest = round_with({1: [Holding(4, 7, 0)], 3: [Holding(6, 9, 0), Holding(7, 1, 0)]})
    assert highest.highest_epochs()[4:8] == [7, 3, 9, 3]


def test_member_with_a_newer_table_is_found() -> None:
    current = round_with({1: [], 2: []}, {2: stamp(1, 1, 9)})
    assert current.newer == [(stamp(1, 1, 9), node(2))]


def test_newcomer_claims_its_entries_and_a_copy_only_if_nobody_brings_the_primary() -> None:
    third = [Holding(4, 1, 9, 9), Holding(6, 1, 0)]
    fourth = [Holding(4, 1, 9, 9, BACKUP), Holding(7, 1, 2, 2, BACKUP), Holding(8, 1, 0, 0, BACKUP)]
    assert round_with({1: [], 3: third, 4: fourth}).claims() == {4: node(3), 7: node(4)}


def test_newcomer_whose_entries_have_namesakes_here_is_excluded() -> None:
    current = round_with({1: [Holding(4, 3, 1, 1)], 3: [Holding(4, 1, 9, 9)], 4: []})
    ((excluded, line),) = current.exclude_conflicts()
    assert excluded == node(3)
    assert "not admitted" in line.text
    assert current.newcomers == [node(4)]


def test_of_two_newcomers_with_entries_of_one_partition_one_is_excluded() -> None:
    current = round_with({1: [], 3: [Holding(4, 1, 9, 9)], 4: [Holding(4, 1, 2, 2)]})
    assert [excluded for excluded, _ in current.exclude_conflicts()] == [node(4)]
    assert current.claims() == {4: node(3)}


def test_newcomers_of_one_cluster_do_not_exclude_each_other() -> None:
    third, fourth = [Holding(4, 1, 9, 9)], [Holding(4, 1, 9, 9, BACKUP)]
    current = round_with({1: [], 3: third, 4: fourth})
    assert current.exclude_conflicts() == []
