"""What a map can do with many entries and as a whole, in a cluster without processes."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from grid import (
    KeyTooLargeError,
    Map,
    OperationError,
    OperationTimeoutError,
    PartitionLostError,
    SerializationError,
    ValueTooLargeError,
)
from grid.client.entries.batches import PORTION_BYTES
from grid.client.requests.rounds import Claim, Portion
from grid.client.requests.steps import AskAll
from grid.storage.messages import Get, GetAll, PutAll, RemoveAll, Size, TakeAny
from grid.storage.options import StorageOptions
from grid.types import PARTITION_COUNT
from grid.wire.frame import FRAME_BYTES_MAX
from tests.client.fakes import FakeCluster, FakeShell, Fault, once, steps_of


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def shell(cluster: FakeCluster) -> FakeShell:
    return FakeShell(cluster)


@pytest.fixture
def users(shell: FakeShell) -> Map[Any, Any]:
    return shell.map()


def test_a_batch_is_one_message_for_each_storage_process(users, shell: FakeShell):
    entries = {f"key-{number}": number for number in range(1000)}
    users.put_all(entries)
    assert users.get_all(entries) == entries
    assert users.remove_all([*entries, "not there"]) == 1000
    kinds = [type(request).__name__ for request in shell.requests]
    assert kinds == ["PutAll"] * 4 + ["GetAll"] * 4 + ["RemoveAll"] * 4


def test_batches_of_nothing_ask_nobody(users, shell: FakeShell):
    users.put_all({})
    users.put_all([])
    users.update()
    assert users.get_all([]) == {}
    assert users.remove_all(iter(())) == 0
    assert shell.requests == []


def test_a_key_twice_in_a_batch_is_one_entry_with_its_last_value(users):
    users.put_all([("k", number) for number in range(1000)])
    assert users.get_all(["k", "k", "x", "k"]) == {"k": 999}
    assert users.remove_all(["k", "k"]) == 1
    users.put_all([("k", bytes(3_000_000)), ("k", bytes(3_000_000)), ("k", b"last")])
    assert users["k"] == b"last"


def test_generators_are_taken_a_batch_at_a_time(users, shell: FakeShell):
    most_ahead = 0

    def entries():
        nonlocal most_ahead
        for number in range(35_000):
            stored = sum(len(r.keys) for r in shell.requests if isinstance(r, PutAll))
            most_ahead = max(most_ahead, number - stored)
            yield number, number

    users.put_all(entries())
    assert most_ahead < 10_001
    assert users.get_all(iter(range(35_000))) == {number: number for number in range(35_000)}
    assert users.remove_all(number for number in range(40_000)) == 35_000


def test_a_generator_may_use_the_map_it_feeds(users):
    users.put_all({number: number for number in range(10)})
    users.put_all((key + 100, users[key]) for key in list(users))
    users.put_all((key + 1000, value) for key, value in users.items())
    assert len(users) == 40


def test_a_generator_that_fails_leaves_what_was_sent_before(users):
    def entries():
        for number in range(10_005):
            yield number, number
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        users.put_all(entries())
    assert len(users) == 10_000


def test_another_map_may_be_copied(users, shell: FakeShell):
    users.put_all({number: str(number) for number in range(100)})
    copy = shell.map("copy")
    copy.put_all(users)
    assert copy == users == {number: str(number) for number in range(100)}


def test_what_cannot_be_sent_is_named_with_its_limit_and_changes_nothing(shell: FakeShell):
    users = shell.map(limits=StorageOptions(key_bytes_max=100, value_bytes_max=2000))
    key = "k" * 101
    message = r"'kkkkk.*' \(str\) takes 101 bytes; at most 100 are allowed \(storage.key_bytes_max"
    for operation in (
        lambda: users.put(key, 1),
        lambda: users.get(key),
        lambda: users.put_all({"a": 1, key: 2}),
        lambda: users.get_all(["a", key]),
        lambda: users.remove_all([key]),
        lambda: users.pop(key, None),
        lambda: users.increment(key),
    ):
        with pytest.raises(KeyTooLargeError, match=message):
            operation()
    message = r"the value of 'big' \(\w+\) takes .* at most 2,000 are allowed \(storage.value_bytes"
    for value in (bytes(2000), "x" * 2000, (1,) * 2000):
        with pytest.raises(ValueTooLargeError, match=message):
            users["big"] = value
        with pytest.raises(ValueTooLargeError, match=message):
            users.put_all({"a": 1, "big": value})
        with pytest.raises(ValueTooLargeError, match=message):
            users.setdefault("big", value)
    with pytest.raises(SerializationError, match="a set cannot be a key"):
        users[{1}] = 1
    with pytest.raises(SerializationError, match="the value of 'lock'"):
        users["lock"] = threading.Lock()
    assert shell.requests == []


def test_a_reply_that_would_be_too_long_is_continued(
    users, shell: FakeShell, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("grid.storage.many.REPLY_BYTES_MAX", 1000)
    entries = {number: bytes([number % 256]) * 300 for number in range(100)}
    users.put_all(entries)
    assert users.get_all(entries) == entries
    assert sum(isinstance(request, GetAll) for request in shell.requests) > 20


def test_cut_replies_and_moves_together_leave_each_value_at_its_key(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
):
    """All are refused by two nodes, and are then found at one, which does not tell all at once."""
    monkeypatch.setattr("grid.storage.many.REPLY_BYTES_MAX", 1000)
    cluster = FakeCluster(nodes=2, storage_processes=1)
    shell = FakeShell(cluster)
    users = shell.map()
    entries = {f"key {number}": f"{number:030}" for number in range(100)}
    users.put_all(entries)
    for partition in range(PARTITION_COUNT):
        cluster.move(partition, 1)
    assert users.get_all(entries) == entries


def test_no_message_outgrows_a_frame_however_long_the_keys_are():
    shell = FakeShell(FakeCluster(nodes=1, storage_processes=1))
    users = shell.map()
    keys = [f"{number:060000}" for number in range(100)]
    users.put_all(dict.fromkeys(keys, 1))
    assert users.get_all(keys) == dict.fromkeys(keys, 1)
    assert users.remove_all(keys) == len(keys)
    sent = [r.keys for r in shell.requests if isinstance(r, PutAll | GetAll | RemoveAll)]
    assert max(sum(map(len, keys)) for keys in sent) <= PORTION_BYTES + 60_000 < FRAME_BYTES_MAX


def test_some_written_and_some_not_is_unknown_whatever_ends_it():
    cluster = FakeCluster(nodes=2, storage_processes=1)
    entries = {number: number for number in range(100)}
    shell = FakeShell(cluster, lambda ask: Fault.REFUSED if ask.target.name == "n1" else None)
    with pytest.raises(OperationTimeoutError, match="other entries") as raised:
        shell.map().put_all(entries)
    assert raised.value.outcome == "unknown"
    nothing = FakeShell(cluster, lambda ask: Fault.REFUSED)
    with pytest.raises(OperationTimeoutError) as raised:
        nothing.map().put_all(entries)
    assert raised.value.outcome == "not_applied"


def test_a_portion_is_sent_before_the_one_before_is_answered():
    shell = FakeShell(FakeCluster(nodes=1, storage_processes=1))
    operation = shell.core.on_many(
        [Portion([n], make_size, lambda indexes, reply: ()) for n in range(5)]
    )
    step = steps_of(operation)
    assert isinstance(step, AskAll)
    assert step.window == 2


def make_size(request: int, claim: Claim, _: object) -> Size:
    return Size(request, "m", claim.epochs)


# -- the whole map ------------------------------------------------------------------------


def test_maps_are_apart_by_name(shell: FakeShell):
    one, other = shell.map("one"), shell.map("other")
    one["k"] = 1
    assert (len(one), len(other)) == (1, 0)
    other["k"] = 2
    one.clear()
    assert (len(one), len(other)) == (0, 1)


def test_popitem_empties_the_map_entry_by_entry(users):
    entries = {number: str(number) for number in range(50)}
    users.put_all(entries)
    popped = [users.popitem() for _ in entries]
    assert dict(popped) == entries
    with pytest.raises(KeyError, match="the map 'm' is empty"):
        users.popitem()


def test_popitem_asks_each_storage_process_once(users, shell: FakeShell):
    with pytest.raises(KeyError):
        users.popitem()
    assert [type(request) for request in shell.requests] == [TakeAny] * 4
    asked = [p for request in shell.requests for p, _ in request.epochs]  # type: ignore[union-attr]
    assert sorted(asked) == list(range(PARTITION_COUNT))


def test_popitem_whose_reply_is_lost_is_not_repeated(cluster: FakeCluster):
    FakeShell(cluster).map().put_all({number: number for number in range(500)})
    users = FakeShell(cluster, once(Fault.LOST_AFTER)).map()
    with pytest.raises(OperationError, match="may have been applied"):
        users.popitem()
    assert len(users) == 499


def test_several_who_pop_take_no_entry_twice(cluster: FakeCluster):
    FakeShell(cluster).map().put_all({number: number for number in range(300)})
    poppers = [FakeShell(cluster, seed=seed).map() for seed in range(3)]
    popped = [poppers[number % 3].popitem()[0] for number in range(300)]
    assert sorted(popped) == list(range(300))


def test_popitem_survives_moves(cluster: FakeCluster):
    moves = iter(range(PARTITION_COUNT))

    def move(ask):
        cluster.move(next(moves), 1)

    FakeShell(cluster).map().put_all({number: number for number in range(60)})
    users = FakeShell(cluster, move).map()
    assert sorted(users.popitem()[0] for _ in range(60)) == list(range(60))


def test_owner_is_told_without_asking(users, shell: FakeShell, cluster: FakeCluster):
    owner = users.owner_of("ann")
    assert owner in {node.id for node in cluster.view().nodes}
    for partition in range(PARTITION_COUNT):
        cluster.lose(partition)
    shell.core.adopt(cluster.view())
    assert users.owner_of("ann") is None
    assert shell.requests == []


def test_every_operation_on_lost_partitions_fails_aloud(users, cluster: FakeCluster):
    for partition in range(PARTITION_COUNT):
        cluster.lose(partition)
    for operation in (
        lambda: users["k"],
        lambda: "k" in users,
        lambda: users.put("k", 1),
        lambda: users.pop("k", 1),
        lambda: users.popitem(),
        lambda: users.increment("k"),
        lambda: users.get_all("k"),
        lambda: users.put_all({"k": 1}),
        lambda: users.remove_all("k"),
        lambda: len(users),
        lambda: users.clear(),
        lambda: list(users),
        lambda: list(users.items()),
    ):
        with pytest.raises(PartitionLostError, match="was lost with the node that held it"):
            operation()


def test_an_expired_deadline_of_a_read_in_compare_and_set_changes_nothing(cluster: FakeCluster):
    shell = FakeShell(cluster, lambda ask: Fault.LATE if isinstance(ask.request, Get) else None)
    with pytest.raises(OperationTimeoutError) as raised:
        shell.map().replace_if_same("k", 1, 2)
    assert raised.value.outcome == "not_applied"
