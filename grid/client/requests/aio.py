"""The shell of asyncio clients: runs operations on the caller's event loop.

Responsible for: one link to each storage process, shared by all tasks; looking at links that are
silent. Questions to network processes, which are rare, and handshakes are the blocking ones of
``connections.py``, run in a thread.

Not here: what to send where and what to do when it fails (``core.py``), the links themselves
(``async_link.py``), blocking sockets (``blocking.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import time
from collections import deque
from random import Random
from typing import TypeVar

from grid.client.requests.async_link import AsyncLink
from grid.client.requests.connections import Connections
from grid.client.requests.core import PATIENCE_S, Core, MakeRequest, Tried
from grid.client.requests.routing import Place, Target
from grid.client.requests.steps import Ask, AskAll, FetchTable, Lost, Operation, Pause, Step
from grid.errors import AuthenticationError, ConnectError, GridError, ProtocolError
from grid.storage.messages import Refused, Reply
from grid.transport.blocking import BlockingConnection
from grid.wire.control import View
from grid.wire.handshake import Purpose

T = TypeVar("T")

CLOSE_DEADLINE_S = 5.0

_CANNOT_CONNECT = (ConnectError, ProtocolError, AuthenticationError, OSError)


class AsyncShell:
    """Runs the operations of one client, all on one event loop."""

    def __init__(self, connections: Connections, view: View) -> None:
        """Begin with the table of `view`, inside a running event loop."""
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self.core = Core(view, connections.options.operation_deadline_s, time.monotonic, Random())
        self._links: dict[Place, AsyncLink] = {}
        self._opening: dict[Place, asyncio.Task[AsyncLink]] = {}
        self._fetching: asyncio.Task[str | None] | None = None
        self._watch = self._loop.create_task(self._watch_links())

    async def run(self, operation: Operation[T]) -> T:
        """Carry out an operation.

        Raises: GridError on another event loop than the client's.
        """
        self._check_loop()
        try:
            step = operation.send(None)
            while True:
                try:
                    result = await (self._ask(step) if type(step) is Ask else self._other(step))
                except GridError as error:
                    step = operation.throw(error)
                else:
                    step = operation.send(result)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # by the type of Operation

    async def on_partition(
        self, partition_id: int, make: MakeRequest, payload: bytes | None = None
    ) -> Reply:
        """Carry out one request on the partition's owner, as `Core.on_partition` does.

        Raises: as `run`; PartitionLostError; OperationTimeoutError; OperationError.
        """
        self._check_loop()
        core = self.core
        routing = core.routing
        target = routing.targets[partition_id]
        if target is None:
            return await self.run(core.on_partition(partition_id, make, payload))
        request = make(core.next_number(), routing.epochs[partition_id])
        ask = Ask(target, request, core.deadline(), payload)
        result = await self._ask(ask)
        if isinstance(result, (Lost, Refused)):
            tried = Tried(routing, ask, result)
            return await self.run(core.on_partition(partition_id, make, payload, tried))
        return result

    def _check_loop(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise GridError("an asyncio client belongs to the event loop in which it connected")

    async def close(self) -> None:
        """Close all links."""
        self._watch.cancel()
        for task in [*self._opening.values(), self._watch]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, *_CANNOT_CONNECT, GridError):
                await task
        links = list(self._links.values())
        for link in links:
            link.close()
        if links:
            await asyncio.wait([link.closed for link in links], timeout=CLOSE_DEADLINE_S)

    # -- steps ----------------------------------------------------------------------------

    async def _other(self, step: Step) -> object:
        match step:
            case AskAll():
                await self._ask_all(step)
            case FetchTable(deadline_s=deadline_s):
                return await self.fetch_table(deadline_s)
            case Pause(seconds=seconds):
                await asyncio.sleep(seconds)
            case _:
                raise AssertionError(f"unknown step {step}")
        return None

    async def _ask(self, ask: Ask) -> Reply | Lost:
        link = self._links.get(ask.target.place)
        if link is None or not link.is_open or not link.has_room:
            try:
                async with asyncio.timeout(ask.deadline_s - time.monotonic()):
                    link = await self._link_with_room(ask.target)
            except TimeoutError:
                return Lost(f"{ask.target.name} takes no requests", is_sent=False, is_late=True)
            except _CANNOT_CONNECT as error:
                return Lost(str(error), is_sent=False)
        return await link.ask(ask)

    async def _ask_all(self, step: AskAll) -> None:
        """Send on while replies are due."""
        waiting: deque[tuple[Ask, asyncio.Task[Reply | Lost]]] = deque()
        try:
            for ask in step.asks:
                waiting.append((ask, self._loop.create_task(self._ask(ask))))
                await asyncio.sleep(0)  # So it is sent before the next one is encoded.
                if len(waiting) >= step.window:
                    first, task = waiting.popleft()
                    step.take(first, await task)
            while waiting:
                first, task = waiting.popleft()
                step.take(first, await task)
        except BaseException:
            for _, task in waiting:
                task.cancel()
            raise

    async def _link_with_room(self, target: Target) -> AsyncLink:
        link = self._links.get(target.place)
        if link is None or not link.is_open:
            link = await self._open(target)
        if not link.has_room:
            await link.room()
        return link

    async def fetch_table(self, deadline_s: float = math.inf) -> str | None:
        """Fetch and adopt the newest table, once for all who ask meanwhile; return a failure."""
        return await asyncio.shield(self._fetching_table(deadline_s))

    def _fetching_table(self, deadline_s: float) -> asyncio.Task[str | None]:
        if self._fetching is None or self._fetching.done():
            self._fetching = self._loop.create_task(self._fetch(deadline_s))
            self._fetching.add_done_callback(_note_failure)
        return self._fetching

    async def _fetch(self, deadline_s: float) -> str | None:
        try:
            view = await asyncio.to_thread(self._connections.view, deadline_s)
        except ConnectError as error:
            return str(error)
        self.core.adopt(view)
        for place in [place for place in self._links if place[0] not in self.core.routing.node_ids]:
            self._links.pop(place).close()
        return None

    # -- links ----------------------------------------------------------------------------

    async def _open(self, target: Target) -> AsyncLink:
        """Return the link to a storage process; all who need it wait for the same one."""
        place = target.place
        task = self._opening.get(place)
        if task is None:
            task = self._opening[place] = self._loop.create_task(self._connect(target))
            task.add_done_callback(lambda _: self._opening.pop(place, None))
            task.add_done_callback(_note_failure)
        return await asyncio.shield(task)

    async def _connect(self, target: Target) -> AsyncLink:
        connection = await asyncio.to_thread(self._dial, target)
        sock = connection.socket
        sock.setblocking(False)
        link = AsyncLink(target, self._loop)
        if sock.family == socket.AF_UNIX:
            await self._loop.create_unix_connection(lambda: link, sock=sock)
        else:
            await self._loop.create_connection(lambda: link, sock=sock)
        self._links[target.place] = link
        return link

    def _dial(self, target: Target) -> BlockingConnection:
        """Dial in a thread."""
        gateway = self._connections.gateway_of(target.node_id, target.address)
        connection = self._connections.dial(gateway, Purpose.STORAGE, target.storage_index)
        if connection.node_id != target.node_id:
            connection.close()
            raise ConnectError(f"{target.name} has been replaced")
        return connection

    async def _watch_links(self) -> None:
        """From time to time, look for requests that nobody answers."""
        while True:
            await asyncio.sleep(PATIENCE_S / 2)
            for link in list(self._links.values()):
                link.drop_late(time.monotonic())
                if link.is_waiting and self._loop.time() - link.heard_s > PATIENCE_S:
                    if self.core.is_still_at(link.target):
                        # Not awaited: others' deadlines pass meanwhile.
                        self._fetching_table(math.inf)
                    else:
                        link.close()


def _note_failure(task: asyncio.Task[AsyncLink] | asyncio.Task[str | None]) -> None:
    """Whoever asked may have been cancelled: the failure is nobody's then, and not to be logged."""
    if not task.cancelled():
        task.exception()
