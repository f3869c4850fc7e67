"""From a partition to the storage process that holds it."""

from __future__ import annotations

import msgspec
import pytest

from grid.client.routing import Routing, Target
from grid.types import PARTITION_COUNT, Address

from .samples import FIRST, SECOND, STAMP, node_view, view_of

NODES = [node_view(FIRST, 3), node_view(SECOND, 2)]


def test_every_partition_leads_to_its_owner_with_its_epoch() -> None:
    routing = Routing(view_of([FIRST, SECOND, SECOND], NODES))
    assert len(routing.routes) == PARTITION_COUNT
    for partition, route in enumerate(routing.routes):
        assert route is not None
        assert route.target.node_id == (FIRST if partition % 3 == 0 else SECOND)
        assert route.epoch == partition + 100


def test_storage_process_is_the_partition_modulo_their_number() -> None:
    routing = Routing(view_of([FIRST, SECOND], NODES))
    for partition, route in enumerate(routing.routes):
        assert route is not None
        assert route.target.storage_index == partition % (3 if partition % 2 == 0 else 2)


def test_target_has_what_a_connection_needs() -> None:
    routing = Routing(view_of([SECOND], NODES))
    route = routing.routes[5]
    assert route is not None
    assert route.target == Target((SECOND, 1), "library-2", Address("127.0.0.2", 7701))


def test_one_storage_process_is_one_target() -> None:
    routing = Routing(view_of([FIRST, SECOND], NODES))
    targets = [route.target for route in routing.routes if route is not None]
    # Even partitions to the first node's three processes, odd ones to one of the second's.
    assert len(set(targets)) == 3 + 1
    assert len({id(target) for target in targets}) == 3 + 1


def test_lost_partitions_have_no_route() -> None:
    routing = Routing(view_of([FIRST, None], NODES))
    assert [route is None for route in routing.routes] == [False, True] * (PARTITION_COUNT // 2)


def test_partitions_of_a_node_that_is_not_listed_have_no_route() -> None:
    routing = Routing(view_of([FIRST, SECOND], NODES[:1]))
    assert [route is None for route in routing.routes] == [False, True] * (PARTITION_COUNT // 2)
    assert routing.nodes == {FIRST: NODES[0]}


def test_stamp_and_nodes_are_those_of_the_view() -> None:
    routing = Routing(view_of([FIRST], NODES))
    assert routing.stamp == STAMP
    assert routing.nodes == {FIRST: NODES[0], SECOND: NODES[1]}


def test_view_without_a_table_is_a_mistake_of_the_caller() -> None:
    view = msgspec.structs.replace(view_of([FIRST], NODES), table=None)
    with pytest.raises(AssertionError, match="only by a table"):
        Routing(view)
