"""What people are told of a new table."""

from __future__ import annotations

from grid.partition.changes import compare, describe_change
from grid.partition.table import PartitionTable, make_table
from grid.types import INFO, PARTITION_COUNT, WARNING, NodeId

from .samples import node, stamp

ONE, TWO, THREE = node(1), node(2), node(3)


def table(
    owner: NodeId | None,
    backup: NodeId | None,
    *,
    order: tuple[NodeId, ...] = (ONE, TWO, THREE),
    synced: bool = True,
    incoming: NodeId | None = None,
    of: int = 3,
) -> PartitionTable:
    """Return a table where the first partitions have these roles, and the rest those of node 1."""
    rest = PARTITION_COUNT - of
    return make_table(
        stamp(1, 1, 1),
        order,
        [owner] * of + [ONE] * rest,
        [1] * PARTITION_COUNT,
        [backup] * of + [THREE] * rest,
        [synced and backup is not None] * of + [True] * rest,
        [incoming] * of + [None] * rest,
    )


def texts(old: PartitionTable, new: PartitionTable) -> list[tuple[int, str]]:
    lines = describe_change(old, new)
    assert all(line.has_event for line in lines)
    return [(line.level, line.text) for line in lines]


def test_nothing_is_said_of_what_only_fills() -> None:
    old = table(ONE, TWO, synced=False)
    assert texts(old, table(ONE, TWO, synced=False, incoming=THREE)) == []
    assert texts(old, old) == []


def test_move_is_counted() -> None:
    old, new = table(ONE, TWO), table(TWO, ONE)
    assert compare(old, new).moved == 3
    ((level, text),) = texts(old, new)
    assert level == INFO
    assert text.endswith(" nodes=3 changed_owner=3")


def test_promotion_names_whose_place_is_taken_and_what_has_no_backup_now() -> None:
    new = table(TWO, THREE, order=(ONE, TWO, THREE), synced=False)
    old = table(node(4), TWO, order=(ONE, TWO, THREE, node(4)))
    assert compare(old, new).promoted == {node(4): 3}
    _, promotion, unprotected = texts(old, new)
    assert promotion == (WARNING, "backups promoted former=00000000 partitions=3")
    assert unprotected == (INFO, "without backup partitions=3")


def test_loss_is_warned_of_and_its_acceptance_told() -> None:
    old, lost = table(TWO, ONE), table(None, None)
    assert compare(old, lost).lost == 3
    warning = texts(old, lost)[0]
    assert warning[0] == WARNING
    assert warning[1].startswith("data lost partitions=3 ")
    change = compare(lost, table(TWO, None))
    assert (change.accepted, change.moved) == (3, 0)


def test_end_of_the_work_is_told_once() -> None:
    done = table(ONE, TWO)
    for before in (table(ONE, TWO, synced=False), table(ONE, TWO, incoming=THREE)):
        assert texts(before, done) == [(INFO, "balanced, all partitions have a backup")]
    assert texts(done, done) == []


def test_cluster_without_backups_is_never_called_protected() -> None:
    owners = [ONE] * PARTITION_COUNT
    epochs = [1] * PARTITION_COUNT
    moving = make_table(
        stamp(1, 1, 1), [ONE, TWO], owners, epochs, incoming=[TWO] * 256, backup_count=0
    )
    done = make_table(stamp(1, 1, 2), [ONE, TWO], owners, epochs)
    assert not compare(moving, done).is_protected_again
