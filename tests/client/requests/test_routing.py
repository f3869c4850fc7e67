"""From a partition to the storage process that holds it."""

from __future__ import annotations

import msgspec
import pytest

from grid.client.requests.routing import Routing, Target
from grid.types import PARTITION_COUNT, Address
from tests.client.samples import FIRST, SECOND, STAMP, node_view, view_of

NODES = [node_view(FIRST, 3), node_view(SECOND, 2)]


def test_every_partition_leads_to_its_owner_with_its_epoch() -> None:
    routing = Routing(view_of([FIRST, SECOND, SECOND], NODES))
    assert len(routing.targets) == len(routing.epochs) == PARTITION_COUNT
    for partition, target in enumerate(routing.targets):
        assert target is not None
        assert target.node_id == (FIRST if partition % 3 == 0 else SECOND)
        assert routing.epochs[partition] == partition + 100


def test_storage_process_is_the_partition_modulo_their_number() -> None:
    routing = Routing(view_of([FIRST, SECOND], NODES))
    for partition, target in enumerate(routing.targets):
        assert target is not None
        assert target.storage_index == partition % (3 if partition % 2 == 0 else 2)


def test_target_has_what_a_connection_needs() -> None:
    target = Routing(view_of([SECOND], NODES)).targets[5]
    assert target == Target((SECOND, 1), "library-2", Address("127.0.0.2", 7701))
    assert (target.node_id, target.storage_index) == (SECOND, 1)


def test_one_storage_process_is_one_target() -> None:
    targets = Routing(view_of([FIRST, SECOND], NODES)).targets
    # Even partitions to the first node's three processes, odd ones to one of the second's.
    assert len(set(targets)) == 3 + 1
    assert len({id(target) for target in targets}) == 3 + 1


def test_lost_partitions_have_no_target_and_are_called_lost() -> None:
    routing = Routing(view_of([FIRST, None], NODES))
    assert [target is None for target in routing.targets] == [False, True] * (PARTITION_COUNT // 2)
    assert routing.lost == set(range(1, PARTITION_COUNT, 2))


def test_partitions_of_a_node_that_is_not_listed_have_no_target_but_are_not_lost() -> None:
    routing = Routing(view_of([FIRST, SECOND], NODES[:1]))
    assert [target is None for target in routing.targets] == [False, True] * (PARTITION_COUNT // 2)
    assert routing.lost == frozenset()
    assert routing.node_ids == {FIRST}


def test_stamp_and_nodes_are_those_of_the_view() -> None:
    routing = Routing(view_of([FIRST], NODES))
    assert routing.stamp == STAMP
    assert routing.node_ids == {FIRST, SECOND}


def test_view_without_a_table_is_a_mistake_of_the_caller() -> None:
    view = msgspec.structs.replace(view_of([FIRST], NODES), table=None)
    with pytest.raises(AssertionError, match="only by a table"):
        Routing(view)


def test_items_are_sorted_by_target_in_their_order() -> None:
    routing = Routing(view_of([FIRST, SECOND], NODES))
    partitions = [0, 1, 6, 3, 0, 2]
    groups, unserved = routing.grouped(partitions, range(6))
    by_place = {target.place: list(indexes) for target, indexes in groups.items()}
    assert by_place == {(FIRST, 0): [0, 2, 4], (SECOND, 1): [1, 3], (FIRST, 2): [5]}
    assert unserved == []


def test_only_the_items_asked_for_are_sorted() -> None:
    routing = Routing(view_of([FIRST, SECOND], NODES))
    groups, _ = routing.grouped([0, 1, 0, 1], [1, 2])
    assert sorted(list(indexes) for indexes in groups.values()) == [[1], [2]]


def test_items_that_nobody_serves_are_told_apart() -> None:
    routing = Routing(view_of([FIRST, None], NODES))
    groups, unserved = routing.grouped([0, 1, 3, 6], range(4))
    assert {target.place: list(indexes) for target, indexes in groups.items()} == {
        (FIRST, 0): [0, 3]
    }
    assert unserved == [1, 2]


def test_one_storage_process_for_everything_is_known_at_once() -> None:
    routing = Routing(view_of([FIRST], [node_view(FIRST, 1)]))
    assert routing.only_target is not None
    assert routing.only_target.place == (FIRST, 0)
    groups, unserved = routing.grouped([9, 8, 7], range(3))
    assert [list(indexes) for indexes in groups.values()] == [[0, 1, 2]]
    assert unserved == []


@pytest.mark.parametrize("owners", [[FIRST, SECOND], [FIRST, None], [None]])
def test_several_or_no_storage_processes_are_no_only_one(owners: list[bytes | None]) -> None:
    nodes = [node_view(FIRST, 1), node_view(SECOND, 1)]
    assert Routing(view_of(owners, nodes)).only_target is None  # type: ignore[arg-type]


def test_each_partition_s_epoch_is_told_once() -> None:
    routing = Routing(view_of([FIRST], NODES))
    assert sorted(routing.epochs_of([7, 3, 7, 3])) == [(3, 103), (7, 107)]


@pytest.mark.parametrize("backup_count", [0, 1])
def test_whether_there_shall_be_backups_is_known(backup_count: int) -> None:
    view = view_of([FIRST, SECOND], NODES)
    assert view.table is not None
    table = msgspec.structs.replace(view.table, backup_count=backup_count)
    assert Routing(msgspec.structs.replace(view, table=table)).backup_count == backup_count
