"""A connection to the cluster for asyncio programs: the same names as `Grid`, to be awaited.

Not here: finding the cluster (``grid/api.py``), the blocking client (``session.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Literal

from grid.client.async_map import AsyncMap
from grid.client.entries.safety import flush, survived
from grid.client.entries.tokens import WriteToken
from grid.client.processing.at_data import AtData
from grid.client.requests.aio import AsyncShell
from grid.client.requests.connections import Connections
from grid.client.session import check_map_name, status_from
from grid.client.tasks.executor import GridExecutor
from grid.errors import ConnectError, GridError
from grid.executor.options import ExecutorOptions
from grid.storage.options import StorageOptions
from grid.types import PartitionId
from grid.wire.control import Event, LossAccepted, NodeView


class AsyncGrid:
    """A client of one cluster, for one event loop.

    ``async with grid.aconnect() as g: ...``, or ``g = await grid.aconnect()`` and
    ``await g.close()``. All tasks share one connection to each storage process, and what they ask
    in one turn of the loop travels together. Errors are those of `Grid`.
    """

    def __init__(
        self,
        connect: Callable[[], Connections],
        *,
        storage_options: StorageOptions | None = None,
        executor_options: ExecutorOptions | None = None,
    ) -> None:
        """Use `grid.aconnect()` instead. `connect` runs in a thread, when this is entered."""
        self._connect = connect
        self._opened: tuple[Connections, AsyncShell, AtData] | None = None
        self._storage_options = storage_options or StorageOptions()
        self._executor_options = executor_options or ExecutorOptions()
        self._executors: list[GridExecutor] = []
        self._opening = asyncio.Lock()

    def __repr__(self) -> str:
        """Name the cluster."""
        name = self._opened[0].cluster if self._opened is not None else "?"
        return f"<grid asyncio client of {name!r}>"

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._opened is not None and self._opened[0].is_closed

    def map(self, name: str, *, backup_ack: bool = False) -> AsyncMap[Any, Any]:
        """Return the map called `name`; it exists from its first entry on.

        `backup_ack`: every write by this object waits for a backup, as with ``ack="backup"``.
        Other objects of the same map, here or elsewhere, have their own default.

        Raises: GridError for an empty or overlong name.
        """
        check_map_name(name)
        limits, at_data = self._storage_options, self._parts()[2]
        return AsyncMap(name, self._shell, limits, at_data, backup_ack=backup_ack)

    def executor(self, *, when_full: Literal["wait", "raise"] = "raise") -> GridExecutor:
        """Return an executor over all workers; await its futures by `asyncio.wrap_future`.

        `when_full` as for `Grid.executor`; an event loop must not wait in `submit`.

        Raises: ClosedError.
        """
        self._connections.check_open()
        executor = GridExecutor(
            self._connections, self._shell.core, self._executor_options, when_full=when_full
        )
        self._executors = [known for known in self._executors if not known.is_over]
        self._executors.append(executor)
        return executor

    async def status(self) -> dict[str, Any]:
        """Return what ``grid status --json`` prints."""
        return await asyncio.to_thread(status_from, self._connections)

    async def nodes(self) -> list[NodeView]:
        """Return the living nodes as the gateway sees them."""
        return list((await asyncio.to_thread(self._connections.view)).nodes)

    async def lost(self) -> list[PartitionId]:
        """Return the partitions that were lost with a node and not accepted since."""
        failure = await self._shell.fetch_table()
        if failure is not None:
            raise ConnectError(failure)
        return sorted(self._shell.core.routing.lost)

    async def accept_loss(self) -> None:
        """Use lost partitions again, empty. What they held is gone either way."""
        await asyncio.to_thread(self._connections.ask, LossAccepted)

    async def flush(self) -> None:
        """Wait until the backups have everything that was written before; see `Grid.flush`."""
        await self._shell.run(flush(self._shell.core))

    async def survived(self, token: WriteToken) -> bool:
        """Return whether a write has outlived every node's death; see `Grid.survived`."""
        return await self._shell.run(survived(self._shell.core, token))

    async def events(self) -> list[Event]:
        """Return what has happened to the cluster, oldest first; see `Grid.events`."""
        return await asyncio.to_thread(self._connections.events)

    async def close(self) -> None:
        """Close this client's connections; idempotent. Its executors end, as `Grid.close` says."""
        if self._opened is None or self.is_closed:
            return
        for executor in self._executors:
            await asyncio.to_thread(executor.abandon)
        self._connections.close()
        await self._shell.close()

    async def _open(self) -> AsyncGrid:
        async with self._opening:  # Two tasks may enter at the same time.
            if self._opened is None:
                connections = await asyncio.to_thread(self._connect)
                try:
                    view = await asyncio.to_thread(connections.first_view)
                except BaseException:
                    connections.close()
                    raise
                shell = AsyncShell(connections, view)
                at_data = AtData(shell.core, self._storage_options, self.executor)
                self._opened = connections, shell, at_data
        return self

    @property
    def _connections(self) -> Connections:
        return self._parts()[0]

    @property
    def _shell(self) -> AsyncShell:
        return self._parts()[1]

    def _parts(self) -> tuple[Connections, AsyncShell, AtData]:
        if self._opened is None:
            raise GridError("not connected yet: use 'async with grid.aconnect() as g', or await it")
        return self._opened

    def __await__(self) -> Generator[Any, None, AsyncGrid]:
        """Connect."""
        return self._open().__await__()

    async def __aenter__(self) -> AsyncGrid:
        """Connect."""
        return await self._open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()
