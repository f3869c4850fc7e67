"""What a write waits for, and that it is carried out once whatever breaks; both kinds of map."""

from __future__ import annotations

from typing import Any

import pytest

from grid.errors import NotEnoughNodesError, OperationError
from grid.storage.messages import Put, PutAll, PutIf, RemoveAll, Request, WithBackup
from tests.client.fakes import DEADLINE_S, Calls, FakeCluster, FakeShell, Fault, once

LARGE = "x" * 100_000

WRITES: dict[str, tuple[tuple[Any, ...], Any]] = {
    "put": (("ann", 5), None),
    "put_all": (({"ann": 5, "bob": 5, "new": 5},), None),
    "put_if_absent": (("new", 5), True),
    "replace": (("ann", 5), True),
    "replace_if_same": (("ann", 1, 5), True),
    "remove_if_same": (("ann", 1), True),
    "delete": (("ann",), True),
    "pop": (("ann",), 1),
    "increment": (("ann", 4), 5),
    "remove_all": ((["ann", "bob", "new"],), 2),
    "setdefault": (("new", 5), 5),
}
"""Arguments, and the answer in a map of START."""

START = {"ann": 1, "bob": 2}

KINDS = ["blocking", "asyncio"]
BOTH = pytest.mark.parametrize("kind", KINDS)
EACH = pytest.mark.parametrize("name", WRITES)


def calls_of(kind: str, *, backup_ack: bool = False) -> Calls:
    shell = FakeShell(FakeCluster())
    shell.map().update(START)
    shell.requests.clear()
    return Calls(shell, kind, backup_ack=backup_ack)


def writes_of(shell: FakeShell) -> list[Request]:
    """Return the requests that are no reads."""
    return [request for request in shell.requests if type(request).__name__ != "Get"]


@EACH
@BOTH
def test_a_write_that_asks_for_a_backup_waits_for_it_and_others_do_not(kind: str, name: str):
    calls = calls_of(kind)
    arguments, answer = WRITES[name]
    for named, is_wrapped in (({}, False), ({"ack": None}, False), ({"ack": "backup"}, True)):
        calls.shell.map().update(START)
        calls.shell.map().pop("new", None)
        calls.shell.requests.clear()
        result = calls(name, *arguments, **named)
        assert name == "put" or result == answer
        assert writes_of(calls.shell)
        for request in writes_of(calls.shell):
            assert isinstance(request, WithBackup) is is_wrapped


@EACH
@BOTH
def test_a_map_may_ask_for_backups_by_default(kind: str, name: str):
    calls = calls_of(kind, backup_ack=True)
    arguments, answer = WRITES[name]
    result = calls(name, *arguments)
    assert name == "put" or result == answer
    assert {type(request) for request in writes_of(calls.shell)} == {WithBackup}


def test_a_dict_s_own_ways_to_write_follow_the_map_s_default():
    shell = FakeShell(FakeCluster())
    for backup_ack in (True, False):
        users = shell.map(backup_ack=backup_ack)
        shell.requests.clear()
        users["k"] = 1
        users.update({"j": 1}, i=2)
        users.update([("h", 1)])
        del users["k"]
        users["large"] = LARGE
        assert {isinstance(request, WithBackup) for request in shell.requests} == {backup_ack}


@BOTH
def test_reads_and_what_takes_any_entry_wait_for_nothing(kind: str):
    calls = calls_of(kind, backup_ack=True)
    calls("get", "ann")
    calls("get_all", ["ann"])
    calls("size")
    calls("popitem")
    calls("clear")
    assert not any(isinstance(request, WithBackup) for request in calls.shell.requests)
    for name in ("popitem", "clear"):
        with pytest.raises(TypeError, match="ack"):
            calls(name, ack="backup")


@EACH
@BOTH
def test_what_is_no_way_to_acknowledge_is_one_clear_sentence(kind: str, name: str):
    calls = calls_of(kind)
    for ack in ("backups", "none", True, 1, ""):
        with pytest.raises(ValueError, match=r"^ack is 'backup' or None \(as .* default\), not"):
            calls(name, *WRITES[name][0], ack=ack)
    if name.endswith("_all"):
        with pytest.raises(ValueError, match="not 'two'"):
            calls(name, [], ack="two")
    assert calls.shell.requests == []


@BOTH
def test_a_large_value_waits_for_its_backup_as_well(kind: str):
    calls = calls_of(kind)
    calls("put", "large", LARGE, ack="backup")
    calls("put", "small", 1, ttl=5, ack="backup")
    first, second = calls.shell.requests
    for request in (first, second):
        assert isinstance(request, WithBackup)
        assert isinstance(request.write, PutIf)
    assert calls("get", "large") == LARGE


def test_counting_by_compare_and_set_waits_for_the_backup_as_well():
    calls = calls_of("blocking")
    assert calls("increment", "ann", 2**70, ack="backup") == 2**70 + 1
    (request,) = writes_of(calls.shell)
    assert isinstance(request, WithBackup)
    assert isinstance(request.write, PutIf)


@BOTH
def test_without_a_backup_nothing_is_changed_and_the_deadline_is_waited_for(kind: str):
    for name, (arguments, _) in WRITES.items():
        calls = calls_of(kind)
        cluster = calls.shell.cluster
        cluster.expose(*range(256))
        began_s = cluster.now_s
        with pytest.raises(NotEnoughNodesError, match="is not complete yet") as raised:
            calls(name, *arguments, ack="backup")
        assert raised.value.outcome == "not_applied"
        assert cluster.now_s >= began_s + DEADLINE_S
        assert dict(calls.shell.map()) == START


# -- connections that break ---------------------------------------------------------------


@pytest.mark.parametrize("ack", [None, "backup"])
@pytest.mark.parametrize("fault", [Fault.LOST_AFTER, Fault.LOST_BEFORE])
@EACH
@BOTH
def test_a_write_whose_connection_breaks_is_carried_out_once(
    kind: str, name: str, fault: Fault, ack: str | None
):
    calls, sound = calls_of(kind), calls_of(kind)
    arguments, answer = WRITES[name]
    faults = iter([fault, fault])
    calls.shell.meddle = lambda ask: (
        None if type(ask.request).__name__ == "Get" else next(faults, None)
    )
    result = calls(name, *arguments, ack=ack)
    assert result == sound(name, *arguments, ack=ack)  # The token of a put, too.
    assert name == "put" or result == answer
    assert dict(calls.shell.map()) == dict(sound.shell.map())
    assert next(faults, None) is None


@pytest.mark.parametrize("name", ["put_all", "remove_all"])
@BOTH
def test_many_entries_are_written_once_also_when_they_move_between_two_tries(kind: str, name: str):
    cluster = FakeCluster(nodes=2, storage_processes=1)
    shell = FakeShell(cluster)
    entries = {number: number for number in range(200)}
    shell.map().put_all(entries)
    shell.requests.clear()
    calls = Calls(shell, kind)

    def move(ask: Any) -> Fault | None:
        if len(shell.requests) > 2:
            return None
        for partition in range(100):
            if ask.target.name == f"n{cluster.owners[partition]}":
                cluster.handle(ask.target.place, ask, shell.client_id)
                break
        for partition in range(0, 256, 3):
            cluster.move(partition, len(shell.requests) % 2)
        return Fault.LOST_BEFORE

    shell.meddle = move
    if name == "remove_all":
        assert calls(name, [*entries, "not there"]) == 200
        assert len(shell.map()) == 0
    else:
        calls(name, entries)
    kinds = (PutAll, RemoveAll)
    sent = [request for request in shell.requests if isinstance(request, kinds)]
    assert len(sent) > 4
    # Each partition's entries went under one number, wherever they went.
    operations: dict[int, set[int]] = {}
    for request in sent:
        for partition in request.partitions:
            operations.setdefault(partition, set()).add(request.operation)
    assert {len(numbers) for numbers in operations.values()} == {1}


@EACH
@BOTH
def test_a_first_try_that_arrives_after_the_second_and_what_followed_changes_nothing(
    kind: str, name: str
):
    calls = calls_of(kind)
    calls.shell.meddle = lambda ask: (
        None if type(ask.request).__name__ == "Get" or calls.shell.delayed else Fault.DELAYED
    )
    calls(name, *WRITES[name][0])
    assert calls.shell.delayed
    calls.shell.meddle = lambda ask: None
    after = {"ann": "later", "bob": "later"}
    calls.shell.map().update(after)
    calls.shell.map().pop("new", None)
    calls.shell.deliver()
    assert dict(calls.shell.map()) == after


@BOTH
def test_an_answer_too_large_to_be_kept_is_unknown_if_it_is_lost(kind: str):
    calls = calls_of(kind)
    calls("put", "large", LARGE)
    calls.shell.meddle = once(Fault.LOST_AFTER)
    with pytest.raises(OperationError, match="no longer knows whether") as raised:
        calls("pop", "large")
    assert raised.value.outcome == "unknown"
    assert calls("get", "large") is None


@BOTH
def test_a_backup_that_lacks_the_write_has_it_by_the_next_try(kind: str):
    """The primary has acknowledged nothing when it dies, so nothing may be lost."""
    calls = calls_of(kind)
    cluster = calls.shell.cluster
    calls("put", "n", 0)
    (request,) = calls.shell.requests
    assert isinstance(request, Put)
    backups = [cluster.copied(request.partition)]

    def die(ask: Any) -> Fault | None:
        if not backups:
            return None
        cluster.promote(backups.pop(), 0 if ask.target.name == "n1" else 1)
        return Fault.LOST_AFTER

    calls.shell.meddle = die
    assert calls("increment", "n") == 1
    assert calls("get", "n") == 1
