"""Frames over a connected stream socket on an asyncio loop: TCP, unix socket or pipe alike.

Not here: what a frame means, and reconnecting.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

from grid.errors import ProtocolError
from grid.types import Address, NodeId, Payload
from grid.wire.frame import HEADER_BYTES, JOIN_BYTES_MAX, FrameReader
from grid.wire.handshake import (
    ANSWER_BYTES,
    CONNECT_PATIENCE_S,
    DEADLINE_S,
    WELCOME_BYTES,
    Hello,
    Verdict,
    check_welcome,
    client_proof,
    unpack_answer,
)
from grid.wire.security import ClusterKeys

logger = logging.getLogger("grid.transport")

T = TypeVar("T")

WRITE_BUFFER_BYTES_MAX = 256 * 1024 * 1024
"""A reader that lets more than this pile up has its connection cut."""

BEHIND_BYTES = 32 * 1024 * 1024
"""Who leaves so much unread is behind, if anybody wants to know."""

BUFFER_BYTES = 16 * 1024
"""To receive into; a larger frame gets a buffer of its own. A node may have thousands of these."""


class FrameStream(asyncio.BufferedProtocol):
    """One connection; calls back with each frame, and once when it is over.

    The body of a large frame is a view on a buffer of its own: it was never copied.
    """

    def __init__(
        self,
        on_frame: Callable[[Payload], None],
        on_lost: Callable[[], None],
        on_behind: Callable[[bool], None] | None = None,
    ) -> None:
        """Keep the callbacks. A ProtocolError from `on_frame` ends the connection.

        `on_behind` is told when the other side is, and when it has caught up.
        """
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._on_behind = on_behind
        self._reader = FrameReader(buffer_bytes=BUFFER_BYTES)
        self._transport: asyncio.Transport | None = None
        self.lost_reason: str | None = None
        self.was_reset = False
        """Whether the other side ended it, by EOF or RST."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast(asyncio.Transport, transport)
        if self._on_behind is not None:
            self._transport.set_write_buffer_limits(high=BEHIND_BYTES)

    def pause_writing(self) -> None:
        """Called by the loop."""
        if self._on_behind is not None:
            self._on_behind(True)

    def resume_writing(self) -> None:
        """Called by the loop."""
        if self._on_behind is not None:
            self._on_behind(False)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Called by the loop."""
        return self._reader.space()

    def buffer_updated(self, nbytes: int) -> None:
        """Called by the loop."""
        self._reader.advance(nbytes)
        try:
            for body in self._reader.bodies():
                # A small one lies in the reader's own buffer, which is about to be used again.
                self._on_frame(body if len(body) > BUFFER_BYTES else bytes(body))
        except ProtocolError as error:
            self.lost_reason = str(error)
            self.abort()
        except Exception:
            # Our own bug, for the log; the other connections go on.
            logger.exception("a connection is cut: its message could not be handled")
            self.lost_reason = "internal error"
            self.abort()

    def eof_received(self) -> None:
        """Called by the loop, which closes the connection then."""
        self.was_reset = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        if isinstance(exc, ConnectionResetError | BrokenPipeError):
            self.was_reset = True
        self._transport = None
        self._on_lost()

    @property
    def is_open(self) -> bool:
        """Whether frames can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, *pieces: Payload) -> None:
        """Queue one frame, whose body is these pieces one after the other; large ones uncopied.

        Silently nothing on a closed connection (`on_lost` has said so).
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        length = sum(map(len, pieces))
        if transport.get_write_buffer_size() + length > WRITE_BUFFER_BYTES_MAX:
            self.lost_reason = "it does not read what it is sent"
            self.abort()
            return
        header = length.to_bytes(HEADER_BYTES, "big")
        if length < JOIN_BYTES_MAX:
            transport.write(b"".join((header, *pieces)))
        else:
            transport.writelines((header, *pieces))

    def close(self) -> None:
        """Close after what is queued has been sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()


async def attach(sock: socket.socket, stream: FrameStream) -> FrameStream:
    """Let the running loop read and write `sock` through `stream`; the socket is its own now."""
    loop = asyncio.get_running_loop()
    sock.setblocking(False)
    if sock.family == socket.AF_UNIX:
        await loop.create_unix_connection(lambda: stream, sock=sock)
    else:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.create_connection(lambda: stream, sock=sock)
    return stream


async def receive_exactly(sock: socket.socket, size: int) -> bytes:
    """Read `size` bytes and not one more.

    Raises: ConnectionError when the connection ends before.
    """
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < size:
        piece = await loop.sock_recv(sock, size - len(data))
        if not piece:
            raise ConnectionResetError("the connection ended in the handshake")
        data += piece
    return data


async def patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Attempt something again and again, each time with more patience; the caller limits it."""
    patience_s = CONNECT_PATIENCE_S
    while True:
        try:
            async with asyncio.timeout(patience_s) as limit:
                return await attempt()
        except TimeoutError:
            if not limit.expired():
                raise  # The kernel's: it has tried for minutes.
            patience_s *= 2


async def _connected(address: Address) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def dial(
    address: Address, hello: Hello, keys: ClusterKeys, expected: NodeId | None = None
) -> tuple[socket.socket, NodeId]:
    """Connect to a node over TCP and prove the secret to each other.

    Returns: the connected, non-blocking socket, and the boot id that answers there.
    Raises: OSError or TimeoutError when nobody answers; AuthenticationError when the secret
        differs; ProtocolError when another node than `expected` (if given) answers there.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(DEADLINE_S) as limit:
        sock = await patiently(lambda: _connected(address))
    try:
        async with asyncio.timeout_at(limit.when()):
            await loop.sock_sendall(sock, hello.pack())
            answer = unpack_answer(await receive_exactly(sock, ANSWER_BYTES))
            if answer.verdict is not Verdict.CHALLENGE:
                raise ProtocolError(f"{address} answers {answer.verdict.name}")
            if expected is not None and answer.node_id != expected:
                raise ProtocolError(f"another node answers at {address} now")
            server = Address(*sock.getpeername())
            await loop.sock_sendall(sock, client_proof(keys, hello, answer, server))
            welcome = await receive_exactly(sock, WELCOME_BYTES)
            check_welcome(welcome, keys, hello, answer, server, address)
    except BaseException:
        sock.close()
        raise
    return sock, answer.node_id
