"""The map on a real cluster of two nodes with two storage processes each."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from grid import GridError, KeyTooLargeError, Map, SerializationError, ValueTooLargeError
from grid.api import LocalCluster
from grid.client.options import ClientOptions
from grid.client.session import Grid

Users = Map[Any, Any]


def test_what_is_put_is_got_and_what_is_deleted_is_gone(users: Users):
    assert users.get("ann") is None
    assert users.get("ann", 5) == 5
    users.put("ann", {"age": 41})
    assert users.get("ann") == {"age": 41}
    assert users.delete("ann") is True
    assert users.delete("ann") is False
    assert "ann" not in users


def test_it_is_a_mutable_mapping(users: Users):
    users["a"] = 1
    users.update({"b": 2}, c=3)
    assert users["b"] == 2
    assert dict(users) == {"a": 1, "b": 2, "c": 3}
    assert sorted(users.values()) == [1, 2, 3]
    assert users.pop("a") == 1
    del users["b"]
    with pytest.raises(KeyError):
        users["b"]
    with pytest.raises(KeyError):
        del users["b"]
    assert len(users) == 1
    users.clear()
    assert len(users) == 0


@pytest.mark.parametrize(
    "value",
    [
        "José",
        {"n": "José"},
        2**70,
        b"\xff\x00",
        None,
        (1, (2, "x")),
        {"deep": [{"er": [1.5, None, True]}]},
        datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        frozenset({1, 2}),
    ],
    ids=repr,
)
def test_a_value_comes_back_equal_and_of_its_type(users: Users, value: Any):
    users["value"] = value
    assert users["value"] == value
    assert type(users["value"]) is type(value)


def test_none_is_a_value_like_any_other(users: Users):
    users["nothing"] = None
    assert "nothing" in users
    assert users.get("nothing", "default") is None


def test_an_array_and_a_function_come_back(users: Users):
    users["array"] = np.arange(10.0)
    users["function"] = lambda x: x + 1
    assert users["array"].tolist() == list(range(10))
    assert users["function"](1) == 2


def test_many_entries_travel_in_batches_and_all_arrive(users: Users):
    entries = {f"key-{number}": number for number in range(25_000)}
    users.put_all(entries)
    assert len(users) == 25_000
    assert users.get_all([*entries, "not there"]) == entries
    assert dict(users.items()) == entries
    assert sorted(users) == sorted(entries)


def test_a_reply_that_would_be_too_long_is_continued(users: Users):
    entries = {number: bytes([number]) * 3_000_000 for number in range(12)}
    users.put_all(entries)
    assert users.get_all(entries) == entries
    assert dict(users.items()) == entries


def test_a_large_value_arrives_whole(users: Users):
    value = bytes(range(256)) * 200_000
    users["large"] = value
    assert users["large"] == value


def test_an_iteration_survives_changes_under_it(users: Users):
    users.put_all({number: number for number in range(2000)})
    seen = []
    for key in users:
        seen.append(key)
        users.delete(key)
    assert sorted(seen) == list(range(2000))
    assert len(users) == 0


def test_maps_are_apart_by_name(client: Grid, users: Users):
    other = client.map("another one")
    users["key"] = 1
    assert "key" not in other


def test_what_cannot_be_sent_is_refused_before_anything_is_changed(users: Users):
    with pytest.raises(KeyTooLargeError, match=r"at most 65,536 are allowed"):
        users["k" * 70_000] = 1
    with pytest.raises(ValueTooLargeError, match=r"at most 67,108,864 are allowed"):
        users["k"] = bytes(70_000_000)
    with pytest.raises(SerializationError, match="a set cannot be a key"):
        users[{1}] = 1
    with pytest.raises(SerializationError, match="cannot be sent"):
        users["k"] = iter([threading.Lock()])
    assert len(users) == 0


def test_a_map_needs_a_name(client: Grid):
    with pytest.raises(GridError, match="1 to 255 bytes"):
        client.map("")


def test_threads_may_share_a_client(users: Users):
    def work(thread: int) -> None:
        for number in range(200):
            users[thread, number] = number
            assert users[thread, number] == number

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(users) == 800


@pytest.fixture
def client_by_tcp(running_cluster: LocalCluster) -> Iterator[Grid]:
    with running_cluster.client(ClientOptions(unix_sockets=False)) as connected:
        yield connected


def test_tcp_and_unix_sockets_lead_to_the_same_map(client_by_tcp: Grid, users: Users):
    users["key"] = "value"
    assert client_by_tcp.map(users.name)["key"] == "value"


def test_a_closed_client_says_so(running_cluster: LocalCluster):
    client = running_cluster.client()
    client.close()
    with pytest.raises(GridError, match="closed"):
        client.status()
    with pytest.raises(GridError, match="closed"):
        client.map("m").get("k")
