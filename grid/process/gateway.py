"""The one public port: who comes in, proves the secret, and where the connection goes.

Responsible for: listening on TCP and on the abstract unix socket, the handshake with exact
lengths, handing client sockets to storage processes, opening sessions for the rest; telling HTTP
from the handshake.

Not responsible for: what is said afterwards (``sessions.py``), HTTP (``http.py``).

The first four bytes of a connection are looked at in `_serve` alone: other protocols that
join on this port branch off there.

Runs in: network process.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable

from grid.errors import ProtocolError, StartError
from grid.process.http import is_http
from grid.transport.stream import receive_exactly
from grid.transport.unix import is_trusted, socket_name
from grid.types import Address, NodeId, log_text
from grid.wire.handshake import (
    DEADLINE_S,
    HELLO_BYTES,
    MAGIC,
    NONCE_BYTES,
    PROOF_BYTES,
    Answer,
    Hello,
    Purpose,
    Verdict,
    client_proof,
    server_proof,
    unpack_hello,
)
from grid.wire.security import ClusterKeys, is_equal

logger = logging.getLogger("grid.network")

UNPROVEN_MAX = 256
"""Connections in the handshake, or of HTTP, at once; beyond it the oldest is closed."""

BACKLOG = 512
ACCEPT_PAUSE_S = 0.1
"""After a failure to accept, until the next attempt."""

PORT_TRIES = 20
"""With port 0: how many free TCP ports are tried until the UDP port is free as well."""

StorageHandOver = Callable[[int, socket.socket, bytes, bytes], bool]
"""(process, socket, last message of the handshake, client's id) -> whether it takes it."""

OpenSession = Callable[[Hello, socket.socket], Awaitable[None]]

AnswerHttp = Callable[[socket.socket, bytes], Awaitable[None]]
"""(socket, its first bytes): until the request is answered."""


class Sockets:
    """The listening sockets of a node: TCP, UDP and unix on one port number."""

    def __init__(self, bind: str, port: int) -> None:
        """Bind all three.

        Raises: StartError with one sentence when that is impossible.
        """
        self.tcp, self.udp = _bind_pair(bind, port)
        self.port: int = self.tcp.getsockname()[1]
        self.unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.unix.bind(socket_name(self.port))
        except OSError as error:
            self.close()
            raise StartError(
                f"another process of this machine holds the unix socket name of port {self.port}; "
                "choose another with --port or node.port"
            ) from error
        for sock in (self.tcp, self.unix):
            sock.listen(BACKLOG)
        for sock in (self.tcp, self.udp, self.unix):
            sock.setblocking(False)

    def close(self) -> None:
        """Close all; idempotent."""
        for sock in (self.tcp, self.udp, self.unix):
            sock.close()


def _bind_pair(bind: str, port: int) -> tuple[socket.socket, socket.socket]:
    """Bind TCP and UDP on one number; with port 0 on any number free for both."""
    tries = 1 if port else PORT_TRIES
    for attempt in range(tries):
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            # Only lingering connections of a former node are passed over, never a listener.
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 << 20)
            tcp.bind((bind, port))
            udp.bind((bind, tcp.getsockname()[1]))
        except OSError as error:
            tcp.close()
            udp.close()
            if error.errno == errno.EADDRINUSE and attempt + 1 < tries:
                continue
            raise StartError(_bind_failure(bind, port, error)) from error
        return tcp, udp
    raise AssertionError("unreachable: the last attempt raises")


def _bind_failure(bind: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {bind} is taken, maybe by another node; stop that one "
            "(grid down) or choose another with --port or node.port"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{bind} is no address of this machine; see node.bind in cluster.toml"
    return f"cannot listen on {bind}:{port}: {error.strerror}"


class Gateway:
    """Accepts connections until closed."""

    def __init__(
        self,
        sockets: Sockets,
        keys: ClusterKeys,
        own_id: NodeId,
        *,
        storage_count: int,
        hand_over: StorageHandOver,
        open_session: OpenSession,
        answer_http: AnswerHttp,
    ) -> None:
        """Keep the parts; `start` begins to accept."""
        self._sockets = sockets
        self._keys = keys
        self._own_id = own_id
        self._storage_count = storage_count
        self._hand_over = hand_over
        self._open_session = open_session
        self._answer_http = answer_http
        self._tasks: dict[asyncio.Task[None], None] = {}  # In order of arrival.
        self._acceptors: list[asyncio.Task[None]] = []
        self.refused_count = 0

    def start(self) -> None:
        """Accept on the running loop."""
        for listener in (self._sockets.tcp, self._sockets.unix):
            self._acceptors.append(asyncio.create_task(self._accept(listener)))

    def close(self) -> None:
        """Stop accepting and drop unfinished handshakes."""
        for task in (*self._acceptors, *self._tasks):
            task.cancel()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        is_failing = False
        while True:
            try:
                sock, _ = await loop.sock_accept(listener)
            except OSError as error:
                # Out of file descriptors, most likely: those waiting are served later.
                if not is_failing:
                    logger.warning(log_text("cannot accept connections", reason=error))
                is_failing = True  # Said once, not ten times a second.
                await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            is_failing = False
            if sock.family == socket.AF_UNIX and not is_trusted(sock):
                self.refused_count += 1
                sock.close()  # Another user's: the kernel says so before anything is read.
                continue
            if len(self._tasks) >= UNPROVEN_MAX:
                # The oldest has had the most time to prove itself. Refusing the newest would
                # let a few hundred silent connections shut everybody out.
                self.refused_count += 1
                next(iter(self._tasks)).cancel()
            sock.setblocking(False)
            task = loop.create_task(self._serve(sock))
            self._tasks[task] = None
            task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def _serve(self, sock: socket.socket) -> None:
        """Shake hands within the deadline, then pass the socket on; it is closed on failure.

        A connection of HTTP is answered within that deadline, and closed.
        """
        try:
            async with asyncio.timeout(DEADLINE_S):
                start = await receive_exactly(sock, len(MAGIC))
                if is_http(start):
                    with sock:
                        await self._answer_http(sock, start)
                    return
                rest = await receive_exactly(sock, HELLO_BYTES - len(start))
                hello = unpack_hello(start + rest)
                verdict, proof = await self._judge(sock, hello)
                welcome = bytes((verdict,)) + proof
                if verdict is Verdict.WELCOME and hello.purpose is Purpose.STORAGE:
                    if self._hand_over(hello.index, sock, welcome, hello.client_id):
                        sock.close()  # Our copy; the storage process has its own.
                        return
                    welcome = bytes((Verdict.BUSY,)) + bytes(PROOF_BYTES)
                    verdict = Verdict.BUSY
                await asyncio.get_running_loop().sock_sendall(sock, welcome)
            if verdict is Verdict.WELCOME:
                await self._open_session(hello, sock)
                return
        except (OSError, TimeoutError, ProtocolError) as error:
            self.refused_count += 1
            logger.debug("a connection is refused: %s", error)
        except asyncio.CancelledError:
            sock.close()
            raise
        sock.close()

    async def _judge(self, sock: socket.socket, hello: Hello) -> tuple[Verdict, bytes]:
        """Return the verdict and the bytes that go with it."""
        loop = asyncio.get_running_loop()
        is_unix = sock.family == socket.AF_UNIX
        verdict = Verdict.TRUSTED if is_unix else Verdict.CHALLENGE
        answer = Answer(verdict, self._own_id, os.urandom(NONCE_BYTES))
        await loop.sock_sendall(sock, answer.pack())
        proof = bytes(PROOF_BYTES)
        if not is_unix:
            received = await receive_exactly(sock, PROOF_BYTES)
            server = Address(*sock.getsockname())
            if not is_equal(client_proof(self._keys, hello, answer, server), received):
                self.refused_count += 1
                return Verdict.WRONG_SECRET, proof
            proof = server_proof(self._keys, hello, answer, server)
        if hello.purpose is Purpose.STORAGE and hello.index >= self._storage_count:
            return Verdict.NO_SUCH_STORAGE, proof
        return Verdict.WELCOME, proof
