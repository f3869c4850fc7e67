"""The asyncio map on a real cluster, on asyncio's own event loop and on uvloop's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from grid import AsyncMap, KeyTooLargeError, Map, SerializationError
from grid.api import LocalCluster

Test = Callable[[AsyncMap[Any, Any]], Awaitable[None]]
Run = Callable[[Test], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest, running_cluster: LocalCluster) -> Run:
    """Run a test with a map of its own."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run_test(test: Test) -> None:
        async def main() -> None:
            async with running_cluster.aclient() as grid:
                await test(grid.map(request.node.nodeid[-200:]))

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())

    return run_test


def test_one_entry_is_stored_replaced_and_removed(run: Run):
    async def test(users):
        assert await users.get("ann") is None
        assert await users.get("ann", 5) == 5
        await users.put("ann", 1)
        assert await users.contains("ann")
        assert await users.replace("ann", 2)
        assert not await users.put_if_absent("ann", 3)
        assert not await users.replace_if_same("ann", 1, 3)
        assert await users.replace_if_same("ann", 2, 3)
        assert await users.setdefault("ann", 4) == 3
        assert not await users.remove_if_same("ann", 2)
        assert await users.remove_if_same("ann", 3)
        assert not await users.delete("ann")
        assert not await users.contains("ann")
        assert await users.setdefault("bob") is None

    run(test)


def test_pop_and_popitem_raise_what_a_dict_raises(run: Run):
    async def test(users):
        with pytest.raises(KeyError, match="ann"):
            await users.pop("ann")
        assert await users.pop("ann", 5) == 5
        await users.put("ann", 1)
        assert await users.popitem() == ("ann", 1)
        with pytest.raises(KeyError, match="is empty"):
            await users.popitem()

    run(test)


def test_many_entries_and_the_whole_map(run: Run):
    async def test(users):
        entries = {f"key-{number}": number for number in range(25_000)}
        await users.put_all(entries)
        assert await users.size() == 25_000
        assert await users.get_all([*entries, "not there"]) == entries
        assert {key: value async for key, value in users.items()} == entries
        assert sorted([key async for key in users]) == sorted(entries)
        assert sorted([key async for key in users.keys()]) == sorted(entries)  # noqa: SIM118
        assert sorted([value async for value in users.values()]) == sorted(entries.values())
        assert await users.remove_all(list(entries)[:5000]) == 5000
        await users.clear()
        assert await users.size() == 0
        await users.put_all([])
        assert await users.get_all([]) == {}

    run(test)


def test_fifty_tasks_at_once_get_their_own_answers(run: Run):
    async def test(users):
        async def work(task: int) -> None:
            for number in range(40):
                await users.put((task, number), [task, number])
                assert await users.get((task, number)) == [task, number]
                assert await users.increment("count") > 0

        await asyncio.gather(*map(work, range(50)))
        assert await users.size() == 2001
        assert await users.get("count") == 2000

    run(test)


def test_large_and_small_values_together_arrive_whole(run: Run):
    async def test(users):
        async def work(task: int) -> None:
            value = bytes([task]) * (3_000_000 if task % 5 == 0 else 10)
            await users.put(task, value)
            assert await users.get(task) == value

        await asyncio.gather(*map(work, range(30)))
        assert len(await users.get_all(range(30))) == 30

    run(test)


def test_a_time_to_live_and_its_mistakes(run: Run):
    async def test(users):
        await users.put("k", 1, ttl=0.05)
        await users.put_all({"l": 1}, ttl=0.05)
        while await users.contains("k") or await users.contains("l"):
            pass
        with pytest.raises(ValueError, match="ttl is in seconds and above 0"):
            await users.put("k", 1, ttl=0)

    run(test)


def test_what_cannot_be_sent_is_refused_by_name(run: Run):
    async def test(users):
        with pytest.raises(KeyTooLargeError, match=r"'kkk.* at most 65,536 are allowed"):
            await users.put("k" * 70_000, 1)
        with pytest.raises(SerializationError, match="a set cannot be a key"):
            await users.get({1})
        await users.put("text", "a")
        with pytest.raises(TypeError, match="increment of 'text': the value is a str"):
            await users.increment("text")

    run(test)


def test_more_tasks_than_one_connection_bears_all_come_through(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("grid.client.requests.async_link.WAITING_MAX", 20)

    async def test(users):
        await asyncio.gather(*(users.put(number, number) for number in range(1000)))
        found = await asyncio.gather(*(users.get(number) for number in range(1000)))
        assert found == list(range(1000))

    run(test)


def test_iterations_may_run_at_the_same_time_and_be_left(run: Run):
    async def test(users):
        entries = {number: bytes(1000) for number in range(5000)}
        await users.put_all(entries)

        async def count() -> int:
            return len([key async for key in users])

        assert set(await asyncio.gather(count(), count(), count())) == {5000}
        async for _ in users.items():
            break
        assert await users.size() == 5000

    run(test)


def test_a_blocking_client_sees_the_same_map(run: Run, client, request):
    async def test(users):
        await users.put("k", {"n": "José"})

    run(test)
    same: Map[Any, Any] = client.map(request.node.nodeid[-200:])
    assert same["k"] == {"n": "José"}


def test_owner_and_name_are_told_without_asking(run: Run):
    async def test(users):
        assert len(users.owner_of("k")) == 16
        assert repr(users) == f"<grid asyncio map {users.name!r}>"

    run(test)
