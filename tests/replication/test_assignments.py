"""What each node is told of the table: its roles, and, where it is primary, who has the copies."""

from __future__ import annotations

import pytest

from grid.partition.messages import HoldingRole
from grid.partition.table import NOBODY, PartitionTable
from grid.replication.assignments import assignments_of
from grid.replication.messages import Assignment, CopyTarget
from grid.types import PARTITION_COUNT, NodeId

A, B, C = (NodeId(letter * 16) for letter in (b"a", b"b", b"c"))
ORDER = [A, B, C]


def table(**roles: tuple[int, int, bool, int]) -> PartitionTable:
    """Return a table where partition `pN` has (primary, backup, synced, incoming), all else A."""
    primaries, backups = [0] * PARTITION_COUNT, [NOBODY] * PARTITION_COUNT
    synced, incoming = [False] * PARTITION_COUNT, [NOBODY] * PARTITION_COUNT
    for name, (primary, backup, is_synced, third) in roles.items():
        p = int(name[1:])
        primaries[p], backups[p], synced[p], incoming[p] = primary, backup, is_synced, third
    return PartitionTable(
        term=1,
        coordinator=A,
        version=1,
        order=tuple(ORDER),
        primaries=tuple(primaries),
        epochs=tuple(range(100, 100 + PARTITION_COUNT)),
        backups=tuple(backups),
        synced=tuple(synced),
        incoming=tuple(incoming),
        backup_count=1,
    )


def told(shown: PartitionTable, node_id: NodeId, partition: int) -> list[Assignment]:
    every = assignments_of(shown, node_id, {A: 1, B: 2, C: 3}.get)
    assert [a.partition for a in every] == sorted(a.partition for a in every)
    return [assignment for assignment in every if assignment.partition == partition]


SHOWN = table(p7=(1, 2, True, 0), p8=(1, 2, False, NOBODY), p9=(2, NOBODY, False, NOBODY))


def test_primary_is_told_where_its_copies_are() -> None:
    copies = [CopyTarget(C, 7 % 3, True, True), CopyTarget(A, 0, False, False)]
    assert told(SHOWN, B, 7) == [Assignment(7, 107, HoldingRole.PRIMARY, B, copies)]
    unsynced = [CopyTarget(C, 8 % 3, True, False)]
    assert told(SHOWN, B, 8) == [Assignment(8, 108, HoldingRole.PRIMARY, B, unsynced)]
    assert told(SHOWN, C, 9) == [Assignment(9, 109, HoldingRole.PRIMARY, C, [])]


def test_copies_are_told_whose_they_are() -> None:
    assert told(SHOWN, C, 7) == [Assignment(7, 107, HoldingRole.BACKUP, B, [])]
    assert told(SHOWN, C, 8) == [Assignment(8, 108, HoldingRole.FILLING, B, [])]  # Not synced yet.
    assert told(SHOWN, A, 7) == [Assignment(7, 107, HoldingRole.FILLING, B, [])]


def test_who_has_no_role_is_told_nothing() -> None:
    assert told(SHOWN, A, 8) == []
    assert told(SHOWN, B, 9) == []
    assert assignments_of(SHOWN, NodeId(b"d" * 16), {A: 1}.get) == []


def test_all_partitions_of_a_node_are_there() -> None:
    every = assignments_of(SHOWN, A, {A: 1, B: 2, C: 3}.get)
    assert len(every) == PARTITION_COUNT - 2
    assert {a.role for a in every if a.partition != 7} == {HoldingRole.PRIMARY}


@pytest.mark.parametrize("count", [None, 0])
def test_copy_on_a_node_that_nobody_knows_is_left_out(count: int | None) -> None:
    (assignment,) = (a for a in assignments_of(SHOWN, B, {A: 1, C: count}.get) if a.partition == 7)
    assert assignment.copies == [CopyTarget(A, 0, False, False)]
