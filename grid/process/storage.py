"""The storage process: a tight epoll loop between client sockets and the store.

Responsible for: taking over authenticated client sockets from the network process, reading
requests, writing replies, bounded by backpressure (a client that does not read its replies
is not read from). No asyncio, no user code, garbage collector frozen.

Runs in: storage process i of N, which holds the partitions with ``id % N == i``.
"""

from __future__ import annotations

import gc
import logging
import select
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection

from grid.errors import ProtocolError
from grid.partition.messages import Holding
from grid.storage.options import StorageOptions
from grid.storage.store import Store
from grid.wire.catalog import (
    DECODE_ERRORS,
    decode_network_to_storage,
    decode_storage_request,
    encode,
)
from grid.wire.family import (
    HoldingsKnown,
    HoldingsWanted,
    ReleaseDone,
    ReleaseWanted,
    Serve,
    StorageReady,
)
from grid.wire.frame import HEADER_BYTES, JOIN_BYTES_MAX, FrameSplitter, frame
from grid.wire.handshake import WELCOME_BYTES

logger = logging.getLogger("grid.storage")

RECEIVE_BYTES = 64 * 1024
"""Below malloc's mmap threshold of 128 KiB: a larger buffer is mapped and unmapped each time."""

RECEIVE_MORE_BYTES = 256 * 1024
"""In the middle of a large request: fewer calls weigh more."""
REQUEST_BYTES_MAX = 80 * 1024 * 1024
UNSENT_BYTES_MAX = 4 * 1024 * 1024
"""With more than this waiting to be sent, a connection's requests are left unread."""


class _Connection:
    """One client socket with its unfinished frame and unsent replies."""

    __slots__ = ("receive", "send", "socket", "splitter", "unsent")

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.receive = sock.recv
        self.send = sock.send
        self.splitter: FrameSplitter | None = None
        self.unsent = bytearray()


class StorageProcess:
    """The loop and its connections."""

    def __init__(
        self, control: Connection, hand_over: socket.socket, options: StorageOptions
    ) -> None:
        """`control` is the pipe to the network process, `hand_over` brings client sockets."""
        self._store = Store(options)
        self._control = control
        self._hand_over = hand_over
        self._poll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._handle = self._store.handle
        self._decode = decode_storage_request.raw
        self._is_running = True

    def run(self) -> None:
        """Serve until the network process ends its pipe."""
        handlers: dict[int, Callable[[], None]] = {
            self._control.fileno(): self._read_control,
            self._hand_over.fileno(): self._take_over,
        }
        for fd in handlers:
            self._poll.register(fd, select.EPOLLIN)
        self._send_control(StorageReady())
        gc.collect()
        gc.freeze()
        poll, connections = self._poll.poll, self._connections
        decode, handle = self._decode, self._handle
        while self._is_running:
            for fd, event in poll():
                connection = connections.get(fd)
                if connection is None:
                    handlers[fd]()
                    continue
                if event != select.EPOLLIN or connection.splitter is not None or connection.unsent:
                    self._serve(connection, event)
                    continue
                # One whole request and room for its reply, the usual case, in one piece: after
                # each sleep the caches are cold, and every further call costs microseconds.
                try:
                    data = connection.receive(RECEIVE_BYTES)
                    length = len(data) - HEADER_BYTES
                    if length <= 0 or int.from_bytes(data[:HEADER_BYTES], "big") != length:
                        self._answer_rest(connection, data)
                        continue
                    body = encode(handle(decode(data[HEADER_BYTES:])))
                    if len(body) > JOIN_BYTES_MAX:
                        self._send_large(connection, body)
                        continue
                    framed = len(body).to_bytes(HEADER_BYTES, "big") + body
                    try:
                        sent = connection.send(framed)
                    except BlockingIOError:
                        sent = 0
                    if sent != len(framed):
                        self._keep(connection, memoryview(framed)[sent:])
                except BlockingIOError:
                    continue  # Nothing to receive after all.
                except OSError:
                    self._drop(connection)
                except (ProtocolError, *DECODE_ERRORS) as error:
                    self._reject(connection, error)

    # -- clients --------------------------------------------------------------------------

    def _serve(self, connection: _Connection, event: int) -> None:
        """Go on with a connection that has unsent replies or part of a request."""
        try:
            if event & select.EPOLLOUT:
                self._flush(connection)
            else:
                self._answer_rest(connection, connection.receive(RECEIVE_MORE_BYTES))
        except BlockingIOError:
            return
        except OSError:
            self._drop(connection)
        except (ProtocolError, *DECODE_ERRORS) as error:
            self._reject(connection, error)

    def _answer_rest(self, connection: _Connection, data: bytes) -> None:
        """Carry out every complete request there is, several or in pieces."""
        if not data:
            self._drop(connection)
            return
        if connection.splitter is None:
            connection.splitter = FrameSplitter(REQUEST_BYTES_MAX)
        self._answer_kept(connection, data)

    def _answer_kept(self, connection: _Connection, data: bytes = b"") -> None:
        """Carry out the requests in the splitter and in `data`; send the replies in one call."""
        splitter = connection.splitter
        assert splitter is not None, "called with requests in the splitter"
        replies: list[bytes] = []
        size_bytes = 0
        for body in splitter.feed(data):
            replies.append(frame(encode(self._handle(self._decode(body)))))
            size_bytes += len(replies[-1])
            if size_bytes > UNSENT_BYTES_MAX:
                break  # The other requests wait in the splitter until this much is sent.
        if splitter.is_empty:
            connection.splitter = None
        if replies:
            framed = b"".join(replies)
            sent = 0 if connection.unsent else self._try_send(connection, (framed,))
            if sent < len(framed):
                self._keep(connection, memoryview(framed)[sent:])

    def _send_large(self, connection: _Connection, body: bytes) -> None:
        """Send one large reply without copying it again to put its length in front."""
        header = len(body).to_bytes(HEADER_BYTES, "big")
        sent = self._try_send(connection, (header, body))
        if sent < HEADER_BYTES:
            self._keep(connection, header[sent:] + body)
        elif sent < HEADER_BYTES + len(body):
            self._keep(connection, memoryview(body)[sent - HEADER_BYTES :])

    @staticmethod
    def _try_send(connection: _Connection, pieces: tuple[bytes, ...]) -> int:
        try:
            return connection.socket.sendmsg(pieces)
        except BlockingIOError:
            return 0

    def _keep(self, connection: _Connection, rest: bytes | memoryview) -> None:
        connection.unsent += rest
        self._watch(connection)

    def _flush(self, connection: _Connection) -> None:
        sent = connection.socket.send(connection.unsent)
        del connection.unsent[:sent]
        if not connection.unsent and connection.splitter is not None:
            self._answer_kept(connection)
        self._watch(connection)

    def _watch(self, connection: _Connection) -> None:
        """Wait for room to send; read on only while little is unsent."""
        events = select.EPOLLOUT if connection.unsent else select.EPOLLIN
        if 0 < len(connection.unsent) <= UNSENT_BYTES_MAX:
            events |= select.EPOLLIN
        self._poll.modify(connection.socket.fileno(), events)

    def _reject(self, connection: _Connection, error: Exception) -> None:
        logger.warning("a client connection is dropped: it sent no request: %s", error)
        self._drop(connection)

    def _drop(self, connection: _Connection) -> None:
        fd = connection.socket.fileno()
        self._poll.unregister(fd)
        del self._connections[fd]
        connection.socket.close()

    # -- the network process --------------------------------------------------------------

    def _take_over(self) -> None:
        """Receive a client socket and its last handshake message; send that: we are ready."""
        welcome, fds, _, _ = socket.recv_fds(self._hand_over, WELCOME_BYTES, 1)
        if not fds:
            self._is_running = bool(welcome)
            return
        sock = socket.socket(fileno=fds[0])
        sock.setblocking(False)
        if sock.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.sendall(welcome)
        except OSError:
            sock.close()
            return
        self._connections[sock.fileno()] = _Connection(sock)
        self._poll.register(sock.fileno(), select.EPOLLIN)

    def _read_control(self) -> None:
        try:
            message = decode_network_to_storage(self._control.recv_bytes())
        except (EOFError, OSError):
            self._is_running = False
            return
        match message:
            case Serve(epochs=epochs):
                self._store.serve(epochs)
            case HoldingsWanted(token=token):
                held = [Holding(*holding) for holding in self._store.holdings()]
                self._send_control(HoldingsKnown(token, held))
            case ReleaseWanted(token=token, partition_ids=partition_ids):
                released = self._store.release(partition_ids)
                self._send_control(ReleaseDone(token, released))

    def _send_control(self, message: StorageReady | HoldingsKnown | ReleaseDone) -> None:
        self._control.send_bytes(encode(message))


def run_storage(control: Connection, hand_over: socket.socket, options: StorageOptions) -> None:
    """Run a storage process until its pipe ends."""
    hand_over.setblocking(True)
    StorageProcess(control, hand_over, options).run()
