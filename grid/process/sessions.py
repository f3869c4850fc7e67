"""What happens on accepted connections: clients' questions and tasks, peers' messages.

Runs in: network process.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

from grid.executor.messages import CancelTask, RunTask, ShipCode, WorkWanted
from grid.membership.messages import PushPull
from grid.partition.messages import PartitionMessage
from grid.process.tasks import NodeTasks
from grid.replication.messages import ForStorage
from grid.transport.stream import FrameStream, attach
from grid.types import NodeId, Payload, log_text
from grid.wire.catalog import decode_client_request, decode_exchange, decode_peer, encode
from grid.wire.control import (
    Accepted,
    ControlReply,
    Event,
    Events,
    EventsWanted,
    LossAccepted,
    ShutdownWanted,
    Status,
    StatusWanted,
    View,
    ViewWanted,
)
from grid.wire.handshake import Hello, Purpose

logger = logging.getLogger("grid.network")

SESSIONS_MAX = 4096
"""Open sessions of a node; more connections are closed after their handshake."""


class Sessions:
    """All sessions of a node."""

    def __init__(
        self,
        tasks: NodeTasks,
        *,
        view: Callable[[int], View],
        status: Callable[[], bytes],
        events: Callable[[int], list[Event]],
        on_peer_message: Callable[[NodeId, PartitionMessage | ForStorage | WorkWanted], None],
        on_exchange: Callable[[NodeId, PushPull], PushPull],
        on_shutdown: Callable[[], None],
        on_loss_accepted: Callable[[], None],
    ) -> None:
        """Keep what answers the questions."""
        self._tasks = tasks
        self._view = view
        self._status = status
        self._events = events
        self._on_peer_message = on_peer_message
        self._on_exchange = on_exchange
        self._on_shutdown = on_shutdown
        self._on_loss_accepted = on_loss_accepted
        self._streams: dict[int, FrameStream] = {}
        self._number = 0

    async def open(self, hello: Hello, sock: socket.socket) -> None:
        """Serve an authenticated connection from now on."""
        if hello.purpose is Purpose.PING:
            sock.close()  # The handshake was the answer.
            return
        if len(self._streams) >= SESSIONS_MAX:
            logger.warning(log_text("too many connections", open=SESSIONS_MAX))
            sock.close()
            return
        self._number += 1
        number = self._number
        sender = NodeId(hello.client_id)
        if hello.purpose is Purpose.PEER:
            stream = FrameStream(
                lambda body: self._on_peer_message(sender, decode_peer(body)),
                lambda: self._forget(number),
            )
        elif hello.purpose is Purpose.EXCHANGE:
            stream = FrameStream(
                lambda body: self._handle_exchange(number, sender, body),
                lambda: self._forget(number),
            )
        else:
            stream = FrameStream(
                lambda body: self._handle_client(number, body),
                lambda: self._forget(number),
                lambda is_behind: self._tasks.session_behind(number, is_behind),
            )
        self._streams[number] = stream
        await attach(sock, stream)

    def close(self) -> None:
        """Close every session after its answers have been sent."""
        for stream in list(self._streams.values()):
            stream.close()

    def _forget(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None and stream.lost_reason is not None:
            logger.warning(log_text("connection dropped", reason=stream.lost_reason))
        self._tasks.session_lost(number)

    def _handle_exchange(self, number: int, sender: NodeId, body: Payload) -> None:
        """Answer one member list with another; the connection has no other use."""
        stream = self._streams[number]
        stream.send(encode(self._on_exchange(sender, decode_exchange(body))))
        stream.close()

    def _handle_client(self, number: int, body: Payload) -> None:
        request = decode_client_request(body)
        stream = self._streams[number]
        reply: ControlReply
        match request:
            case RunTask() | CancelTask() | ShipCode():
                self._tasks.handle(number, stream, request)
                return
            case ViewWanted(request=asked):
                reply = self._view(asked)
            case StatusWanted(request=asked):
                reply = Status(asked, self._status())
            case EventsWanted(request=asked, after=after):
                reply = Events(asked, self._events(after))
            case ShutdownWanted(request=asked):
                self._on_shutdown()
                reply = Accepted(asked)
            case LossAccepted(request=asked):
                self._on_loss_accepted()
                reply = Accepted(asked)
        stream.send(encode(reply))
