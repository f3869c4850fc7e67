"""What is repeated, what is not, and what each failure says: on scripted connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from grid.client.connections import ConnectionLostError
from grid.client.operations import Operations
from grid.client.options import ClientOptions
from grid.client.routing import Target
from grid.errors import OperationError, OperationTimeoutError, PartitionLostError
from grid.partition.table import VACANT, make_table
from grid.storage.messages import (
    Done,
    Get,
    Missing,
    Put,
    RefusalReason,
    Refused,
    Size,
    StorageReply,
    StorageRequest,
)
from grid.types import PARTITION_COUNT, NodeId, TableStamp
from grid.wire.control import NodeView, View

NODE = NodeId(b"n" * 16)
Script = list[Callable[[StorageRequest], StorageReply]]


def view(version: int = 1, epoch: int = 1, *, lost: frozenset[int] = frozenset()) -> View:
    owners = [None if p in lost else NODE for p in range(PARTITION_COUNT)]
    table = make_table(TableStamp(1, NODE, version), [NODE], owners, [epoch] * PARTITION_COUNT)
    assert all((table.primaries[p] == VACANT) == (p in lost) for p in range(PARTITION_COUNT))
    return View(1, "c", NODE, [NodeView(NODE, "n1", "127.0.0.1", 1, 1, 1, 0, 0)], table)


class ScriptedConnections:
    """Stands for `Connections`: plays replies and views, one after the other."""

    def __init__(self, views: list[View], script: Script, deadline_s: float = 60.0) -> None:
        self.options = ClientOptions(operation_deadline_s=deadline_s)
        self.cluster = "c"
        self._views = views
        self._script = script
        self.requests: list[StorageRequest] = []

    def view(self) -> View:
        return self._views.pop(0) if len(self._views) > 1 else self._views[0]

    def storage(self, target: Target) -> ScriptedConnections:
        return self

    def request(self, message: StorageRequest) -> StorageReply:
        self.requests.append(message)
        return self._script.pop(0)(message)

    def forget_other_nodes(self, node_ids: set[bytes]) -> None:
        assert NODE in node_ids


def operations(connections: ScriptedConnections) -> Operations:
    return Operations(connections)  # type: ignore[arg-type]  # the part of it that is used


def make_get(request: int, epoch: int) -> Get:
    return Get(request, "m", 7, epoch, b"k")


def make_put(request: int, epoch: int) -> Put:
    return Put(request, "m", 7, epoch, b"k", b"v")


def refuse(reason: RefusalReason) -> Callable[[StorageRequest], StorageReply]:
    return lambda request: Refused(request.request, reason, 7)


def lose(*, is_sent: bool) -> Callable[[StorageRequest], StorageReply]:
    def fail(request: StorageRequest) -> StorageReply:
        raise ConnectionLostError("it broke", is_sent=is_sent)

    return fail


def missing(request: StorageRequest) -> StorageReply:
    return Missing(request.request)


def done(request: StorageRequest) -> StorageReply:
    return Done(request.request, 1)


def test_a_refused_request_is_repeated_with_the_newer_table_s_epoch():
    connections = ScriptedConnections(
        [view(1, epoch=1), view(2, epoch=5)], [refuse(RefusalReason.WRONG_EPOCH), done]
    )
    assert isinstance(operations(connections).on_partition(7, make_put), Done)
    epochs = [request.epoch for request in connections.requests if isinstance(request, Put)]
    assert epochs == [1, 5]
    assert len({request.request for request in connections.requests}) == 2


def test_a_read_is_repeated_after_a_broken_connection():
    connections = ScriptedConnections([view(1), view(2)], [lose(is_sent=True), missing])
    assert isinstance(operations(connections).on_partition(7, make_get), Missing)


def test_a_write_that_was_never_sent_is_repeated():
    connections = ScriptedConnections([view(1), view(2)], [lose(is_sent=False), done])
    assert isinstance(operations(connections).on_partition(7, make_put), Done)


def test_a_write_that_may_have_been_applied_is_not_repeated():
    connections = ScriptedConnections([view()], [lose(is_sent=True)])
    with pytest.raises(OperationError, match="may have been applied") as raised:
        operations(connections).on_partition(7, make_put)
    assert raised.value.outcome == "unknown"
    assert len(connections.requests) == 1


def test_a_lost_partition_is_said_to_be_lost_by_the_newest_table_only():
    connections = ScriptedConnections([view(1, lost=frozenset({7})), view(2)], [missing])
    assert isinstance(operations(connections).on_partition(7, make_get), Missing)
    still_lost = ScriptedConnections([view(1, lost=frozenset({7}))], [])
    with pytest.raises(PartitionLostError, match="partition 7"):
        operations(still_lost).on_partition(7, make_get)


def test_no_call_outlives_its_deadline():
    script: Script = [refuse(RefusalReason.NOT_OWNER)] * 1000
    connections = ScriptedConnections([view()], script, deadline_s=0.2)
    with pytest.raises(OperationTimeoutError, match="NOT_OWNER") as raised:
        operations(connections).on_partition(7, make_get)
    assert raised.value.outcome == "not_applied"


def test_an_expired_scan_is_an_error_of_its_own():
    connections = ScriptedConnections([view()], [refuse(RefusalReason.SCAN_EXPIRED)])
    with pytest.raises(OperationError, match="start it again"):
        operations(connections).on_partition(7, make_get)


def test_of_a_batch_only_the_refused_part_is_repeated():
    def size(request: int, pairs: list[tuple[int, int]]) -> Size:
        return Size(request, "m", pairs)

    connections = ScriptedConnections(
        [view(1), view(2, epoch=2)], [refuse(RefusalReason.WRONG_EPOCH), done]
    )
    replies: Any = operations(connections).on_targets([1, 2, 3], size)
    assert [ids for ids, _ in replies] == [[1, 2, 3]]
    groups = [request.groups for request in connections.requests if isinstance(request, Size)]
    assert groups == [[(1, 1), (2, 1), (3, 1)], [(1, 2), (2, 2), (3, 2)]]
