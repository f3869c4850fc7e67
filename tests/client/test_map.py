"""The map on a real cluster of two nodes with two storage processes each."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from grid import GridError, KeyTooLargeError, Map, SerializationError, ValueTooLargeError
from grid.api import LocalCluster
from grid.client.options import ClientOptions
from grid.client.session import Grid
from tests.processes.nodes import ask_until

Users = Map[Any, Any]

TYPED_PROGRAM = """
from dataclasses import dataclass
import grid

@dataclass
class User:
    name: str

g = grid.connect()
users: grid.Map[str, User] = g.map("users")
users["ann"] = User("ann")
users.put("bob", User("bob"), ttl=5)
reveal_type(users["ann"])
reveal_type(users.get("ann"))
reveal_type(users.get("ann", 5))
reveal_type(users.pop("ann"))
reveal_type(users.get_all(["ann"]))
reveal_type(list(users.items()))
reveal_type(users.popitem())
users["ann"] = 5
users[1] = User("x")

async def main(users: grid.AsyncMap[str, User]) -> None:
    reveal_type(await users.get("ann"))
    reveal_type([entry async for entry in users.items()])
    await users.put("ann", "text")
"""


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


def test_a_map_is_called_by_its_name_and_not_by_its_content(users: Users):
    users["secret"] = "value"
    assert repr(users) == f"<grid map {users.name!r}>"


def test_many_entries_travel_in_batches_and_all_arrive(users: Users):
    entries = {f"key-{number}": number for number in range(25_000)}
    users.put_all(entries)
    assert len(users) == 25_000
    assert users.get_all([*entries, "not there"]) == entries
    assert dict(users.items()) == entries
    assert sorted(users) == sorted(entries)
    assert users.remove_all(entries) == 25_000


def test_a_reply_that_would_be_too_long_is_continued(users: Users):
    entries = {number: bytes([number]) * 3_000_000 for number in range(12)}
    users.put_all(entries)
    assert users.get_all(entries) == entries
    assert dict(users.items()) == entries


def test_conditions_hold_between_clients(running_cluster: LocalCluster, users: Users):
    with running_cluster.client() as other_client:
        others = other_client.map(users.name)
        assert users.put_if_absent("k", 1)
        assert not others.put_if_absent("k", 2)
        assert others.replace_if_same("k", 1, 3)
        assert not users.replace_if_same("k", 1, 4)
        assert others.remove_if_same("k", 3)
        assert "k" not in users


def test_an_entry_disappears_when_its_time_is_over(users: Users):
    users.put("short", 1, ttl=0.2)
    users.put("long", 1, ttl=1000)
    ask_until(lambda: "short" not in users)
    assert list(users) == ["long"]
    ask_until(lambda: len(users) == 1)


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


def test_the_largest_key_and_the_largest_value_travel(users: Users):
    value = bytes(67_108_864 - 1)
    users["k" * 65_536] = value
    assert users["k" * 65_536] == value
    assert users.delete("k" * 65_536)


def run_together(*works: Any) -> list[Any]:
    """Run in a thread each; return the results in order."""
    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(60) for future in [pool.submit(work) for work in works]]


def test_threads_may_share_a_client(users: Users):
    def work(thread: int) -> None:
        for number in range(200):
            users[thread, number] = number
            assert users[thread, number] == number
            assert users.get_all([(thread, number), "x"]) == {(thread, number): number}

    run_together(*(lambda thread=thread: work(thread) for thread in range(4)))
    assert len(users) == 800


def test_increments_of_many_are_all_counted(running_cluster: LocalCluster, users: Users):
    def count(amount: Any) -> None:
        with running_cluster.client() as client:
            for _ in range(100):
                client.map(users.name).increment("n", amount)

    run_together(*[lambda: count(1)] * 2, *[lambda: count(2**64)] * 2)
    assert users["n"] == 200 + 200 * 2**64


def test_those_who_pop_at_the_same_time_take_no_entry_twice(users: Users):
    users.put_all({number: number for number in range(400)})

    def pop_all() -> list[Any]:
        popped = []
        while True:
            try:
                popped.append(users.popitem()[0])
            except KeyError:
                return popped

    popped = run_together(pop_all, pop_all, pop_all)
    assert sorted(chain(*popped)) == list(range(400))


def test_compare_and_set_of_many_loses_no_change(users: Users):
    users["list"] = ()

    def append(number: int) -> None:
        while True:
            old = users["list"]
            if users.replace_if_same("list", old, (*old, number)):
                return

    run_together(*(lambda n=number: append(n) for number in range(8)))
    assert sorted(users["list"]) == list(range(8))


@pytest.fixture
def client_by_tcp(running_cluster: LocalCluster) -> Iterator[Grid]:
    with running_cluster.client(ClientOptions(unix_sockets=False)) as connected:
        yield connected


def test_tcp_and_unix_sockets_lead_to_the_same_map(client_by_tcp: Grid, users: Users):
    users["key"] = "value"
    by_tcp = client_by_tcp.map(users.name)
    assert by_tcp["key"] == "value"
    by_tcp["large"] = bytes(5_000_000)
    assert users["large"] == bytes(5_000_000)


def test_a_client_that_spins_gets_the_same_answers(running_cluster: LocalCluster, users: Users):
    with running_cluster.client(ClientOptions(spin_us=1000)) as client:
        spinning = client.map(users.name)
        spinning.put_all({number: number for number in range(100)})
        assert [spinning[number] for number in range(100)] == list(range(100))
        spinning["large"] = bytes(1_000_000)
        assert spinning["large"] == bytes(1_000_000)


def test_a_closed_client_says_so(running_cluster: LocalCluster):
    client = running_cluster.client()
    users = client.map("m")
    users["k"] = 1
    client.close()
    for operation in (client.status, users.popitem, lambda: users["k"], lambda: users.get_all("k")):
        with pytest.raises(GridError, match="this client is closed"):
            operation()


def test_a_client_closed_while_threads_use_it_ends_them_all(running_cluster: LocalCluster):
    client = running_cluster.client()
    users = client.map("closed meanwhile")
    begun = threading.Barrier(4)

    def work() -> str:
        users["k"] = 1
        begun.wait(60)
        deadline_s = time.monotonic() + 60
        while time.monotonic() < deadline_s:
            try:
                assert users["k"] == 1
                users.get_all("k")
            except GridError as error:
                return str(error)
        return "it never ended"

    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(work) for _ in range(3)]
        begun.wait(60)
        client.close()
        assert {future.result(60) for future in futures} == {"this client is closed"}


def test_type_hints_tell_keys_and_values(tmp_path: Path):
    program = tmp_path / "typed.py"
    program.write_text(TYPED_PROGRAM)
    root = Path(__file__).resolve().parents[2]
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file", ""),
            *("--cache-dir", tmp_path, program),
        ],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.partition(": ")[2] for line in checked.stdout.splitlines()]
    revealed = [line.split('"')[1] for line in lines if "Revealed" in line]
    user = "typed.User"
    assert [name.replace("builtins.", "") for name in revealed] == [
        user,
        f"{user} | None",
        f"{user} | int",
        user,
        f"dict[str, {user}]",
        f"list[tuple[str, {user}]]",
        f"tuple[str, {user}]",
        f"{user} | None",
        f"list[tuple[str, {user}]]",
    ]
    wrong = [line for line in lines if line.startswith("error")]
    assert len(wrong) == 3, checked.stdout
    assert "Incompatible types in assignment" in wrong[0]
    assert "Invalid index type" in wrong[1]
    assert 'Argument 2 to "put"' in wrong[2]
