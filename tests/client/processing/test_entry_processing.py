"""The half of `apply` that runs in workers: applied once, whatever comes between."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from grid import (
    REMOVE,
    Map,
    OperationError,
    OperationTimeoutError,
    SerializationError,
    ValueTooLargeError,
)
from grid.client.code.roots import pickle_once
from grid.client.processing import entry_processing
from grid.client.processing.entry_processing import RESULT_BYTES, SLICE_S, ApplyCall, run_applies
from grid.storage.messages import Get, GetUnlessDone, InNameOf, Request, WithBackup
from grid.storage.results import RESULTS_KEPT
from grid.wire.keys import encode_key
from grid.wire.pickling import dump
from grid.wire.values import decode_record
from tests.client.fake_tasks import at_node
from tests.client.fakes import FakeCluster, FakeShell, Fault, once

NAME = b"name-of-16-bytes"

seen: list[Any] = []
"""What the function was called with."""
meanwhile: list[Callable[[], object]] = []
"""What happens while it runs, call by call."""


@pytest.fixture(autouse=True)
def _forgetful() -> None:
    seen.clear()
    meanwhile.clear()


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def users(cluster: FakeCluster) -> Map[Any, Any]:
    return FakeShell(cluster).map()


def add(value: Any, amount: Any = 1) -> Any:
    """Add. By name in a pickle, so it is this module's in a task of a test, too."""
    seen.append(value)
    if meanwhile:
        meanwhile.pop(0)()
    return value + amount


def remove(value: Any) -> Any:
    seen.append(value)
    return REMOVE


def call_of(
    *keys: Any,
    fn: Callable[..., Any] = add,
    args: tuple[Any, ...] = (),
    default: Any = 0,
    number: int = 7,
    **changes: Any,
) -> ApplyCall:
    entries = [(*encode_key(key, 1000), number) for key in keys]
    call = ApplyCall(
        "m", NAME, pickle_once((fn, args)), pickle_once(default), entries, False, 1 << 26, 15.0
    )
    return dataclasses.replace(call, **changes)


def apply(cluster: FakeCluster, call: ApplyCall, *faults: Fault | None) -> list[Any]:
    """Run a task in a worker of its own; return the new values."""
    with at_node(FakeShell(cluster, once(*faults))):
        records = run_applies(pickle.loads(pickle.dumps(call)))
    return [None if record is None else decode_record(record) for record in records]


def requests_of(cluster: FakeCluster, call: ApplyCall) -> list[Request]:
    shell = FakeShell(cluster)
    with at_node(shell):
        run_applies(call)
    return shell.requests


def test_the_new_value_is_stored_and_returned(cluster: FakeCluster, users: Map[Any, Any]):
    users["ann"] = 5
    assert apply(cluster, call_of("ann", args=(10,))) == [15]
    assert apply(cluster, call_of("bob", default=100)) == [101]
    assert dict(users.items()) == {"ann": 15, "bob": 101}
    assert seen == [5, 100]


def test_each_missing_entry_gets_a_default_of_its_own(cluster: FakeCluster, users: Map[Any, Any]):
    def appended(value: list[int]) -> list[int]:
        value.append(1)
        return value

    assert apply(cluster, call_of("a", "b", fn=appended, default=[])) == [[1], [1]]
    assert (users["a"], users["b"]) == ([1], [1])


def test_two_requests_are_enough(cluster: FakeCluster):
    assert [type(request) for request in requests_of(cluster, call_of("ann"))] == [
        GetUnlessDone,
        InNameOf,
    ]


def test_a_write_in_between_has_the_function_called_again(
    cluster: FakeCluster, users: Map[Any, Any]
):
    users["ann"] = 1
    meanwhile.append(lambda: users.put("ann", 10))
    meanwhile.append(lambda: users.delete("ann"))
    meanwhile.append(lambda: users.put("ann", 20))
    assert apply(cluster, call_of("ann")) == [21]
    assert seen == [1, 10, 0, 20]
    assert users["ann"] == 21


def test_from_the_second_conflict_on_it_pauses(cluster: FakeCluster, users: Map[Any, Any]):
    shell = FakeShell(cluster)
    meanwhile.extend([lambda: users.increment("ann")] * 4)
    with at_node(shell):
        run_applies(call_of("ann"))
    assert len(shell.pauses) == 3
    assert users["ann"] == 5


def test_it_does_not_try_for_ever(cluster: FakeCluster, users: Map[Any, Any]):
    def write() -> None:
        users.increment("ann")
        cluster.now_s += 4

    meanwhile.extend([write] * 100)
    with pytest.raises(OperationTimeoutError, match="again and again") as raised:
        apply(cluster, call_of("ann"))
    assert raised.value.outcome == "not_applied"
    assert users["ann"] == len(seen) == 4


def test_removing_is_a_result_like_others(cluster: FakeCluster, users: Map[Any, Any]):
    users["ann"] = 5
    assert apply(cluster, call_of("ann", "bob", fn=remove)) == [None, None]
    assert seen == [5, 0]
    assert len(users) == 0


def test_removing_what_is_not_there_writes_nothing(cluster: FakeCluster):
    assert [type(r) for r in requests_of(cluster, call_of("ann", fn=remove))] == [GetUnlessDone]


def test_the_sign_for_removing_is_itself_in_every_process():
    assert pickle.loads(dump(REMOVE)) is REMOVE


def test_a_time_to_live_stays_and_a_new_entry_has_none(cluster: FakeCluster, users: Map[Any, Any]):
    users.put("ann", 1, ttl=60)
    users.put("bob", 1, ttl=30)
    cluster.now_s += 40  # What is over is not cleared away yet.
    assert apply(cluster, call_of("ann", "bob", default=100)) == [2, 101]
    assert (users.get("ann"), users.get("bob")) == (2, 101)
    cluster.now_s += 30
    assert (users.get("ann"), users.get("bob")) == (None, 101)


def test_exceptions_come_as_they_are_and_nothing_is_stored(
    cluster: FakeCluster, users: Map[Any, Any]
):
    users["ann"] = "text"
    with pytest.raises(TypeError) as raised:
        apply(cluster, call_of("ann"))
    assert raised.value.__notes__ == ["in apply to 'ann' of map 'm'"]
    assert users["ann"] == "text"


def test_large_values_pass(cluster: FakeCluster, users: Map[Any, Any]):
    users["ann"] = bytes(100_000)
    assert apply(cluster, call_of("ann", args=(b"x" * 100_000,)))[0][99_999:100_001] == b"\x00x"
    assert len(users["ann"]) == 200_000


def test_a_value_that_cannot_be_stored_or_answered_is_refused_in_time(
    cluster: FakeCluster, users: Map[Any, Any], monkeypatch: pytest.MonkeyPatch
):
    users["ann"] = b""
    with pytest.raises(ValueTooLargeError, match="at most 1,000 are allowed"):
        apply(cluster, call_of("ann", args=(bytes(1000),), value_bytes_max=1000))
    monkeypatch.setattr(entry_processing, "RECORD_BYTES_MAX", 999)
    with pytest.raises(ValueTooLargeError, match="at most 999 are allowed in apply"):
        apply(cluster, call_of("ann", args=(bytes(1000),)))
    with pytest.raises(SerializationError, match="'ann'"):
        apply(cluster, call_of("ann", fn=lambda value: (letter for letter in "ann")))
    assert users["ann"] == b""


# -- run again ------------------------------------------------------------------------------------


def test_a_task_that_died_after_its_write_is_not_applied_again(
    cluster: FakeCluster, users: Map[Any, Any]
):
    call = call_of("ann")
    assert apply(cluster, call) == [1]
    assert apply(cluster, call) == [1]
    assert seen == [0]
    assert apply(cluster, call_of("ann", number=8)) == [2]
    assert users["ann"] == 2


def test_nor_where_the_backup_has_taken_over(cluster: FakeCluster, users: Map[Any, Any]):
    call = call_of("ann")
    partition_id = call.entries[0][0]
    users["ann"] = 5
    before = cluster.copied(partition_id)
    assert apply(cluster, call) == [6]
    after = cluster.copied(partition_id)
    cluster.promote(after, 1)
    assert apply(cluster, call) == [6]
    cluster.promote(before, 0)  # One that had not got it: then it was lost, and is applied.
    assert apply(cluster, call) == [6]
    assert seen == [5, 5]


def test_what_others_have_written_since_is_not_taken_for_the_result(
    cluster: FakeCluster, users: Map[Any, Any]
):
    call = call_of("ann")
    apply(cluster, call)
    users["ann"] = 50
    with pytest.raises(OperationError, match="its result is not known") as raised:
        apply(cluster, call)
    assert raised.value.outcome == "applied"
    assert users["ann"] == 50
    assert seen == [0]


def test_a_removal_is_not_made_again(cluster: FakeCluster, users: Map[Any, Any]):
    users["ann"] = 5
    call = call_of("ann", fn=remove)
    apply(cluster, call)
    with pytest.raises(OperationError, match="removed or changed since") as raised:
        apply(cluster, call)
    assert raised.value.outcome == "applied"
    users["ann"] = 6
    with pytest.raises(OperationError):
        apply(cluster, call)
    assert users["ann"] == 6


def test_a_task_that_died_between_two_writes_goes_on_after_the_first(
    cluster: FakeCluster, users: Map[Any, Any]
):
    apply(cluster, call_of("ann"))
    assert apply(cluster, call_of("ann", "bob")) == [1, 1]
    assert dict(users.items()) == {"ann": 1, "bob": 1}


def test_a_number_too_old_to_be_known_leaves_it_unknown(cluster: FakeCluster, users: Map[Any, Any]):
    for number in range(10, 11 + RESULTS_KEPT):
        apply(cluster, call_of("ann", number=number))
    with pytest.raises(OperationError, match="no longer knows") as raised:
        apply(cluster, call_of("ann", number=10))
    assert raised.value.outcome == "unknown"
    assert users["ann"] == RESULTS_KEPT + 1


def test_so_does_one_that_became_too_old_while_the_function_ran(
    cluster: FakeCluster, users: Map[Any, Any]
):
    def others() -> None:
        for number in range(10, 11 + RESULTS_KEPT):
            apply(cluster, call_of("ann", number=number))

    meanwhile.append(others)
    with pytest.raises(OperationError, match="no longer knows") as raised:
        apply(cluster, call_of("ann"), None, None)
    assert raised.value.outcome == "unknown"
    assert users["ann"] == RESULTS_KEPT + 1


@pytest.mark.parametrize(
    "fault", [Fault.NOT_CONNECTED, Fault.LOST_BEFORE, Fault.LOST_AFTER, Fault.REFUSED]
)
@pytest.mark.parametrize("at", [0, 1])
def test_broken_connections_change_nothing(
    cluster: FakeCluster, users: Map[Any, Any], fault: Fault, at: int
):
    assert apply(cluster, call_of("ann"), *[None] * at, fault, fault) == [1]
    assert users["ann"] == 1


def test_a_request_that_was_held_up_on_its_way_is_not_carried_out_as_well(
    cluster: FakeCluster, users: Map[Any, Any]
):
    shell = FakeShell(cluster, once(None, Fault.DELAYED))
    with at_node(shell):
        run_applies(call_of("ann"))
        users.delete("ann")
        shell.deliver()
    assert "ann" not in users


def test_silence_leaves_a_write_unknown_and_a_read_not_applied(cluster: FakeCluster):
    for faults, outcome in (((Fault.LATE,), "not_applied"), ((None, Fault.LATE), "unknown")):
        with pytest.raises(OperationTimeoutError) as raised:
            apply(cluster, call_of("ann"), *faults)
        assert raised.value.outcome == outcome


def test_its_requests_end_with_its_time_if_that_is_shorter(cluster: FakeCluster):
    began_s = cluster.now_s
    with pytest.raises(OperationTimeoutError):
        apply(cluster, call_of("ann", left_s=2.0), *[Fault.NOT_CONNECTED] * 100)
    assert began_s + 2 <= cluster.now_s < began_s + 3


# -- many entries ---------------------------------------------------------------------------------


def test_what_does_not_go_into_a_slice_is_left(cluster: FakeCluster, users: Map[Any, Any]):
    def wait() -> None:
        cluster.now_s += SLICE_S

    meanwhile.extend([lambda: None, wait])
    assert apply(cluster, call_of("a", "b", "c")) == [1, 1]
    assert "c" not in users
    large = b"x" * (RESULT_BYTES // 2)
    call = call_of("d", "e", "f", args=(large,), default=b"")
    assert len(apply(cluster, call)) == 2


def test_an_error_of_the_second_entry_tells_that_the_first_was_written(cluster: FakeCluster):
    with pytest.raises(OperationTimeoutError, match="other entries") as raised:
        apply(cluster, call_of("a", "b"), None, None, Fault.LATE)
    assert raised.value.outcome == "unknown"


def test_with_a_backup_each_write_asks_for_it(cluster: FakeCluster):
    requests = requests_of(cluster, call_of("ann", with_backup=True))
    write = requests[-1]
    assert isinstance(write, InNameOf)
    assert isinstance(write.write, WithBackup)
    again = requests_of(cluster, call_of("ann", with_backup=True))
    assert [type(request) for request in again] == [GetUnlessDone, Get]
