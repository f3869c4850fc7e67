"""The storage process: a tight epoll loop between client sockets and the store.

Responsible for: taking over authenticated client sockets from the network process, reading
requests, writing replies, bounded by backpressure (a client that does not read its replies
is not read from, and its further requests are not carried out); requests that wait for a gate and
replies that wait for copies; running the replicator. No asyncio, no user code, frozen collector.

Runs in: storage process i of N, which holds the partitions with ``id % N == i``.
"""

from __future__ import annotations

import gc
import logging
import select
import socket
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

from grid.errors import ProtocolError
from grid.process.storage_network import NetworkEnd
from grid.process.storage_output import WAIT, Answer, ClientLink, HeldAnswer, Wait
from grid.replication.options import ReplicationOptions
from grid.replication.replicator import Replicator
from grid.storage.messages import (
    Found,
    FoundLarge,
    Page,
    Records,
    Replies,
    Reply,
    Request,
    Requests,
    Taken,
)
from grid.storage.options import StorageOptions
from grid.storage.partitions import MustWaitError
from grid.storage.replies import Held, together
from grid.storage.store import Store
from grid.types import NODE_ID_BYTES, log_text
from grid.wire.catalog import DECODE_ERRORS, decode_storage_request, encode
from grid.wire.family import StorageReady
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
"""Connections served in one round of the loop."""

REPLY_BYTES = 16
"""What a reply takes besides its record, about."""

_LARGE_REPLIES = (FoundLarge, Records, Page)  # Not gathered with others.

HANG_UP = select.EPOLLHUP | select.EPOLLERR
HOUSEKEEPING_S = 1.0
"""How often entries whose time is over are looked for."""


class StorageProcess:
    """The loop and its connections."""

    def __init__(
        self,
        control: Connection,
        hand_over: socket.socket,
        options: StorageOptions,
        replication: ReplicationOptions,
    ) -> None:
        """`control` is the pipe to the network process, `hand_over` brings client sockets."""
        self._store = Store(options, time.monotonic)
        self._replicator = Replicator(self._store, replication, time.monotonic)
        self._hand_over, self._poll = hand_over, select.epoll()
        self._network = NetworkEnd(control, self._store, self._replicator, self._poll)
        self._connections: dict[int, ClientLink] = {}
        self._parked: dict[int, ClientLink] = {}
        self._holding: dict[int, ClientLink] = {}
        self._handle = self._store.handle
        self._decode = decode_storage_request.raw
        self._spin_ns = options.spin_us * 1000
        self._next_expiry_s = 0.0
        self._is_running = True

    def run(self) -> None:
        """Serve until the network process ends its pipe."""
        handlers = self._begin()
        connections = self._connections
        decode, handle = self._decode, self._handle
        while self._is_running:
            for fd, event in self._wait():
                connection = connections.get(fd)
                if connection is None:
                    handlers[fd](event)
                    continue
                if (
                    event != select.EPOLLIN
                    or connection.reader is not None
                    or connection.unsent
                    or connection.held
                ):
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
                        self._answer(connection, self._answers_to(connection, request))
                        continue
                    reply = handle(request, connection.client)
                    if type(reply) is Held:
                        self._hold(connection, reply)
                        continue
                    body = encode(reply)
                    if len(body) > JOIN_BYTES_MAX:
                        self._answer(connection, iter((body,)))
                        continue
                    framed = len(body).to_bytes(HEADER_BYTES, "big") + body
                    try:
                        sent = connection.send(framed)
                    except BlockingIOError:
                        sent = 0
                    if sent != len(framed):
                        connection.keep(memoryview(framed)[sent:])
                        self._watch(connection)
                except MustWaitError:
                    assert not isinstance(request, Requests), "these wait one by one"
                    self._answer(connection, self._carry_out(connection, request))
                except BlockingIOError:
                    continue  # Nothing to receive after all.
                except OSError:
                    self._drop(connection)
                except (ProtocolError, *DECODE_ERRORS) as error:
                    self._reject(connection, error)

    def _begin(self) -> dict[int, Callable[[int], None]]:
        """Say that this process is ready; return what handles which pipe."""
        handlers: dict[int, Callable[[int], None]] = {
            self._network.fileno(): self._read_network,
            self._hand_over.fileno(): self._take_over,
        }
        for fd in handlers:
            self._poll.register(fd, select.EPOLLIN)
        self._network.tell(StorageReady())
        gc.collect()
        gc.freeze()
        return handlers

    def _wait(self) -> list[tuple[int, int]]:
        """Do what is due, then return what is ready; spin before sleeping if so configured."""
        timeout_s = HOUSEKEEPING_S
        if self._store.has_expiries:
            now_s = time.monotonic()
            if now_s >= self._next_expiry_s:
                if self._store.expire():
                    timeout_s = 0.0
                else:
                    self._next_expiry_s = now_s + HOUSEKEEPING_S
        timeout_s = min(timeout_s, self._network.replicate())
        if self._network.take_progress():
            self._resume()
            timeout_s = min(timeout_s, self._network.replicate())
        if self._spin_ns:
            until_ns = time.perf_counter_ns() + min(self._spin_ns, int(timeout_s * 1e9))
            while time.perf_counter_ns() < until_ns:
                if events := self._poll.poll(0, EVENTS_MAX):
                    return events
        return self._poll.poll(timeout_s, EVENTS_MAX)

    # -- clients --------------------------------------------------------------------------

    def _serve(self, connection: ClientLink, event: int) -> None:
        """Go on with a connection that has unsent replies or part of a request."""
        try:
            if event & HANG_UP and not connection.events & select.EPOLLIN:
                self._drop(connection)  # It waits here for something, and nobody waits there.
            elif event & select.EPOLLOUT or connection.answers is not None:
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

    def _begin_reading(self, connection: ClientLink, data: bytes) -> None:
        """Take several requests, or the beginning of one."""
        if not data:
            self._drop(connection)
            return
        connection.reader = FrameReader(data, REQUEST_BYTES_MAX)
        self._answer(connection)

    def _hold(self, connection: ClientLink, reply: Held) -> None:
        """Send a reply when the copies have the write."""
        self._replicator.hurry(held for held, _ in reply.waits)
        connection.hold(HeldAnswer(reply, encode(reply.reply)))
        self._holding[connection.socket.fileno()] = connection

    def _answer(self, connection: ClientLink, answers: Iterator[Answer] | None = None) -> None:
        """Carry out requests that are received, as long as their replies have room.

        `answers`: begin with these.
        """
        reader = connection.reader
        connection.is_parked = False
        connection.answers = answers or connection.answers
        if connection.answers is None and reader is not None:
            connection.answers = self._answers_in(connection, reader)
        while (
            connection.answers is not None
            and connection.unsent_bytes + connection.held_bytes <= UNSENT_BYTES_MAX
        ):
            answer = next(connection.answers, None)
            if answer is None:
                connection.answers = None
                if reader is not None and reader.is_empty:
                    connection.reader = None
                break
            if isinstance(answer, Wait):
                connection.is_parked = True
                self._parked[connection.socket.fileno()] = connection
                break
            if isinstance(answer, HeldAnswer) or (connection.held and not connection.is_batching):
                connection.hold(answer)
                self._holding[connection.socket.fileno()] = connection
                continue
            connection.keep_frame(answer)
            if connection.unsent_bytes >= FLUSH_BYTES:
                connection.flush()  # The client can begin with it.
        if connection.unsent:
            connection.flush()
        self._watch(connection)

    def _answers_in(self, connection: ClientLink, reader: FrameReader) -> Iterator[Answer]:
        for body in reader.bodies():
            request = self._decode(body)
            if isinstance(request, Requests):
                yield from self._answers_to(connection, request)
            else:
                yield from self._carry_out(connection, request)

    def _carry_out(self, connection: ClientLink, request: Request) -> Iterator[Answer]:
        """Carry out a request as soon as its gate is open."""
        reply: Reply | Held | None = None
        while reply is None:
            try:
                reply = self._handle(request, connection.client)
            except MustWaitError as wait:
                self._replicator.want(wait.entries)
                yield WAIT
        if isinstance(reply, Held):
            self._replicator.hurry(held for held, _ in reply.waits)
            yield HeldAnswer(reply, encode(reply.reply))
        else:
            yield encode(reply)

    def _answers_to(self, connection: ClientLink, requests: Requests) -> Iterator[Answer]:
        """Carry out a `Requests`; small replies go together, those that are held as well.

        Its client knows replies by their numbers: what is not held overtakes what is.
        """
        connection.is_batching = True
        replies: list[Reply] = []
        held: list[Held] = []
        size_bytes = 0
        for request in requests.requests:
            while True:
                try:
                    reply = self._handle(request, connection.client)
                    break
                except MustWaitError as wait:
                    if replies:
                        yield encode(Replies(replies))
                        replies, size_bytes = [], 0
                    self._replicator.want(wait.entries)
                    yield WAIT
            if isinstance(reply, Held):
                held.append(reply)
                continue
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
        if held:
            all_held = together(held, held[0].reply)
            self._replicator.hurry(partition for partition, _ in all_held.waits)
            yield HeldAnswer(all_held, encode(Replies([one.reply for one in held])))

    def _watch(self, connection: ClientLink) -> None:
        """Wait for room to send; read on only while nothing waits to be carried out."""
        is_pausing = connection.answers is not None
        events = 0 if is_pausing else select.EPOLLIN
        if connection.unsent or (is_pausing and not connection.is_parked and not connection.held):
            events |= select.EPOLLOUT
        if events != connection.events:
            connection.events = events
            self._poll.modify(connection.socket.fileno(), events)

    def _resume(self) -> None:
        """Gates may have opened, copies may have caught up."""
        if self._parked:
            parked, self._parked = self._parked, {}
            for connection in parked.values():
                self._go_on(connection)
        for fd, connection in list(self._holding.items()):
            if connection.release():
                if not connection.held:
                    del self._holding[fd]
                self._go_on(connection)
            if fd in self._holding and connection.is_hopeless:
                self._drop(connection)  # Its client asks again, under the same number.

    def _go_on(self, connection: ClientLink) -> None:
        try:
            self._answer(connection)
        except OSError:
            self._drop(connection)
        except (ProtocolError, *DECODE_ERRORS) as error:
            self._reject(connection, error)

    def _reject(self, connection: ClientLink, error: Exception) -> None:
        logger.warning(log_text("connection dropped: no request", reason=error))
        self._drop(connection)

    def _drop(self, connection: ClientLink) -> None:
        fd = connection.socket.fileno()
        self._poll.unregister(fd)
        del self._connections[fd]
        self._parked.pop(fd, None)
        self._holding.pop(fd, None)
        connection.socket.close()

    # -- the network process --------------------------------------------------------------

    def _take_over(self, _: int) -> None:
        """Receive a client socket and its last handshake message; send that: we are ready."""
        welcome, fds, _, _ = socket.recv_fds(self._hand_over, WELCOME_BYTES + NODE_ID_BYTES, 1)
        if not fds:
            self._is_running = bool(welcome)
            return
        sock = socket.socket(fileno=fds[0])
        sock.setblocking(False)
        if sock.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.sendall(welcome[:WELCOME_BYTES])
        except OSError:
            sock.close()
            return
        self._connections[sock.fileno()] = ClientLink(sock, welcome[WELCOME_BYTES:])
        self._poll.register(sock.fileno(), select.EPOLLIN)

    def _read_network(self, event: int) -> None:
        self._is_running = self._network.serve(event) and self._is_running


def run_storage(
    control: Connection,
    hand_over: socket.socket,
    options: StorageOptions,
    replication: ReplicationOptions,
) -> None:
    """Run a storage process until its pipe ends."""
    hand_over.setblocking(True)
    StorageProcess(control, hand_over, options, replication).run()
