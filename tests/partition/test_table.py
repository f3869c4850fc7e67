"""The partition table, and which of two counts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.errors import ProtocolError
from grid.partition.messages import Publish
from grid.partition.table import NOBODY, VACANT, PartitionTable, make_table
from grid.types import NO_TABLE, PARTITION_COUNT, NodeId, PartitionId, TableStamp
from grid.wire.catalog import decode_peer, encode

from .samples import node, stamp, table_of

repeatable = settings(derandomize=True, deadline=None, max_examples=200)
stamps = st.builds(
    TableStamp, st.integers(0, 3), st.sampled_from([b"", b"a", b"b"]), st.integers(0, 3)
)


def test_owners_epochs_and_the_lost_are_found() -> None:
    owners = [node(1), node(2)] * (PARTITION_COUNT // 2)
    table = make_table(
        stamp(3, 1, 7), [node(1), node(2)], [None, *owners[1:]], list(range(PARTITION_COUNT))
    )
    assert table.stamp == TableStamp(3, node(1), 7)
    assert table.primary_of(PartitionId(0)) is None
    assert table.primary_of(PartitionId(2)) == node(1)
    assert table.epoch_of(PartitionId(9)) == 9
    assert table.owned_by(node(1)) == {p: p for p in range(2, PARTITION_COUNT, 2)}
    assert table.owned_by(node(2)) == {p: p for p in range(1, PARTITION_COUNT, 2)}
    assert table.owned_by(node(3)) == {}
    assert table.lost() == [0]


def test_table_survives_the_wire() -> None:
    table = table_of(stamp(1, 1, 2), [node(1), node(2)], {5: node(2), 6: None})
    assert decode_peer(encode(Publish(table))) == Publish(table)


NOBODY_AT_ALL = [NOBODY] * PARTITION_COUNT
FIRST = [0, *NOBODY_AT_ALL[1:]]
SECOND = [1, *NOBODY_AT_ALL[1:]]
YES = [True] + [False] * (PARTITION_COUNT - 1)


@pytest.mark.parametrize(
    "change",
    [
        {"primaries": [0] * (PARTITION_COUNT - 1)},
        {"epochs": [1] * (PARTITION_COUNT + 1)},
        {"synced": [False] * 3},
        {"primaries": [0] * (PARTITION_COUNT - 1) + [2]},
        {"primaries": [0] * (PARTITION_COUNT - 1) + [VACANT - 1]},
        {"incoming": [2, *NOBODY_AT_ALL[1:]]},
        {"order": [node(1), node(1)]},
        {"backups": FIRST},
        {"backups": SECOND, "incoming": SECOND},
        {"synced": YES},
        {"primaries": [VACANT] + [0] * (PARTITION_COUNT - 1), "backups": SECOND},
        {"backups": SECOND, "backup_count": 0},
        {"backup_count": 2},
    ],
)
def test_table_that_does_not_fit_together_is_refused(change: dict[str, Any]) -> None:
    fields: dict[str, Any] = {
        "term": 1,
        "coordinator": node(1),
        "version": 1,
        "order": [node(1), node(2)],
        "primaries": [0] * PARTITION_COUNT,
        "epochs": [1] * PARTITION_COUNT,
        "backups": NOBODY_AT_ALL,
        "synced": [False] * PARTITION_COUNT,
        "incoming": NOBODY_AT_ALL,
        "backup_count": 1,
    }
    sound: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    assert decode_peer(encode([15, [*fields.values()]])) == Publish(PartitionTable(**sound))
    fields |= change
    with pytest.raises(ValueError, match=r"a (partition|node|table)"):
        PartitionTable(**fields)
    with pytest.raises(ProtocolError):
        decode_peer(encode([15, [*fields.values()]]))


def test_backups_and_what_is_filled_are_found() -> None:
    owners = [node(1)] * PARTITION_COUNT
    backups: list[NodeId | None] = [node(2)] * 4 + [None] * (PARTITION_COUNT - 4)
    synced = [True, True, False, True] + [False] * (PARTITION_COUNT - 4)
    incoming: list[NodeId | None] = [node(3), None] * (PARTITION_COUNT // 2)
    order = [node(1), node(2), node(3)]
    table = make_table(
        stamp(1, 1, 1), order, owners, [5] * PARTITION_COUNT, backups, synced, incoming
    )
    assert table.backup_count == 1
    assert table.backup_of(PartitionId(3)) == node(2)
    assert table.backup_of(PartitionId(4)) is None
    assert table.incoming_of(PartitionId(4)) == node(3)
    assert table.incoming_of(PartitionId(5)) is None
    assert table.backed_by(node(2)) == dict.fromkeys(range(4), 5)
    assert table.roles_of(node(2)) == [0, 1, 2, 3]
    assert table.roles_of(node(3)) == table.moving() == list(range(0, PARTITION_COUNT, 2))
    assert table.roles_of(node(4)) == []
    assert table.unprotected() == [2, *range(4, PARTITION_COUNT)]


def test_without_backups_nothing_is_unprotected() -> None:
    assert table_of(stamp(1, 1, 1), [node(1)]).unprotected() == []


def test_owner_outside_the_order_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        table_of(stamp(1, 1, 1), [node(1)], {0: node(2)})


def test_higher_term_then_lower_coordinator_then_higher_version_wins() -> None:
    descending = [stamp(2, 9, 1), stamp(1, 1, 5), stamp(1, 1, 4), stamp(1, 2, 99), NO_TABLE]
    for index, one in enumerate(descending):
        assert [one.supersedes(other) for other in descending] == [
            place > index for place in range(len(descending))
        ]


@repeatable
@given(stamps, stamps, stamps)
def test_superseding_is_a_total_order(a: TableStamp, b: TableStamp, c: TableStamp) -> None:
    assert [a.supersedes(b), b.supersedes(a), a == b].count(True) == 1
    if a.supersedes(b) and b.supersedes(c):
        assert a.supersedes(c)
