"""Operations on an event loop: links that break, callers that give up, nodes that are silent."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvloop

from grid import (
    AsyncGrid,
    ConnectError,
    GridError,
    OperationTimeoutError,
)
from grid.api import LocalCluster, local_cluster
from grid.client.async_map import AsyncMap
from grid.client.options import ClientOptions
from grid.client.requests import aio
from grid.client.requests.aio import AsyncShell
from grid.client.requests.async_link import AsyncLink
from grid.hosts.node_process import DEADLINE_S
from grid.storage.messages import Request
from tests.client.stopping import family_of, stopped

KEYS = range(200)
NAME = "m"
FACTORIES = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def run(
    cluster: LocalCluster,
    test: Callable[[AsyncGrid, AsyncMap[Any, Any]], Awaitable[None]],
    options: ClientOptions | None = None,
    loop: str = "asyncio",
) -> None:
    async def main() -> None:
        async with cluster.aclient(options) as grid:
            users = grid.map(NAME)
            await users.put_all({key: f"value {key}" for key in KEYS})
            await test(grid, users)

    with asyncio.Runner(loop_factory=FACTORIES[loop]) as runner:
        runner.run(asyncio.wait_for(main(), 120))


def links_of(grid: AsyncGrid) -> list[AsyncLink]:
    return list(grid._shell._links.values())


def shell_of(grid: AsyncGrid) -> AsyncShell:
    return grid._shell


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of requests in each frame that is sent."""
    sizes: list[int] = []
    flush = AsyncLink._flush

    def counted(link: AsyncLink) -> None:
        if link._outbox:
            sizes.append(len(link._outbox))
        flush(link)

    monkeypatch.setattr(AsyncLink, "_flush", counted)
    return sizes


@pytest.mark.parametrize("loop", FACTORIES)
def test_fifty_tasks_in_one_turn_of_the_loop_make_one_frame_for_each_process(
    running_cluster: LocalCluster, frames: list[int], loop: str
):
    async def test(grid, users):
        frames.clear()
        found = await asyncio.gather(*map(users.get, range(50)))
        assert found == [f"value {key}" for key in range(50)]
        assert sum(frames) == 50
        assert len(frames) == len({users.owner_of(k) for k in KEYS}) * 2  # Storage processes.

    run(running_cluster, test, loop=loop)


def test_the_first_requests_of_many_tasks_open_one_link_for_each_process(
    running_cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
):
    opened = 0
    connect = AsyncShell._connect

    async def counted(shell, target):
        nonlocal opened
        opened += 1
        return await connect(shell, target)

    monkeypatch.setattr(AsyncShell, "_connect", counted)

    async def test(grid, users):
        await asyncio.gather(*map(users.get, KEYS))
        assert opened == len(links_of(grid)) == 4

    run(running_cluster, test)


@pytest.mark.parametrize("loop", FACTORIES)
def test_a_caller_that_gives_up_leaves_the_others_their_answers(
    running_cluster: LocalCluster, loop: str
):
    async def test(grid, users):
        for _ in range(20):
            tasks = [asyncio.ensure_future(users.get(key)) for key in KEYS]
            await asyncio.sleep(0)
            for task in tasks[::3]:
                task.cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            for key, answer in enumerate(found):
                if key % 3 == 0:
                    assert isinstance(answer, asyncio.CancelledError)
                else:
                    assert answer == f"value {key}"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(users.get_all(KEYS), 0)
        assert len(await users.get_all(KEYS)) == len(KEYS)

    run(running_cluster, test, loop=loop)


def test_a_caller_that_gives_up_while_a_link_is_opened_does_not_stop_the_others(
    running_cluster: LocalCluster,
):
    async def test(grid, users):
        for link in links_of(grid):
            link.close()
        first, second = (asyncio.ensure_future(users.get(key)) for key in (1, 1))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "value 1"

    run(running_cluster, test)


def test_nothing_is_logged_of_a_link_that_fails_when_its_caller_has_given_up(
    running_cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
):
    async def test(grid, users):
        logged: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: logged.append(what))
        has_begun, may_fail, has_failed = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def fail(shell, target):
            has_begun.set()
            await may_fail.wait()
            has_failed.set()
            raise ConnectError("refused")

        monkeypatch.setattr(AsyncShell, "_connect", fail)
        for link in links_of(grid):
            link.close()
        caller = asyncio.create_task(users.get(0))
        await has_begun.wait()
        caller.cancel()
        await asyncio.wait([caller])
        may_fail.set()
        await has_failed.wait()
        await asyncio.sleep(0)
        monkeypatch.undo()
        del caller
        gc.collect()  # A task with an exception that nobody took says so when it goes.
        assert logged == []

    run(running_cluster, test)


@pytest.mark.parametrize("loop", FACTORIES)
def test_a_link_that_breaks_repeats_reads_and_has_writes_carried_out_once(
    running_cluster: LocalCluster, loop: str
):
    async def test(grid, users):
        reads = [asyncio.ensure_future(users.get(key)) for key in range(50)]
        batch = asyncio.ensure_future(users.get_all(KEYS))
        writes = [asyncio.ensure_future(users.put(key, "new")) for key in range(50)]
        counts = [asyncio.ensure_future(users.increment(f"n{key}")) for key in range(50)]
        await asyncio.sleep(0)
        assert all(link.is_waiting for link in links_of(grid))
        for link in links_of(grid):
            link._flush()
            link.close()
        assert len(await batch) == len(KEYS)
        for key, read in enumerate(reads):
            assert await read in (f"value {key}", "new")
        tokens = await asyncio.gather(*writes)
        assert all(await asyncio.gather(*map(grid.survived, tokens)))
        assert await users.get_all(range(50)) == dict.fromkeys(range(50), "new")
        assert await asyncio.gather(*counts) == [1] * 50
        assert list((await users.get_all(f"n{key}" for key in range(50))).values()) == [1] * 50
        await users.remove_all(f"n{key}" for key in range(50))

    run(running_cluster, test, loop=loop)


def test_a_write_that_was_not_yet_sent_is_repeated(running_cluster: LocalCluster):
    async def test(grid, users):
        write = asyncio.ensure_future(users.put(1, "new"))
        while not any(link.is_waiting for link in links_of(grid)):
            await asyncio.sleep(0)
            for link in links_of(grid):
                if link._outbox:  # In the same turn, before it is flushed.
                    link.connection_lost(ConnectionResetError("it broke"))
                    break
            else:
                continue
            break
        await write
        assert await users.get(1) == "new"

    run(running_cluster, test)


def test_another_event_loop_is_refused_in_one_sentence(running_cluster: LocalCluster):
    async def open_one():
        return await running_cluster.aclient()

    async def use(grid):
        await grid.map(NAME).get("k")

    with asyncio.Runner() as first, asyncio.Runner() as second:
        grid = first.run(open_one())
        with pytest.raises(GridError, match="belongs to the event loop in which it connected"):
            second.run(use(grid))
        first.run(use(grid))
        first.run(grid.close())


def test_two_event_loops_may_have_a_client_each(running_cluster: LocalCluster):
    async def main() -> set[Any]:
        async with running_cluster.aclient() as grid:
            await asyncio.gather(*(grid.map("two").put(key, key) for key in KEYS))
            return set(await grid.map("two").get_all(KEYS))

    async def both() -> list[set[Any]]:
        return await asyncio.gather(*(asyncio.to_thread(asyncio.run, main()) for _ in range(2)))

    assert asyncio.run(both()) == [set(KEYS)] * 2


@pytest.mark.parametrize("loop", FACTORIES)
def test_closing_ends_those_who_wait_and_those_who_come(running_cluster: LocalCluster, loop: str):
    async def test(grid, users):
        waiting = [asyncio.ensure_future(users.get(key)) for key in KEYS]
        writing = [asyncio.ensure_future(users.put(key, 1)) for key in KEYS]
        await asyncio.sleep(0)
        await grid.close()
        for ended in await asyncio.gather(*waiting, *writing, return_exceptions=True):
            assert isinstance(ended, int | str | GridError)
        with pytest.raises(GridError, match="this client is closed"):
            await users.get(1)
        assert not any(link.is_open for link in links_of(grid))

    run(running_cluster, test, loop=loop)


# -- nodes that are silent, or others -----------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with local_cluster(2, workers=1, storage_processes=1) as made:
        yield made


def second_node(cluster: LocalCluster) -> tuple[bytes, list[Any]]:
    """Return its id and its storage processes."""
    with cluster.client() as client:
        node = next(node for node in client.nodes() if node.name == "local-2")
        return node.id, family_of(client, node.id, "grid-storage")


@pytest.mark.parametrize("loop", FACTORIES)
def test_a_silent_storage_process_ends_calls_by_their_deadline(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, loop: str
):
    monkeypatch.setattr(aio, "PATIENCE_S", 0.1)
    silent, processes = second_node(cluster)

    async def test(grid, users):
        own = [key for key in KEYS if users.owner_of(key) == silent]
        others = [key for key in KEYS if key not in own]
        with stopped(processes):
            read = asyncio.ensure_future(users.get(own[0]))
            write = asyncio.ensure_future(users.put(own[1], "written"))
            assert len(await users.get_all(others)) == len(others)
            with pytest.raises(OperationTimeoutError, match="local-2 is silent") as raised:
                await read
            assert raised.value.outcome == "not_applied"
            with pytest.raises(OperationTimeoutError, match="local-2 is silent") as raised:
                await write
            assert raised.value.outcome == "unknown"
        for _ in range(20):
            found = await asyncio.gather(*map(users.get, own[2:]))
            assert found == [f"value {key}" for key in own[2:]]

    run(cluster, test, ClientOptions(operation_deadline_s=0.5), loop)


def test_those_who_wait_for_room_at_a_silent_node_have_a_deadline_too(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(aio, "PATIENCE_S", 0.1)
    silent, processes = second_node(cluster)
    sent: list[Request] = []
    ask = AsyncLink.ask

    def noted(link, question):
        sent.append(question.request)
        return ask(link, question)

    monkeypatch.setattr(AsyncLink, "ask", noted)

    async def test(grid, users):
        own = [key for key in KEYS if users.owner_of(key) == silent]
        with stopped(processes):
            links = [link for place, link in grid._shell._links.items() if place[0] == silent]
            is_full = asyncio.Event()
            pause = AsyncLink.pause_writing

            def noting_pause(link):
                pause(link)
                if not any(link.has_room for link in links):
                    is_full.set()

            monkeypatch.setattr(AsyncLink, "pause_writing", noting_pause)
            large = [asyncio.ensure_future(users.put(key, bytes(5_000_000))) for key in own[:3]]
            await asyncio.wait_for(is_full.wait(), DEADLINE_S)
            sent.clear()
            more = [asyncio.ensure_future(users.put(key, "small")) for key in own[3:6]]
            for failure in await asyncio.gather(*more, return_exceptions=True):
                assert isinstance(failure, OperationTimeoutError)
                assert failure.outcome == "not_applied"
            assert sent == []
            for failure in await asyncio.gather(*large, return_exceptions=True):
                assert isinstance(failure, OperationTimeoutError)
        # What was half sent is finished now, and the link is as good as before.
        assert await users.get(own[7]) == f"value {own[7]}"

    run(cluster, test, ClientOptions(operation_deadline_s=1.0))


def test_a_node_that_dies_under_its_callers_is_replaced_by_its_backups():
    with local_cluster(2, workers=1, storage_processes=1) as cluster:
        silent, processes = second_node(cluster)

        def kill() -> None:
            for process in processes:
                process.kill()

        async def test(grid, users):
            own = [key for key in KEYS if users.owner_of(key) == silent]
            await grid.flush()
            with stopped(processes):
                reads = [asyncio.ensure_future(users.get(key)) for key in own]
                counts = [asyncio.ensure_future(users.increment(("n", key))) for key in own]
                await asyncio.sleep(0)
                assert any(link.is_waiting for link in links_of(grid))
                kill()
                assert await asyncio.gather(*reads) == [f"value {key}" for key in own]
                assert await asyncio.gather(*counts) == [1] * len(own)
            assert await grid.lost() == []
            assert silent not in {link.target.node_id for link in links_of(grid)}
            assert "promoted" in {event.kind for event in await grid.events()}

        run(cluster, test)
