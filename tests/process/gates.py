"""Nodes to connect to on loopback: the real gateway and sessions, and some that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import NoReturn, TypeVar

from grid.executor.messages import WorkWanted
from grid.executor.options import ExecutorOptions
from grid.membership.messages import MemberRecord, MemberState, PushPull
from grid.partition.messages import PartitionMessage
from grid.process.events import EventLog
from grid.process.gateway import Gateway, Sockets
from grid.process.http import HttpPages
from grid.process.pages import Snapshot
from grid.process.sessions import Sessions
from grid.process.tasks import NodeTasks
from grid.replication.messages import ForStorage
from grid.types import Address, NodeId
from grid.wire.handshake import Hello
from grid.wire.security import derive_keys

PATIENCE_S = 60.0
"""How long a test waits for what must come; nothing that passes takes any of it."""

KEYS = derive_keys(b"a secret of the tests of processes", "grid")
OTHER_KEYS = derive_keys(b"another secret, quite as long, of a stranger", "grid")

T = TypeVar("T")
Opened = Callable[[Hello, socket.socket], Awaitable[None]]


def node_id(number: int) -> NodeId:
    return NodeId(bytes([number]) * 16)


def record_at(number: int, address: Address) -> MemberRecord:
    return MemberRecord(
        id=node_id(number),
        name=f"n{number}",
        hosts=(address.host,),
        port=address.port,
        pid=0,
        storage_processes=1,
        workers=1,
        incarnation=0,
        state=MemberState.ALIVE,
    )


def list_of(number: int) -> PushPull:
    """Return the member list of a node that knows nobody."""
    return PushPull(b"standing", b"report", [record_at(number, Address("127.0.0.1", 7701))])


async def within_patience(awaitable: Awaitable[T]) -> T:
    return await asyncio.wait_for(awaitable, PATIENCE_S)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop work until something is so."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if condition():
                return
            await asyncio.sleep(0.001)


def reset(sock: socket.socket) -> None:
    """Close with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Gate:
    """A node's public port with its real gateway, and sessions by the real `Sessions`.

    `opened` replaces what happens after the handshake, `snapshot` is what its pages show.
    """

    def __init__(
        self,
        number: int,
        opened: Opened | None = None,
        keys=KEYS,
        snapshot: Callable[[], Snapshot] | None = None,
    ) -> None:
        self.node_id = node_id(number)
        self.number = number
        self.sockets = Sockets("127.0.0.1", 0)
        self.address = Address("127.0.0.1", self.sockets.port)
        self.record = record_at(number, self.address)
        self.heard: list[tuple[NodeId, PartitionMessage | ForStorage | WorkWanted]] = []
        self.lists: list[tuple[NodeId, PushPull]] = []
        self.hellos: list[Hello] = []
        self.events = EventLog(lambda: 1_000.0, f"n{number}")
        self._pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sessions = Sessions(
            NodeTasks(
                ExecutorOptions(),
                self._pair[0],
                workers=0,
                on_workers_wanted=_unasked,
                others=list,
                ask=_unasked,
            ),
            view=_unasked,
            status=_unasked,
            events=self.events.since,
            on_peer_message=lambda sender, message: self.heard.append((sender, message)),
            on_exchange=self._on_exchange,
            on_shutdown=_unasked,
            on_loss_accepted=_unasked,
        )
        self._opened = opened or self.sessions.open
        self.gateway = Gateway(
            self.sockets,
            keys,
            self.node_id,
            storage_count=1,
            hand_over=lambda index, sock, welcome, client_id: False,
            open_session=self._open,
            answer_http=HttpPages(keys, "grid", snapshot or _unasked).serve,
        )

    def __enter__(self) -> Gate:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        for sock in self._pair:
            sock.close()

    def start(self) -> Gate:
        self.gateway.start()
        return self

    def stop(self) -> None:
        """End as a process does: listeners and connections."""
        self.gateway.close()
        self.sessions.close()
        self.sockets.close()

    @property
    def session_count(self) -> int:
        return len(self.sessions._streams)

    async def _open(self, hello: Hello, sock: socket.socket) -> None:
        self.hellos.append(hello)
        await self._opened(hello, sock)

    def _on_exchange(self, sender: NodeId, message: PushPull) -> PushPull:
        self.lists.append((sender, message))
        return list_of(self.number)


def _unasked(*_: object) -> NoReturn:
    raise AssertionError("nobody was to ask that")


@contextlib.contextmanager
def refusing() -> Iterator[Address]:
    """A port where nobody listens and nobody else can."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield Address(*sock.getsockname())


@contextlib.contextmanager
def listening() -> Iterator[tuple[socket.socket, Address]]:
    """A port where connections are taken by the kernel and by nobody else."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(256)
        sock.setblocking(False)
        yield sock, Address(*sock.getsockname())
