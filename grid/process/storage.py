"""The storage process: a tight epoll loop between client sockets and the store.

Responsible for: taking over authenticated client sockets from the network process, reading
requests, writing replies, bounded by backpressure (a client that does not read its replies
is not read from, and its further requests are not carried out). No asyncio, no user code, garbage
collector frozen.

Runs in: storage process i of N, which holds the partitions with ``id % N == i``.
"""

from __future__ import annotations

import gc
import logging
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

from grid.errors import ProtocolError
from grid.partition.messages import Holding
from grid.storage.messages import (
    Found,
    FoundLarge,
    Page,
    Records,
    Replies,
    Reply,
    Requests,
    Taken,
)
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
from grid.wire.frame import HEADER_BYTES, JOIN_BYTES_MAX, FrameReader
from grid.wire.handshake import WELCOME_BYTES

logger = logging.getLogger("grid.storage")

RECEIVE_BYTES = 64 * 1024
"""Below malloc's mmap threshold of 128 KiB: a larger buffer is mapped and unmapped each time."""

REQUEST_BYTES_MAX = 80 * 1024 * 1024
UNSENT_BYTES_MAX = 4 * 1024 * 1024
"""With more than this waiting to be sent, a connection's requests are left alone."""

FLUSH_BYTES = 16 * 1024
"""So much is sent before further requests are carried out."""

EVENTS_MAX = 64
"""Connections that are served in one round of the loop."""

PIECES_MAX = 64
"""Buffers gathered in one system call."""

REPLY_BYTES = 16
"""What a reply takes besides its record, about: those without one are bounded as well."""

_LARGE_REPLIES = (FoundLarge, Records, Page)
"""Not gathered with others."""

HOUSEKEEPING_S = 1.0
"""How often entries whose time is over are looked for."""


class _Connection:
    """One client socket with its unfinished requests and unsent replies."""

    __slots__ = (
        "answers",
        "events",
        "reader",
        "receive",
        "send",
        "socket",
        "unsent",
        "unsent_bytes",
    )

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.events = select.EPOLLIN
        self.receive = sock.recv
        self.send = sock.send
        self.reader: FrameReader | None = None
        self.answers: Iterator[bytes] | None = None
        """Replies to requests that are received, as they are carried out one by one."""
        self.unsent: deque[memoryview] = deque()
        self.unsent_bytes = 0

    def keep(self, piece: bytes | memoryview) -> None:
        """Send this later."""
        self.unsent.append(memoryview(piece))
        self.unsent_bytes += len(piece)

    def flush(self) -> None:
        """Send what the socket takes of what was kept."""
        while self.unsent:
            pieces = [self.unsent[i] for i in range(min(len(self.unsent), PIECES_MAX))]
            try:
                sent = self.socket.sendmsg(pieces)
            except BlockingIOError:
                return
            self.unsent_bytes -= sent
            for piece in pieces:
                if sent < len(piece):
                    self.unsent[0] = piece[sent:]
                    break
                sent -= len(piece)
                self.unsent.popleft()


class StorageProcess:
    """The loop and its connections."""

    def __init__(
        self, control: Connection, hand_over: socket.socket, options: StorageOptions
    ) -> None:
        """`control` is the pipe to the network process, `hand_over` brings client sockets."""
        self._store = Store(options, time.monotonic)
        self._control = control
        self._hand_over = hand_over
        self._poll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._handle = self._store.handle
        self._decode = decode_storage_request.raw
        self._spin_ns = options.spin_us * 1000
        self._next_expiry_s = 0.0
        self._is_running = True

    def run(self) -> None:
        """Serve until the network process ends its pipe."""
        handlers = self._begin()
        poll, store, connections = self._poll.poll, self._store, self._connections
        decode, handle = self._decode, self._handle
        while self._is_running:
            if self._spin_ns or store.has_expiries:
                events = self._wait()
            else:
                events = poll(HOUSEKEEPING_S, EVENTS_MAX)
            for fd, event in events:
                connection = connections.get(fd)
                if connection is None:
                    handlers[fd]()
                    continue
                if event != select.EPOLLIN or connection.reader is not None or connection.unsent:
                    self._serve(connection, event)
                    continue
                # One whole request and room for its reply, the usual case, in one piece: after
                # each sleep the caches are cold, and every further call costs microseconds.
                try:
                    data = connection.receive(RECEIVE_BYTES)
                    length = len(data) - HEADER_BYTES
                    if length <= 0 or int.from_bytes(data[:HEADER_BYTES], "big") != length:
                        self._begin_reading(connection, data)
                        continue
                    request = decode(data[HEADER_BYTES:])
                    if isinstance(request, Requests):
                        connection.answers = self._answers_to(request)
                        self._answer(connection)
                        continue
                    body = encode(handle(request))
                    if len(body) > JOIN_BYTES_MAX:
                        connection.answers = iter((body,))
                        self._answer(connection)
                        continue
                    framed = len(body).to_bytes(HEADER_BYTES, "big") + body
                    try:
                        sent = connection.send(framed)
                    except BlockingIOError:
                        sent = 0
                    if sent != len(framed):
                        connection.keep(memoryview(framed)[sent:])
                        self._watch(connection)
                except BlockingIOError:
                    continue  # Nothing to receive after all.
                except OSError:
                    self._drop(connection)
                except (ProtocolError, *DECODE_ERRORS) as error:
                    self._reject(connection, error)

    def _begin(self) -> dict[int, Callable[[], None]]:
        """Say that this process is ready; return what reads which pipe."""
        handlers: dict[int, Callable[[], None]] = {
            self._control.fileno(): self._read_control,
            self._hand_over.fileno(): self._take_over,
        }
        for fd in handlers:
            self._poll.register(fd, select.EPOLLIN)
        self._send_control(StorageReady())
        gc.collect()
        gc.freeze()
        return handlers

    def _wait(self) -> list[tuple[int, int]]:
        """Return what is ready; spin before sleeping if so configured."""
        if self._store.has_expiries:
            now_s = time.monotonic()
            if now_s >= self._next_expiry_s:
                if self._store.expire():
                    return self._poll.poll(0, EVENTS_MAX)
                self._next_expiry_s = now_s + HOUSEKEEPING_S
        if self._spin_ns:
            until_ns = time.perf_counter_ns() + self._spin_ns
            while time.perf_counter_ns() < until_ns:
                if events := self._poll.poll(0, EVENTS_MAX):
                    return events
        return self._poll.poll(HOUSEKEEPING_S, EVENTS_MAX)

    # -- clients --------------------------------------------------------------------------

    def _serve(self, connection: _Connection, event: int) -> None:
        """Go on with a connection that has unsent replies or part of a request."""
        try:
            if event & select.EPOLLOUT or connection.answers is not None:
                connection.flush()
                self._answer(connection)
            elif connection.reader is not None:
                count = connection.socket.recv_into(connection.reader.space())
                if count:
                    connection.reader.advance(count)
                    self._answer(connection)
                else:
                    self._drop(connection)
            else:
                self._begin_reading(connection, connection.receive(RECEIVE_BYTES))
        except BlockingIOError:
            return
        except OSError:
            self._drop(connection)
        except (ProtocolError, *DECODE_ERRORS) as error:
            self._reject(connection, error)

    def _begin_reading(self, connection: _Connection, data: bytes) -> None:
        """Take several requests, or the beginning of one."""
        if not data:
            self._drop(connection)
            return
        connection.reader = FrameReader(data, REQUEST_BYTES_MAX)
        self._answer(connection)

    def _answer(self, connection: _Connection) -> None:
        """Carry out requests that are received, as long as their replies have room."""
        reader = connection.reader
        if connection.answers is None and reader is not None:
            connection.answers = self._answers_in(reader)
        while connection.answers is not None and connection.unsent_bytes <= UNSENT_BYTES_MAX:
            body = next(connection.answers, None)
            if body is None:
                connection.answers = None
                if reader is not None and reader.is_empty:
                    connection.reader = None
                break
            connection.keep(len(body).to_bytes(HEADER_BYTES, "big"))
            connection.keep(body)
            if connection.unsent_bytes >= FLUSH_BYTES:
                connection.flush()  # The client can begin with it.
        if connection.unsent:
            connection.flush()
        self._watch(connection)

    def _answers_in(self, reader: FrameReader) -> Iterator[bytes]:
        for body in reader.bodies():
            request = self._decode(body)
            if isinstance(request, Requests):
                yield from self._answers_to(request)
            else:
                yield encode(self._handle(request))

    def _answers_to(self, requests: Requests) -> Iterator[bytes]:
        """Carry out a `Requests`; small replies go together."""
        replies: list[Reply] = []
        size_bytes = 0
        for request in requests.requests:
            reply = self._handle(request)
            replies.append(reply)
            size_bytes += REPLY_BYTES
            if isinstance(reply, Found | Taken):
                size_bytes += len(reply.record)
            elif type(reply) in _LARGE_REPLIES:
                size_bytes += JOIN_BYTES_MAX
            if size_bytes >= JOIN_BYTES_MAX:
                yield encode(Replies(replies))
                replies, size_bytes = [], 0
        if replies:
            yield encode(Replies(replies))

    def _watch(self, connection: _Connection) -> None:
        """Wait for room to send; read on only while nothing waits to be carried out."""
        is_pausing = connection.answers is not None
        events = 0 if is_pausing else select.EPOLLIN
        if connection.unsent or is_pausing:
            events |= select.EPOLLOUT
        if events != connection.events:
            connection.events = events
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
