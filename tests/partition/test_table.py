"""The partition table, and which of two counts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.errors import ProtocolError
from grid.partition.messages import Publish
from grid.partition.table import VACANT, PartitionTable, make_table
from grid.types import NO_TABLE, PARTITION_COUNT, PartitionId, TableStamp
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


@pytest.mark.parametrize(
    ("primaries", "epochs"),
    [
        ([0] * (PARTITION_COUNT - 1), [1] * (PARTITION_COUNT - 1)),
        ([0] * PARTITION_COUNT, [1] * (PARTITION_COUNT + 1)),
        ([0] * (PARTITION_COUNT - 1) + [1], [1] * PARTITION_COUNT),
        ([0] * (PARTITION_COUNT - 1) + [VACANT - 1], [1] * PARTITION_COUNT),
    ],
)
def test_table_that_does_not_fit_together_is_refused(
    primaries: list[int], epochs: list[int]
) -> None:
    with pytest.raises(ValueError, match="partition"):
        PartitionTable(1, node(1), 1, (node(1),), tuple(primaries), tuple(epochs))
    unchecked = [15, [[1, node(1), 1, [node(1)], primaries, epochs]]]
    with pytest.raises(ProtocolError):
        decode_peer(encode(unchecked))


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
