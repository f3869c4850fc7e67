"""One connection of an asyncio client to one storage process.

Responsible for: gathering what is asked in one turn of the event loop into one frame, matching
replies to requests, backpressure, noticing that the other side is silent.

Not responsible for: which requests, and what to do when one is lost (``core.py``, ``aio.py``).
"""

from __future__ import annotations

import asyncio
from typing import cast

from grid.client.requests.routing import Target
from grid.client.requests.steps import Ask, Lost
from grid.errors import ProtocolError
from grid.storage.messages import (
    Delete,
    Get,
    Increment,
    Put,
    Replies,
    Reply,
    Request,
    Requests,
    Take,
    WithBackup,
)
from grid.wire.catalog import DECODE_ERRORS, decode_storage_reply, encode, encode_in_pieces
from grid.wire.frame import HEADER_BYTES, JOIN_BYTES_MAX, FrameReader

WAITING_MAX = 10_000
"""Requests without a reply; further callers wait."""

GATHERED_MAX = 256
"""Requests in one frame."""

_GATHERED = frozenset({Get, Put, Delete, Take, Increment})
"""Small ones, which go together."""

_decode = decode_storage_reply.raw


class AsyncLink(asyncio.BufferedProtocol):
    """Sends requests and gives each its reply, or `Lost`."""

    def __init__(self, target: Target, loop: asyncio.AbstractEventLoop) -> None:
        """Wait to be connected by ``loop.create_connection``."""
        self.target = target
        self.is_open = True
        self.heard_s = loop.time()
        """When something came last, or the first request began to wait."""
        self.closed: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader()
        self._outbox: list[Request] = []
        self._waiting: dict[int, tuple[asyncio.Future[Reply | Lost], float]] = {}
        self._is_writable = True
        self._room: list[asyncio.Future[None]] = []

    @property
    def is_waiting(self) -> bool:
        """Whether a reply is due."""
        return bool(self._waiting)

    # -- asking ---------------------------------------------------------------------------

    def ask(self, ask: Ask) -> asyncio.Future[Reply | Lost]:
        """Send a request, together with all others of this turn of the loop."""
        future = self._loop.create_future()
        if not self.is_open:
            future.set_result(Lost("the connection has ended", is_sent=False))
            return future
        request = ask.request
        if not self._waiting:
            self.heard_s = self._loop.time()
        self._waiting[request.request] = (future, ask.deadline_s)
        kind = type(request.write) if type(request) is WithBackup else type(request)
        if kind not in _GATHERED:
            self._flush()  # What was asked before goes before.
            self._send_alone(ask)
            return future
        self._outbox.append(request)
        if len(self._outbox) == 1:
            self._loop.call_soon(self._flush)
        elif len(self._outbox) >= GATHERED_MAX:
            self._flush()
        return future

    @property
    def has_room(self) -> bool:
        """Whether further requests may be asked now."""
        return self._is_writable and len(self._waiting) < WAITING_MAX

    async def room(self) -> None:
        """Wait until there is room, or the connection has ended."""
        while self.is_open and not self.has_room:
            future: asyncio.Future[None] = self._loop.create_future()
            self._room.append(future)
            await future

    def _flush(self) -> None:
        if not self._outbox or self._transport is None:
            return
        requests, self._outbox = self._outbox, []
        body = encode(requests[0] if len(requests) == 1 else Requests(requests))
        self._transport.write(len(body).to_bytes(HEADER_BYTES, "big") + body)

    def _send_alone(self, ask: Ask) -> None:
        assert self._transport is not None, "asked before it was connected"
        pieces: tuple[bytes, ...]
        if ask.payload is None:
            pieces = (encode(ask.request),)
        else:
            pieces = encode_in_pieces(ask.request, ask.payload)
        length = sum(map(len, pieces))
        framed = (length.to_bytes(HEADER_BYTES, "big"), *pieces)
        if length < JOIN_BYTES_MAX:
            framed = (b"".join(framed),)
        # One by one: `writelines` of Python 3.12.0 to 3.13.1 never says that the buffer is full.
        for piece in framed:
            self._transport.write(piece)

    def drop_late(self, now_s: float) -> None:
        """Give up requests whose deadline is over; a reply to them will be ignored."""
        late = [number for number, (_, deadline_s) in self._waiting.items() if deadline_s <= now_s]
        for number in late:
            future, _ = self._waiting.pop(number)
            if not future.done():
                future.set_result(Lost(f"{self.target.name} is silent", is_sent=True, is_late=True))
        self._wake()

    def close(self) -> None:
        """End the connection; nothing more is asked on it."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    # -- the event loop's calls -----------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports do not say that they are some.
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Offer the reader's buffer."""
        return self._reader.space()

    def buffer_updated(self, nbytes: int) -> None:
        """Give the replies to those who wait for them."""
        self.heard_s = self._loop.time()
        self._reader.advance(nbytes)
        try:
            for body in self._reader.bodies():
                message = _decode(body)
                if isinstance(message, Replies):
                    for reply in message.replies:
                        self._give(reply)
                else:
                    self._give(message)
        except (ProtocolError, *DECODE_ERRORS):
            self.close()
        if self._room:
            self._wake()

    def pause_writing(self) -> None:
        """Let callers wait."""
        self._is_writable = False

    def resume_writing(self) -> None:
        """Let callers go on."""
        self._is_writable = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who waits."""
        self.is_open = False
        reason = str(exc) if exc is not None else "the node has closed the connection"
        unsent = {request.request for request in self._outbox}
        self._outbox = []
        waiting, self._waiting = self._waiting, {}
        for number, (future, _) in waiting.items():
            if not future.done():
                future.set_result(Lost(reason, is_sent=number not in unsent))
        self._wake()
        if not self.closed.done():
            self.closed.set_result(None)

    def _give(self, reply: Reply) -> None:
        future, _ = self._waiting.pop(reply.request, _NOBODY)
        if future is not None and not future.done():
            future.set_result(reply)

    def _wake(self) -> None:
        waiting, self._room = self._room, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


_NOBODY: tuple[None, float] = (None, 0.0)
