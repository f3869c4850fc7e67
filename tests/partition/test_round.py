"""What follows from the answers of a round."""

from __future__ import annotations

from grid.partition.messages import Holding
from grid.partition.round import Round, describe_change
from grid.types import INFO, PARTITION_COUNT, WARNING, NodeId

from .samples import holds, node, stamp, table_of

TABLE = table_of(stamp(1, 1, 1), [node(1), node(2)], {5: node(2), 6: None})
ALIVE = frozenset([node(1), node(2), node(3)])


def round_with(**held: list[Holding]) -> Round:
    """Return a round with the answers of n1, n2, ..."""
    by_id = {
        node(int(name[1:])): {holding.partition_id: holding for holding in answer}
        for name, answer in held.items()
    }
    return Round(1, "collect", stamp(1, 1, 2), set(), held=by_id)


def test_holder_is_who_has_most_entries_then_whom_the_table_names() -> None:
    current = round_with(
        n1=[Holding(5, 1, 3), Holding(7, 1, 0)], n2=[Holding(5, 1, 0), Holding(7, 1, 0)]
    )
    holders = current.holders(TABLE, ALIVE)
    assert holders[5] == node(1)
    assert holders[7] == node(1)
    assert holders[6] is None


def test_owner_that_did_not_answer_counts_while_it_lives() -> None:
    current = round_with(n1=[Holding(5, 1, 9)])
    assert current.holders(TABLE, ALIVE)[5] == node(2)
    assert current.holders(TABLE, ALIVE - {node(2)})[5] == node(1)


def test_owner_that_answered_counts_although_it_does_not_serve_yet() -> None:
    assert round_with(n2=[]).holders(TABLE, ALIVE)[5] == node(2)


def test_only_a_partition_known_to_be_empty_is_movable() -> None:
    current = round_with(n1=[Holding(1, 1, 0), Holding(2, 1, 4)])
    assert current.is_movable(node(1), 1)
    assert not current.is_movable(node(1), 2)
    assert current.is_movable(node(1), 3)
    assert not current.is_movable(node(2), 5)


def test_table_is_served_when_everybody_holds_just_what_it_says() -> None:
    second = holds(TABLE, node(2))
    first = holds(TABLE, node(1))
    assert round_with(n1=first, n2=second).is_served(TABLE)
    assert not round_with(n1=first[1:], n2=second).is_served(TABLE)
    assert not round_with(n1=first, n2=[*second, Holding(6, 1, 0)]).is_served(TABLE)


def test_epoch_rises_above_all_that_were_seen_where_the_owner_changes() -> None:
    targets: list[NodeId | None] = [node(1)] * PARTITION_COUNT
    targets[6], targets[8] = None, node(2)
    epochs = round_with(n3=[Holding(5, 7, 0), Holding(8, 1, 0)]).epochs(TABLE, targets)
    assert epochs[5] == 8
    assert epochs[8] == 2
    assert epochs[6] == epochs[7] == 1


def test_change_is_described_and_a_loss_warned_of() -> None:
    after = table_of(stamp(1, 1, 2), [node(1), node(2)], {5: None, 6: None})
    change, warning = describe_change(TABLE, after)
    assert (change.level, warning.level) == (INFO, WARNING)
    assert "1 partitions changed owner" in change.text
    assert warning.text.startswith("1 partitions lost")
    assert len(describe_change(after, after)) == 1
