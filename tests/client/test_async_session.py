"""What an asyncio program does with a connection to the cluster."""

from __future__ import annotations

import asyncio
import gc
import warnings

import pytest

from grid import AsyncGrid, ConnectError, GridError
from grid.api import LocalCluster
from grid.client.options import ClientOptions
from grid.client.requests.connections import Connections
from grid.client.tasks.executor import GridExecutor


def test_it_is_used_with_async_with(running_cluster: LocalCluster):
    async def main() -> None:
        async with running_cluster.aclient() as grid:
            await grid.map("session").put("k", 1)
            assert await grid.map("session").get("k") == 1
            assert not grid.is_closed
            assert repr(grid) == f"<grid asyncio client of {running_cluster.name!r}>"
        assert grid.is_closed

    asyncio.run(main())


def test_or_it_is_awaited_and_closed(running_cluster: LocalCluster):
    async def main() -> None:
        grid = await running_cluster.aclient()
        assert await grid.map("session").get("none") is None
        await grid.close()
        await grid.close()
        with pytest.raises(GridError, match="this client is closed"):
            await grid.map("session").get("k")

    asyncio.run(main())


def test_use_before_connecting_is_one_clear_sentence(running_cluster: LocalCluster):
    async def main() -> None:
        grid = running_cluster.aclient()
        message = "not connected yet: use 'async with grid.aconnect"
        with pytest.raises(GridError, match=message):
            grid.map("m")
        with pytest.raises(GridError, match=message):
            grid.executor()
        for ask in (
            grid.status, grid.nodes, grid.lost, grid.accept_loss, grid.flush, grid.events,
        ):  # fmt: skip
            with pytest.raises(GridError, match=message):
                await ask()
        assert repr(grid) == "<grid asyncio client of '?'>"
        assert not grid.is_closed
        await grid.close()

    asyncio.run(main())


def test_what_can_be_asked_of_the_cluster_as_a_whole(running_cluster: LocalCluster):
    async def main() -> None:
        async with running_cluster.aclient() as grid:
            assert (await grid.status())["cluster"] == running_cluster.name
            assert len(await grid.nodes()) == 2
            assert await grid.lost() == []
            await grid.accept_loss()

    asyncio.run(main())


def test_a_write_may_wait_for_its_backup_alone_or_together_with_all(
    running_cluster: LocalCluster,
):
    async def main() -> None:
        async with running_cluster.aclient() as grid:
            users = grid.map("safe too")
            token = await users.put("k", 1)
            await grid.flush()
            assert await grid.survived(token)
            careful = grid.map("safe too", backup_ack=True)
            tokens = await asyncio.gather(*(careful.put(key, "x" * key) for key in range(300)))
            assert all(await asyncio.gather(*map(grid.survived, tokens)))
            await careful.put("large", "x" * 100_000)
            await careful.put_all({key: key for key in range(300)})
            assert await users.get_all(range(300)) == {key: key for key in range(300)}
            assert await careful.increment("k", 2) == 3
            with pytest.raises(ValueError, match="ack is 'backup' or None"):
                await users.put("k", 1, ack="two")  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="a token is what put"):
                await grid.survived(5)  # type: ignore[arg-type]
            assert {event.kind for event in await grid.events()} >= {"joined"}

    asyncio.run(main())


def test_a_map_needs_a_name(running_cluster: LocalCluster):
    async def main() -> None:
        async with running_cluster.aclient() as grid:
            with pytest.raises(GridError, match="1 to 255 bytes"):
                grid.map("")

    asyncio.run(main())


def test_futures_of_its_executor_are_awaited(running_cluster: LocalCluster):
    async def main() -> None:
        async with running_cluster.aclient() as grid:
            pool = grid.executor()
            assert isinstance(pool, GridExecutor)
            futures = [asyncio.wrap_future(pool.submit(pow, number, 2)) for number in range(10)]
            assert await asyncio.gather(*futures) == [number**2 for number in range(10)]

    asyncio.run(main())


def test_what_goes_wrong_in_connecting_is_raised_on_entering():
    def refuse() -> Connections:
        raise ConnectError("nobody answers")

    async def main() -> None:
        grid = AsyncGrid(refuse)
        with pytest.raises(ConnectError, match="nobody answers"):
            await grid
        with pytest.raises(ConnectError, match="nobody answers"):
            async with grid:
                pass

    asyncio.run(main())


def test_the_event_loop_goes_on_while_connecting(running_cluster: LocalCluster):
    async def main() -> None:
        turns = 0
        opening = asyncio.ensure_future(running_cluster.aclient()._open())
        while not opening.done():
            turns += 1
            await asyncio.sleep(0)
        assert turns > 3
        await (await opening).close()

    asyncio.run(main())


def test_an_error_in_the_block_closes_and_comes_through(running_cluster: LocalCluster):
    async def main() -> None:
        grid = running_cluster.aclient()

        async def fail() -> None:
            async with grid:
                await grid.map("session").put("k", 1)
                raise LookupError

        with pytest.raises(LookupError):
            await fail()
        assert grid.is_closed

    asyncio.run(main())


def test_nothing_is_left_open_behind_it(running_cluster: LocalCluster):
    async def main() -> None:
        async with running_cluster.aclient(ClientOptions(unix_sockets=False)) as grid:
            await grid.map("session").put_all({number: number for number in range(100)})
        assert len(asyncio.all_tasks()) == 1  # This one.

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        asyncio.run(main(), debug=True)
        gc.collect()
    assert [str(warning.message) for warning in caught if "socket" in str(warning.message)] == []
