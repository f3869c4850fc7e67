"""From the answers of a round to the next table."""

from __future__ import annotations

from collections import Counter

from msgspec.structs import replace

from grid.partition.messages import Holding
from grid.partition.planning import Plan, Planner, Surroundings, next_table, outcome
from grid.partition.round import Round, roles_in
from grid.partition.steps import Roles
from grid.partition.table import PartitionTable, make_table
from grid.types import PARTITION_COUNT, NodeId

from .samples import filled, holds, node, stamp

ONE, TWO, THREE = node(1), node(2), node(3)
EVERYTHING = dict.fromkeys(range(PARTITION_COUNT), 4)


def table_of_two() -> PartitionTable:
    """Return a balanced table of two nodes."""
    owners = [ONE, TWO] * (PARTITION_COUNT // 2)
    backups = [TWO, ONE] * (PARTITION_COUNT // 2)
    return make_table(stamp(1, 1, 4), [ONE, TWO], owners, [3] * PARTITION_COUNT, backups)


def around(*alive: NodeId, leaving: NodeId | None = None, has_backups: bool = True) -> Surroundings:
    hosts = {node_id: node_id.hex() for node_id in alive}
    leavers = {leaving} if leaving is not None else set()
    return Surroundings(ONE, hosts, leavers, set(), {}, has_backups)


def round_of(table: PartitionTable, **held: list[Holding]) -> Round:
    """Return a round with the answers of n1, n2, ..."""
    by_id = {node(int(k[1:])): {h.partition_id: h for h in answer} for k, answer in held.items()}
    stamps = dict.fromkeys(by_id, table.stamp)
    following = stamp(table.term, 1, table.version + 1)
    return Round(1, "collect", following, table, set(), held=by_id, stamps=stamps)


def publish(current: Round, plan: Plan, *alive: NodeId, grants: bool = True) -> PartitionTable:
    roles, kept_back = outcome(plan, plan.asked if grants else {}, current.newcomers)
    admitted = [n for n in current.newcomers if n not in kept_back]
    return next_table(current, roles, set(alive), admitted, has_backups=True)


def test_join_to_a_full_cluster_takes_three_steps_and_moves_the_minimum() -> None:
    planner, table = Planner(), table_of_two()
    everybody = (ONE, TWO, THREE)
    tables = [table]
    for _ in range(6):
        held = {f"n{n}": filled(holds(table, node(n), EVERYTHING), table) for n in (1, 2, 3)}
        current = round_of(table, **held)
        plan = planner.plan(current, around(*everybody))
        table = publish(current, plan, *everybody)
        if replace(table, version=0) == replace(tables[-1], version=0):
            break
        tables.append(table)
    assert len(tables) <= 4
    before, after = tables[0], tables[-1]
    assert after.unprotected() == after.moving() == []
    assert set(Counter(after.primaries).values()) == {85, 86}
    assert len(after.roles_of(THREE)) <= 171
    for p in range(PARTITION_COUNT):
        was, now = roles_in(before, p), roles_in(after, p)
        assert {now.primary, now.backup} <= {was.primary, was.backup, THREE}


def test_plan_is_kept_while_the_nodes_stay_the_same() -> None:
    planner, table = Planner(), table_of_two()
    held = {f"n{n}": holds(table, node(n), EVERYTHING) for n in (1, 2)}
    first = planner.plan(round_of(table, **held, n3=[]), around(ONE, TWO, THREE))
    again = planner.plan(round_of(table, **held, n3=[]), around(ONE, TWO, THREE))
    assert again.targets is first.targets
    alone = planner.plan(round_of(table, **held), around(ONE, TWO))
    assert alone.targets is not first.targets


def test_handover_that_is_not_granted_changes_nothing() -> None:
    table = table_of_two()
    owners = [ONE] * PARTITION_COUNT
    skewed = make_table(
        table.stamp, [ONE, TWO], owners, [3] * PARTITION_COUNT, [TWO] * PARTITION_COUNT
    )
    held = {f"n{n}": holds(skewed, node(n), EVERYTHING) for n in (1, 2)}
    current = round_of(skewed, **held)
    plan = Planner().plan(current, around(ONE, TWO))
    assert {node_id: len(asked) for node_id, asked in plan.hands_over.items()} == {ONE: 128}
    assert plan.gives_up == {}
    refused = publish(current, plan, ONE, TWO, grants=False)
    assert (refused.primaries, refused.epochs) == (skewed.primaries, skewed.epochs)
    granted = publish(current, plan, ONE, TWO)
    assert len(granted.owned_by(TWO)) == len(granted.backed_by(TWO)) == 128
    assert granted.unprotected() == []


def test_leaver_is_given_nothing_and_loses_all_at_the_end() -> None:
    planner, table = Planner(), table_of_two()
    everybody = (ONE, TWO, THREE)
    for _ in range(6):
        held = {f"n{n}": filled(holds(table, node(n), EVERYTHING), table) for n in (1, 2, 3)}
        current = round_of(table, **held)
        table = publish(current, planner.plan(current, around(*everybody, leaving=TWO)), *everybody)
    assert table.roles_of(TWO) == []
    assert table.unprotected() == []
    assert table.order == everybody


def test_hung_member_is_no_target_but_keeps_what_it_has() -> None:
    table = table_of_two()
    current = round_of(table, n1=holds(table, ONE, EVERYTHING), n3=[])
    surroundings = Surroundings(
        ONE, {n: n.hex() for n in (ONE, TWO, THREE)}, set(), {TWO}, {}, True
    )
    plan = Planner().plan(current, surroundings)
    assert plan.is_held_up
    assert {t.primary for t in plan.targets} == {ONE, THREE}
    assert publish(current, plan, ONE, TWO, THREE).owned_by(TWO) == table.owned_by(TWO)


def test_newcomer_with_entries_is_kept_back_until_they_have_a_place() -> None:
    table = make_table(
        stamp(1, 1, 4), [ONE], [ONE] * PARTITION_COUNT, [3] * PARTITION_COUNT, backup_count=1
    )
    theirs = [Holding(7, 9, 2, 2), Holding(8, 9, 0)]
    current = round_of(table, n1=holds(table, ONE), n2=theirs)
    plan = Planner().plan(current, around(ONE, TWO))
    assert 7 in plan.gives_up[ONE]
    assert plan.gives_up[TWO] == {8}
    refused = {ONE: plan.asked[ONE] - {7}, TWO: {8}}
    assert outcome(plan, refused, [TWO])[1] == {TWO}
    roles, kept_back = outcome(plan, plan.asked, [TWO])
    assert kept_back == set()
    assert roles[7] == Roles(TWO)
    admitted = next_table(current, roles, {ONE, TWO}, [TWO], has_backups=True)
    assert admitted.epochs[7] == 10


def test_what_a_leaver_said_was_empty_is_not_lost() -> None:
    table = make_table(
        stamp(1, 1, 4), [ONE, TWO], [TWO] * PARTITION_COUNT, [3] * PARTITION_COUNT, backup_count=1
    )
    current = round_of(table, n1=[])
    surroundings = Surroundings(ONE, {ONE: "a"}, set(), set(), {TWO: {5}}, True)
    after = publish(current, Planner().plan(current, surroundings), ONE)
    assert after.lost() == [5]
    assert len(after.owned_by(ONE)) == PARTITION_COUNT - 1
